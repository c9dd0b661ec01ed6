//! A place where everything is sealed and nothing is delivered.

use crate::peers::Job;
use hourdrop::remote::Endpoint;
use hourdrop::remote::endpoint::Protection;
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of a small file.
pub const SMALL_BYTES: u64 = 20 << 10;
/// Bytes of a line of the partner's files.
const LINE_BYTES: u64 = 512;
/// Bytes in front of the text of a line of input.
const TIME: &str = "2026-03-14T00:10:00Z,";
/// Bytes compared at a time.
const PIECE_BYTES: usize = 1 << 20;

const FORMAT: &str = "kind = \"delimited\"\n[read]\nfields = [{ name = \"at\", column = 1, time = \"rfc3339\" }, \
                      { name = \"text\", column = 2 }]\n";
const LINES: &str = "kind = \"delimited\"\nrecord = [{ field = \"text\" }]\n";

/// Sealed files, and where they lie.
pub struct Site {
    root: PathBuf,
    /// A directory with nothing but the files.
    pub files: PathBuf,
    part: Option<u64>,
}

impl Site {
    /// Seals so many bytes, in part files of so many.
    pub fn sealed(root: &Path, bytes: u64, part: Option<u64>) -> Self {
        let template = root.join("template");
        for directory in ["in", "formats", "out"] {
            fs::create_dir_all(template.join(directory)).expect("directory");
        }
        fs::write(template.join("formats/in.toml"), FORMAT).expect("format");
        fs::write(template.join("formats/lines.toml"), LINES).expect("format");
        write_input(&template.join("in/calls.csv"), bytes);
        let site = Self { root: root.to_owned(), files: root.join("files"), part };
        site.configure(&template, "deliver = \"out\"", 1);
        for arguments in [vec!["check"], vec!["pause", "billing", "--reason", "sealed first"], vec!["once"]] {
            let mut command = program(&template);
            let output = command.args(&arguments).output().expect("hourdrop runs");
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code().is_some_and(|code| matches!(code, 0 | 5)), "{arguments:?}: {text}");
        }
        let resumed = program(&template).args(["resume", "billing", "--reason", "now"]).status();
        assert!(resumed.expect("hourdrop runs").success(), "the partner rests");
        fs::create_dir(&site.files).expect("directory");
        for path in data_files(&template.join("archive")) {
            fs::hard_link(&path, site.files.join(path.file_name().expect("a name"))).expect("a link");
        }
        // They were read, and would be copied again and again.
        fs::remove_dir_all(template.join("in")).expect("removed");
        fs::create_dir(template.join("in")).expect("directory");
        site
    }

    pub fn count(&self) -> usize {
        data_files(&self.files).len()
    }

    pub fn bytes(&self) -> u64 {
        data_files(&self.files).iter().map(|path| path.metadata().expect("a file").len()).sum()
    }

    /// The command that delivers them, in a new copy of the place.
    pub fn delivery(&self, job: &Job<'_>, round: usize) -> Command {
        let place = self.root.join("place");
        if place.exists() {
            fs::remove_dir_all(&place).expect("removed");
        }
        let copied = Command::new("cp").arg("-a").arg(self.root.join("template")).arg(&place).status();
        assert!(copied.expect("cp runs").success(), "round {round}: the place is not copied");
        self.configure(&place, &partner(job, &place), job.connections);
        let mut command = program(&place);
        command.args(["once", "--quiet"]);
        command
    }

    fn configure(&self, place: &Path, partner: &str, connections: u64) {
        let part = self.part.map_or_else(String::new, |bytes| format!("bytes_max = \"{bytes}B\"\n"));
        let connections = if connections == 1 { String::new() } else { format!("connections = {connections}\n") };
        let text = format!(
            "state = \"state\"\narchive = \"archive\"\nonce_deliver_for = \"600s\"\n\n[source.switch]\n\
             files = \"in/*.csv\"\nfinished = \"renamed\"\nformat = \"in\"\n\n[partner.billing]\n{partner}\n{connections}\n\
             [partner.billing.feed.calls]\nsource = \"switch\"\nformat = \"lines\"\nhour_by = \"at\"\n\
             starts_at = \"2026-03-14T00:00:00Z\"\nname = \"C_{{start:%Y%m%d%H}}_{{seq:05}}.dat\"\n\
             manifest = false\nempty = \"none\"\n{part}"
        );
        fs::write(place.join("hourdrop.toml"), text).expect("written");
    }

    /// The server's directory holds the files and nothing else.
    pub fn compare(&self, directory: &Path) {
        let by_name = |directory: &Path| -> BTreeMap<_, _> {
            let named = |path: PathBuf| (path.file_name().expect("a name").to_owned(), path);
            data_files(directory).into_iter().map(named).collect()
        };
        let (ours, theirs) = (by_name(&self.files), by_name(directory));
        assert!(ours.keys().eq(theirs.keys()), "other names at the server");
        for (path, there) in ours.values().zip(theirs.values()) {
            assert!(is_same(path, there), "{}: other bytes at the server", there.display());
        }
    }
}

/// How the configuration names the server.
fn partner(job: &Job<'_>, place: &Path) -> String {
    let base = &job.server.base;
    match &job.server.endpoint {
        Endpoint::Ftp(ftp) => {
            let secret = place.join("password");
            fs::write(&secret, ftp.password.expose_secret()).expect("written");
            // What others can read is no secret, and is refused.
            fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("mode");
            let (scheme, mut more) = match ftp.protection {
                Protection::None => ("ftp", String::new()),
                Protection::Explicit(_) | Protection::Implicit(_) => ("ftps", String::new()),
            };
            if let Some(authority) = job.authority {
                write!(more, "\ntls = {{ ca = \"{}\" }}", authority.display()).expect("text");
            }
            format!(
                "deliver = \"{scheme}://{}@127.0.0.1:{}/{base}\"\npassword = {{ file = \"password\" }}{more}",
                ftp.user, ftp.port
            )
        }
        Endpoint::Sftp(ssh) => {
            let hourdrop::remote::endpoint::HostKeys::Pinned(pins) = &ssh.host_keys else {
                panic!("the server's keys are pinned")
            };
            format!(
                "deliver = \"sftp://{}@127.0.0.1:{}/\"\nkey = \"{}\"\nhost_key = {pins:?}",
                ssh.user,
                ssh.port,
                job.key.display()
            )
        }
        Endpoint::LocalDir { path, .. } => format!("deliver = \"{}\"", path.display()),
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    use std::io::Read;
    let mut files = [one, other].map(|path| fs::File::open(path).expect("a file"));
    let mut pieces = [Vec::new(), Vec::new()];
    loop {
        for (file, piece) in files.iter_mut().zip(pieces.iter_mut()) {
            piece.clear();
            file.take(u64::try_from(PIECE_BYTES).expect("a length")).read_to_end(piece).expect("read");
        }
        let [one, other] = &pieces;
        if one != other || one.is_empty() {
            return one == other;
        }
    }
}

fn write_input(path: &Path, bytes: u64) {
    let mut out = BufWriter::new(fs::File::create(path).expect("a file"));
    let width = usize::try_from(LINE_BYTES - 1).expect("a length");
    for number in 0..bytes / LINE_BYTES {
        writeln!(out, "{TIME}{:0width$x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).expect("written");
    }
    out.flush().expect("written");
}

/// All files of ours below a directory.
fn data_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "dat") {
                found.push(path);
            }
        }
    }
    found
}

fn program(place: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hourdrop"));
    command.current_dir(place);
    command
}
