//! What is measured at each real server, beside what docs/servers.md says about it.
//!
//! `HOURDROP_WRITE_DOCS=1 tests/run the_documented_table` writes the table and the screens anew.

use super::{configured, furnish, lines_of, probe_server, probed, run};
use crate::servers::{Certificates, SshKeys, TestServer};
use crate::site::{Site, project};
use hourdrop::app::probe::{OntoExisting, ProbeReport, Transfers, Tried, Verdict};
use hourdrop::remote::Endpoint;
use std::fs;

const DOCUMENT: &str = "docs/servers.md";
const HEAD: &str = "\
| server | listing | EPSV | active mode | states SHA-256 | rename onto a file | name with space and 话单 | leading dot listed | 2nd session \
| 5 files over one session | with TLS 1.3 |
|---|---|---|---|---|---|---|---|---|---|---|
";

fn yes(tried: &Tried<bool>) -> &'static str {
    match tried {
        Tried::Done(true) => "yes",
        Tried::Done(false) => "no",
        Tried::Failed(_) => "refused",
        Tried::Not => "-",
    }
}

fn sent(transfers: &Transfers) -> String {
    match transfers {
        Transfers { wanted: 0, .. } => "-".to_owned(),
        Transfers { wanted, done, .. } if wanted == done => "yes".to_owned(),
        Transfers { done, .. } => format!("{done}, then refused"),
    }
}

/// Whether everything works when the server opens the data connections.
fn active(server: &TestServer) -> &'static str {
    if !matches!(server.endpoint, Endpoint::Ftp(_)) {
        return "-";
    }
    let site = Site::new();
    let report = probed(&configured(&site, &format!("{}data = \"active\"\n", lines_of(server))));
    assert!(report.left.is_empty() && report.is_active(), "{}: {:?}", server.name, report.left);
    if report.verdict() == Verdict::Usable { "yes" } else { "no" }
}

fn row(name: &str, report: &ProbeReport, active: &str) -> String {
    let facts = report.facts.done().expect("facts");
    let trials = &report.trials;
    let onto = match &trials.onto_existing {
        Tried::Done(OntoExisting::Replaces) => "replaces",
        Tried::Done(OntoExisting::Refused(_)) => "refused",
        other => panic!("{name}: {other:?}"),
    };
    let cells = [
        name.to_owned(),
        facts.listing.to_owned(),
        facts.passive.as_ref().map_or("-", |passive| if passive.extended.is_ok() { "yes" } else { "no" }).to_owned(),
        active.to_owned(),
        if trials.server_hash == Tried::Done(Some(true)) { "yes" } else { "no" }.to_owned(),
        onto.to_owned(),
        yes(&trials.unusual_name).to_owned(),
        yes(&trials.hidden_name).to_owned(),
        match &trials.second_session {
            Tried::Done(()) => "yes",
            Tried::Failed(_) => "refused",
            Tried::Not => "-",
        }
        .to_owned(),
        sent(&trials.transfers),
        sent(&trials.transfers_1_3),
    ];
    format!("| {} |\n", cells.join(" | "))
}

/// The screen of a probe. Ports and paths of this run are replaced by others of the same length.
fn screen(server: &TestServer) -> String {
    let site = Site::new();
    furnish(server);
    let lines = lines_of(server);
    configured(&site, &lines);
    let (code, text) = run(&site, &["huaxin"]);
    assert_eq!(code, 0, "{text}");
    let port = lines.split("127.0.0.1:").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let text = if port.is_empty() { text } else { text.replace(port, "42121") };
    let files = server.files.display().to_string();
    let mut text = text.replace(&files, "/srv/drop");
    if let Some(authority) = lines.split("ca = \"").nth(1).and_then(|rest| rest.split('"').next()) {
        text = text.replace(authority, "/etc/hourdrop/partner-ca.pem");
    }
    format!("### {}\n\n```text\n{text}```\n", server.name)
}

/// The text between two marks, which stay.
fn replaced(text: &str, mark: &str, inner: &str) -> String {
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->\n"));
    let (before, rest) = text.split_once(&begin).expect("the mark");
    let (_, after) = rest.split_once(&end).expect("its end");
    format!("{before}{begin}\n{inner}\n{end}{after}")
}

#[test]
fn the_documented_table_of_servers_is_what_is_measured() {
    let (certificates, keys) = (Certificates::for_this_machine(), SshKeys::of_kinds(&["ed25519"]));
    let servers: [fn(&Certificates, &SshKeys) -> TestServer; 12] = [
        |_, _| TestServer::vsftpd(),
        |certificates, _| TestServer::vsftpd_tls(certificates),
        |certificates, _| TestServer::vsftpd_implicit(certificates),
        |_, _| TestServer::proftpd(),
        |_, _| TestServer::proftpd_with_hashes(),
        |certificates, _| TestServer::proftpd_tls(certificates),
        |_, _| TestServer::pure_ftpd(),
        |certificates, _| TestServer::pure_ftpd_tls(certificates),
        |_, keys| TestServer::openssh(keys),
        |_, _| TestServer::demo(),
        |certificates, _| TestServer::demo_tls(certificates),
        |_, _| TestServer::local_dir(),
    ];
    let path = project().join(DOCUMENT);
    let writes = std::env::var_os("HOURDROP_WRITE_DOCS").is_some();
    let (mut table, mut screens) = (HEAD.to_owned(), Vec::new());
    for start in servers {
        let server = start(&certificates, &keys);
        table.push_str(&row(server.name, &probe_server(&server), active(&server)));
        drop(server);
        if writes {
            screens.push(screen(&start(&certificates, &keys)));
        }
    }
    let text = fs::read_to_string(&path).expect("the document");
    if writes {
        let text = replaced(&replaced(&text, "table", &table), "screens", &screens.join("\n"));
        fs::write(&path, text).expect("write");
    } else {
        assert_eq!(replaced(&text, "table", &table), text, "{DOCUMENT} says something else");
    }
}
