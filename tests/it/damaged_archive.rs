//! What is not as it was archived is never shown to a partner, and is named.

use crate::servers::TestServer;
use crate::site::{Site, call_line, files_in, once, one_feed};
use hourdrop::domain::period::Partition;
use hourdrop::remote::Endpoint;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const NOW: &str = "2024-11-03T05:00:00Z";

/// A sealed hour of two part files that could not be delivered, and how to deliver it.
struct Waiting {
    site: Site,
    config: PathBuf,
    text: String,
    server: TestServer,
}

impl Waiting {
    fn new(server: TestServer) -> Self {
        let site = Site::new();
        let calls: String = (0..150).map(|number| call_line(5, &format!("call-{number}"))).collect();
        site.write("in/1.log", calls);
        let source = format!("files = \"{}/*.log\"\nfinished = \"renamed\"", site.path("in").display());
        let config = one_feed(&site, &source, "records_max = 100", "forever");
        let text = fs::read_to_string(&config).expect("configuration");
        let Endpoint::Ftp(ftp) = &server.endpoint else { panic!("an FTP server") };
        let secret = site.write("password", secrecy::ExposeSecret::expose_secret(&ftp.password).as_bytes());
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("mode");
        let deliver = format!("deliver = \"{}\"", site.drop_dir("huaxin").display());
        let to = |port: u16| {
            let url = format!("ftp://{}@127.0.0.1:{port}/{}/cdr", ftp.user, server.base.as_str());
            text.replace(&deliver, &format!("deliver = \"{url}\"\npassword = {{ file = \"password\" }}"))
        };
        let (unreachable, text) = (to(1), to(ftp.port));
        site.configure(&format!("once_deliver_for = \"1s\"\n{unreachable}"));
        assert_eq!(once(&config, NOW).exit_code(), 5);
        Self { site, config, text, server }
    }

    fn archived(&self, ending: &str) -> PathBuf {
        let archive = self.site.path("archive");
        let found = files_in(&archive).into_keys().find(|name| name.ends_with(ending)).expect("an archived file");
        archive.join(found)
    }

    /// Writes other bytes into an archived file, as nobody does.
    fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(path).expect("read");
        change(&mut bytes);
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).expect("mode");
        fs::write(path, bytes).expect("write");
    }

    fn deliver(&self) -> hourdrop::app::exporter::OnceReport {
        self.site.configure(&self.text);
        once(&self.config, NOW)
    }

    fn shown(&self) -> BTreeMap<String, Vec<u8>> {
        files_in(&self.server.files.join("cdr"))
    }
}

type Change = fn(&mut Vec<u8>);

#[test]
fn a_file_that_is_not_as_it_was_archived_is_held_and_named() {
    let changes: [(&str, Change); 4] = [
        ("the first byte", |bytes| bytes[0] ^= 1),
        ("the last byte", |bytes| *bytes.last_mut().expect("bytes") ^= 1),
        ("cut short", |bytes| bytes.truncate(100)),
        ("longer", |bytes| bytes.push(b'x')),
    ];
    for (index, (what, change)) in changes.into_iter().enumerate() {
        let waiting = Waiting::new(if index % 2 == 0 { TestServer::vsftpd() } else { TestServer::proftpd() });
        let path = waiting.archived("_00002.dat");
        let good = fs::read(&path).expect("read");
        Waiting::change(&path, change);
        for _pass in 0..2 {
            let report = waiting.deliver();
            assert_eq!((report.exit_code(), report.held.len()), (4, 1), "{what}: {report:?}");
            let alarm = report.alarms.iter().find(|alarm| alarm.code == "HD0701").expect(what);
            assert!(alarm.message.contains(&path.display().to_string()), "{what}: {}", alarm.message);
            let shown: Vec<String> = waiting.shown().into_keys().collect();
            assert_eq!(shown, ["HX_2024110302_00001.dat"], "{what}: no part of it, and no manifest");
        }
        // With the right bytes in their place it goes on.
        Waiting::change(&path, |bytes| *bytes = good);
        let feed = hourdrop::domain::ids::FeedId::parse("huaxin/voice").expect("feed");
        let mut exporter = crate::site::open(&waiting.config, NOW);
        crate::site::release(
            &mut exporter,
            &feed,
            Partition { start: crate::site::FIRST_HOUR, end: crate::site::FIRST_HOUR + 3600 },
        );
        drop(exporter);
        let report = waiting.deliver();
        assert_eq!((report.exit_code(), report.alarms.len()), (0, 0), "{what}: {report:?}");
        assert_eq!(waiting.shown().len(), 3, "{what}");
    }
}

#[test]
fn a_changed_manifest_is_held_behind_its_files() {
    let waiting = Waiting::new(TestServer::vsftpd());
    Waiting::change(&waiting.archived("_00.json"), |bytes| bytes[10] ^= 0x20);
    let report = waiting.deliver();
    assert_eq!((report.exit_code(), report.held.len()), (4, 1), "{report:?}");
    assert!(report.alarms.iter().any(|alarm| alarm.code == "HD0701"));
    let shown: Vec<String> = waiting.shown().into_keys().collect();
    assert_eq!(shown, ["HX_2024110302_00001.dat", "HX_2024110302_00002.dat"]);
}
