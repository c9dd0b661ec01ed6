//! The built-in server of `run`, from which partners fetch.

use super::Failure;
use crate::app::config::Config;
use crate::app::pickup_desk::{PartnerDesk, PickupDesk, drop_directory};
use crate::serve::ftp_server::{Access, Account, BoundServer, FtpServer, Limits, ServerSettings, StartFault};
use secrecy::SecretString;
use std::sync::Arc;

/// The server with its address and the partners' passwords, before anything else is opened.
pub struct Prepared {
    server: BoundServer,
    passwords: Vec<SecretString>,
}

/// Takes the address and reads certificate, key and passwords, if there is to be a server.
pub fn prepare(config: &Config) -> Result<Option<Prepared>, Failure> {
    let Some(wanted) = &config.pickup_server else { return Ok(None) };
    let mut passwords = Vec::new();
    for login in config.partners.iter().filter_map(|partner| partner.pickup_login.as_ref()) {
        let password = login.password.reveal().map_err(|fault| {
            let failure = Failure::new(format!("the password of {} at the pickup server is missing", login.user.value));
            failure.because(fault).hint("put it where `pickup_login` says, then start again")
        })?;
        passwords.push(password);
    }
    let sessions_max = usize::try_from(wanted.sessions_max).unwrap_or(usize::MAX);
    let limits = Limits { idle: wanted.idle.as_std(), sessions_max, ..Limits::default() };
    let settings = ServerSettings {
        listen: wanted.listen,
        passive_ports: Some(wanted.passive_ports.clone()),
        passive_address: wanted.passive_address,
        tls: wanted.tls.clone(),
        limits,
    };
    let server = FtpServer::bind(settings).map_err(|fault| refused(&fault))?;
    Ok(Some(Prepared { server, passwords }))
}

/// Lets the partners in.
pub fn serve(prepared: Prepared, config: &Config, desk: &Arc<PickupDesk>) -> Result<FtpServer, Failure> {
    let partners = config.partners.iter().filter_map(|partner| {
        let (login, directory) = (partner.pickup_login.as_ref()?, drop_directory(partner)?);
        Some((partner, login, directory))
    });
    let accounts: Vec<Account> = partners
        .zip(prepared.passwords)
        .map(|((partner, login, directory), password)| Account {
            name: login.user.value.clone(),
            password,
            root: directory.to_owned(),
            access: Access::PickUp(Arc::new(PartnerDesk::new(
                Arc::clone(desk),
                partner.id.clone(),
                directory.to_owned(),
            ))),
        })
        .collect();
    let server = prepared.server.serve(&accounts).map_err(|fault| refused(&fault))?;
    tracing::info!(address = %server.address(), logins = accounts.len(), "partners can fetch");
    Ok(server)
}

fn refused(fault: &StartFault) -> Failure {
    let hint = match fault {
        StartFault::Bind { .. } => {
            "see who uses the port (ss -ltnp); ports below 1024 need AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit"
        }
        StartFault::Certificate { .. } => {
            "`tls` of [pickup_server] names PEM files: the certificate chain, and its key"
        }
        StartFault::System(_) => "free memory or file handles, then start again",
    };
    Failure::new("the pickup server cannot be started").because(fault).hint(hint)
}
