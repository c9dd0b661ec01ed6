//! One control connection, command by command.

mod data;
mod files;

use super::Shared;
use super::control::{Control, Received, verb_and_argument};
use super::directory::{Directory, Place};
use super::login::lock;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Duration, Instant};

/// How long a client may take to log in, delays of answers not counted.
const LOGIN_DEADLINE: Duration = Duration::from_mins(1);
/// Most wrong passwords of one session.
const WRONG_PASSWORDS_MAX: u8 = 3;
/// Most waits for a data connection, one after the other, that nobody made.
const WAITS_IN_VAIN_MAX: u8 = 3;

/// Whether the session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Stays,
    Ends,
}

type Answered = io::Result<Flow>;

/// A session.
struct Session<'s> {
    shared: &'s Shared,
    control: Control,
    peer: IpAddr,
    /// The address of this machine that the client has reached.
    local: IpAddr,
    /// The control connection is under TLS.
    is_secure: bool,
    /// PROT P was given: data connections are under TLS.
    protects_data: bool,
    user: Option<String>,
    wrong_passwords: u8,
    login_by: Instant,
    entered: Option<Entered>,
    /// The port that waits for the next data connection.
    passive: Option<TcpListener>,
    /// How often in a row nobody connected to it.
    waits_in_vain: u8,
    /// EPSV ALL was given (RFC 2428, 4).
    extended_only: bool,
    /// Where the next RETR begins.
    restart: u64,
    rename_from: Option<Place>,
}

/// Somebody who is logged in.
struct Entered {
    name: String,
    directory: Directory,
    at: Place,
}

/// Serves a connection to its end.
pub(super) async fn serve(
    connection: TcpStream,
    peer: SocketAddr,
    shared: &Shared,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    // Two short replies in a row would otherwise wait for the client's acknowledgement.
    connection.set_nodelay(true)?;
    let mut session = Session {
        shared,
        peer: peer.ip().to_canonical(),
        local: connection.local_addr()?.ip().to_canonical(),
        control: Control::new(connection),
        is_secure: false,
        protects_data: false,
        user: None,
        wrong_passwords: 0,
        login_by: Instant::now() + LOGIN_DEADLINE,
        entered: None,
        passive: None,
        waits_in_vain: 0,
        extended_only: false,
        restart: 0,
        rename_from: None,
    };
    let ended = tokio::select! {
        ended = session.answer_all() => Some(ended),
        _ = stopped.wait_for(|stop| *stop) => None,
    };
    match ended {
        Some(ended) => ended?,
        None => session.control.reply(421, "The server stops.").await?,
    }
    session.control.close().await;
    Ok(())
}

