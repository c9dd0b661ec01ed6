//! Whatever a client sends to the built-in server once it has logged in: the session ends with the connection, every
//! line that is answered is a whole one, and nothing outside of the account's directory is made, changed or removed.
#![no_main]

use hourdrop::serve::{Access, Account, FtpServer, Limits, ServerSettings};
use libfuzzer_sys::fuzz_target;
use std::cell::OnceCell;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::Duration;

const BESIDE: &[u8] = b"nobody's business";
/// What a file of the account holds.
const INSIDE: &[u8] = b"0123456789";
/// More files than this are not kept from one input to the next.
const FILES_MAX: usize = 100;

thread_local! {
    static PLACE: OnceCell<(FtpServer, tempfile::TempDir)> = const { OnceCell::new() };
}

fn start() -> (FtpServer, tempfile::TempDir) {
    let dir = hourdrop_fuzz::place();
    fs::write(dir.path().join("beside.dat"), BESIDE).expect("write");
    let root = dir.path().join("account");
    furnish(&root);
    let limits = Limits { idle: Duration::from_secs(2), login_delay: Duration::ZERO, ..Limits::default() };
    let settings = ServerSettings { limits, ..ServerSettings::on_loopback(0) };
    let account = Account { name: "acme".to_owned(), password: "secret".into(), root, access: Access::Full };
    (FtpServer::bind(settings).and_then(|bound| bound.serve(&[account])).expect("a server"), dir)
}

/// The account has a file and a directory.
fn furnish(root: &Path) {
    fs::create_dir_all(root.join("sub")).expect("directory");
    fs::write(root.join("a.dat"), INSIDE).expect("write");
    for entry in fs::read_dir(root).expect("directory").skip(FILES_MAX) {
        let path = entry.expect("entry").path();
        fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).expect("removed");
    }
}

fn talk(server: &FtpServer, data: &[u8]) -> Vec<u8> {
    let mut client = TcpStream::connect(server.address()).expect("a connection");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("deadline");
    // A server that has ended the session takes no more.
    for piece in [&b"USER acme\r\nPASS secret\r\n"[..], data, &b"\r\nQUIT\r\n"[..]] {
        let _ = client.write_all(piece);
    }
    let _ = client.shutdown(Shutdown::Write);
    let mut said = Vec::new();
    match client.read_to_end(&mut said) {
        Err(error) if !matches!(error.kind(), ErrorKind::ConnectionReset) => panic!("the session does not end: {error}"),
        _ => said,
    }
}

fuzz_target!(|data: &[u8]| {
    PLACE.with(|place| {
        let (server, dir) = place.get_or_init(start);
        furnish(&dir.path().join("account"));
        let said = talk(server, data);
        for line in said.split_inclusive(|byte| *byte == b'\n') {
            assert!(line.ends_with(b"\r\n"), "half a line: {:?}", String::from_utf8_lossy(line));
        }
        let mut names: Vec<_> = fs::read_dir(dir.path()).expect("directory").map(|e| e.expect("entry").file_name()).collect();
        names.sort();
        assert_eq!(names, ["account", "beside.dat"], "something else beside the account's directory");
        assert_eq!(fs::read(dir.path().join("beside.dat")).expect("read"), BESIDE);
    });
});