impl Session<'_> {
    async fn answer_all(&mut self) -> io::Result<()> {
        self.control.reply(220, "hourdrop").await?;
        loop {
            let idle_until = Instant::now() + self.shared.limits.idle;
            let until = if self.entered.is_some() { idle_until } else { idle_until.min(self.login_by) };
            let line = match tokio::time::timeout_at(until, self.control.line()).await {
                Ok(received) => match received? {
                    Received::Line(line) => line,
                    Received::TooLong => return self.control.reply(421, "No command is that long.").await,
                    Received::End => return Ok(()),
                },
                Err(_) => return self.control.reply(421, "No command for too long.").await,
            };
            if self.answer(&line).await? == Flow::Ends {
                return Ok(());
            }
            if self.waits_in_vain >= WAITS_IN_VAIN_MAX {
                return self.control.reply(421, "Nobody connects for the data. Connect again.").await;
            }
        }
    }

    async fn say(&mut self, code: u16, text: &str) -> Answered {
        self.control.reply(code, text).await?;
        Ok(Flow::Stays)
    }

    async fn answer(&mut self, line: &[u8]) -> Answered {
        let (verb, argument) = verb_and_argument(line);
        match verb.as_str() {
            "USER" => self.user(argument).await,
            "PASS" => self.password(argument).await,
            "AUTH" => self.secure(argument).await,
            "PBSZ" if self.is_secure => self.say(200, "PBSZ=0").await,
            "PROT" if self.is_secure => self.protect(argument).await,
            "PBSZ" | "PROT" => self.say(503, "AUTH TLS comes first.").await,
            "CCC" => self.say(534, "The control connection stays protected.").await,
            "QUIT" => {
                self.control.reply(221, "Goodbye.").await?;
                Ok(Flow::Ends)
            }
            "NOOP" => self.say(200, "OK").await,
            "SYST" => self.say(215, "UNIX Type: L8").await,
            "FEAT" => self.features().await,
            "HELP" => self.say(214, "See RFC 959 and RFC 3659; FEAT lists what there is.").await,
            "OPTS" => self.options(argument).await,
            "TYPE" => match argument.to_ascii_uppercase().as_slice() {
                b"A" | b"A N" | b"I" | b"L 8" => self.say(200, "Files are sent as they are.").await,
                _ => self.say(504, "TYPE A or TYPE I.").await,
            },
            "MODE" if argument.eq_ignore_ascii_case(b"S") => self.say(200, "OK").await,
            "STRU" if argument.eq_ignore_ascii_case(b"F") => self.say(200, "OK").await,
            "MODE" | "STRU" => self.say(504, "MODE S and STRU F only.").await,
            "ALLO" => self.say(202, "No need to.").await,
            "ABOR" => self.say(226, "Nothing is under way.").await,
            "PORT" | "EPRT" => self.say(502, "Use PASV or EPSV: this server connects to nobody.").await,
            _ => self.answer_entered(&verb, argument).await,
        }
    }

    /// What needs a login.
    async fn answer_entered(&mut self, verb: &str, argument: &[u8]) -> Answered {
        let Some(entered) = &self.entered else { return self.say(530, "Log in with USER and PASS.").await };
        let place = entered.at.join(argument);
        let is_writable = entered.directory.is_writable();
        let restart = std::mem::take(&mut self.restart);
        let rename_from = self.rename_from.take();
        match verb {
            "PWD" | "XPWD" => self.working_directory().await,
            "CWD" | "XCWD" => self.change_directory(place).await,
            "CDUP" | "XCUP" => self.change_directory(self.place(b"..")).await,
            "PASV" => self.passive().await,
            "EPSV" => self.extended_passive(argument).await,
            "LIST" | "NLST" | "MLSD" => self.list(verb, argument).await,
            "MLST" => self.facts(place).await,
            "SIZE" | "MDTM" => self.size_or_time(verb, place).await,
            "STAT" if argument.is_empty() => self.say(211, "hourdrop is here.").await,
            "REST" => self.restart_at(argument).await,
            "RETR" => self.retrieve(place, restart).await,
            "DELE" => self.delete(place).await,
            "STOR" if is_writable => self.store(place).await,
            "MKD" | "XMKD" if is_writable => self.make_directory(place).await,
            "RNFR" if is_writable => self.rename_from(place).await,
            "RNTO" if is_writable => self.rename_to(rename_from, place).await,
            "STOR" | "STOU" | "APPE" | "MKD" | "XMKD" | "RMD" | "XRMD" | "RNFR" | "RNTO" | "SITE" | "MFMT" | "SMNT" => {
                self.say(550, "Not permitted: this account lists, reads and deletes.").await
            }
            _ => self.say(502, "This server does not know the command.").await,
        }
    }

    fn place(&self, path: &[u8]) -> Place {
        self.entered.as_ref().map(|entered| entered.at.join(path)).unwrap_or_default()
    }

    async fn user(&mut self, name: &[u8]) -> Answered {
        if self.shared.tls.is_some() && !self.is_secure {
            return self.say(530, "AUTH TLS comes first: nothing is served in clear.").await;
        }
        if self.entered.is_some() {
            return self.say(503, "Connect again for another login.").await;
        }
        self.user = Some(String::from_utf8_lossy(name).into_owned());
        self.say(331, "The password, please.").await
    }

    async fn password(&mut self, password: &[u8]) -> Answered {
        let Some(user) = self.user.take() else { return self.say(503, "USER comes first.").await };
        let wait = lock(&self.shared.throttle).note_try(self.peer, &user, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
            self.login_by += wait;
        }
        let Some(account) = self.shared.accounts.find(&user, password) else {
            return self.refuse_login(&user).await;
        };
        lock(&self.shared.throttle).note_success(self.peer, &user);
        match Directory::enter(&account) {
            Ok(directory) => {
                let name = account.name.clone();
                tracing::info!(user = name, peer = %self.peer, "logged in at the pickup server");
                self.entered = Some(Entered { name, directory, at: Place::default() });
                self.say(230, "Logged in.").await
            }
            Err(fault) => {
                tracing::error!(user = account.name, directory = %account.root.display(), "cannot be served: {fault}");
                self.control.reply(421, "The directory is not available now.").await?;
                Ok(Flow::Ends)
            }
        }
    }

    /// The same answer for a wrong password and for a name that nobody has.
    async fn refuse_login(&mut self, user: &str) -> Answered {
        let user = if self.shared.accounts.knows(user) { user } else { "(unknown)" };
        tracing::warn!(user, peer = %self.peer, "login refused at the pickup server");
        self.wrong_passwords += 1;
        if self.wrong_passwords >= WRONG_PASSWORDS_MAX {
            self.control.reply(421, "User or password is wrong. Connect again.").await?;
            return Ok(Flow::Ends);
        }
        self.say(530, "User or password is wrong.").await
    }

    /// AUTH TLS (RFC 4217, 4).
    async fn secure(&mut self, mechanism: &[u8]) -> Answered {
        let mechanism = mechanism.to_ascii_uppercase();
        if !matches!(mechanism.as_slice(), b"TLS" | b"TLS-C" | b"SSL") {
            return self.say(504, "AUTH TLS only.").await;
        }
        match &self.shared.tls {
            None => self.say(502, "This server has no certificate.").await,
            Some(_) if self.is_secure => self.say(503, "The connection is protected already.").await,
            Some(acceptor) => {
                self.control.reply(234, "Go on under TLS.").await?;
                self.control.secure(acceptor).await?;
                self.is_secure = true;
                self.user = None;
                Ok(Flow::Stays)
            }
        }
    }

    /// PROT (RFC 4217, 9). Data in clear are refused.
    async fn protect(&mut self, level: &[u8]) -> Answered {
        match level.to_ascii_uppercase().as_slice() {
            b"P" => {
                self.protects_data = true;
                self.say(200, "Data connections are protected.").await
            }
            b"C" => self.say(534, "Nothing is served in clear.").await,
            b"S" | b"E" => self.say(536, "PROT P only.").await,
            _ => self.say(504, "PROT P only.").await,
        }
    }

    /// FEAT (RFC 2389, 3).
    async fn features(&mut self) -> Answered {
        let mut lines = String::from(" EPSV\r\n MDTM\r\n");
        lines.push_str(" MLST type*;size*;modify*;unique*;\r\n PASV\r\n REST STREAM\r\n SIZE\r\n TVFS\r\n UTF8\r\n");
        if self.shared.tls.is_some() {
            lines.push_str(" AUTH TLS\r\n PBSZ\r\n PROT\r\n");
        }
        self.control.reply_lines(211, "Features:", lines.as_bytes(), "End").await?;
        Ok(Flow::Stays)
    }

    async fn options(&mut self, argument: &[u8]) -> Answered {
        let option = String::from_utf8_lossy(argument).to_ascii_uppercase();
        match option.split(' ').next() {
            Some("UTF8" | "UTF-8") => self.say(200, "Names are UTF-8.").await,
            Some("MLST") => self.say(200, "MLST OPTS type;size;modify;unique;").await,
            _ => self.say(501, "No such option.").await,
        }
    }

    async fn restart_at(&mut self, offset: &[u8]) -> Answered {
        match std::str::from_utf8(offset).ok().and_then(|offset| offset.trim().parse().ok()) {
            Some(offset) => {
                self.restart = offset;
                self.say(350, "The next RETR begins there.").await
            }
            None => self.say(501, "REST needs a number of bytes.").await,
        }
    }
}
