//! The clients that are compared with.

use crate::servers::TestServer;
use hourdrop::remote::Endpoint;
use hourdrop::remote::endpoint::FtpEndpoint;
use secrecy::ExposeSecret;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Some files, and where they go.
pub struct Job<'a> {
    pub server: &'a TestServer,
    /// A directory with nothing but the files.
    pub files: &'a Path,
    /// The authority of the server's certificate, when the session is to be protected.
    pub authority: Option<&'a Path>,
    /// To log in by SSH.
    pub key: &'a Path,
    /// Sessions that hourdrop may open at once.
    pub connections: u64,
}

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Curl,
    Lftp,
    LftpFour,
    Sftp,
    Rclone,
    /// What hourdrop asks of the server, asked by curl: a temporary name, its size, a look at the final name, the rename,
    /// the size again, over as many sessions. It proves and records nothing, and shows names in any order.
    CurlSteps,
}

impl Peer {
    pub const ALL: [Self; 6] = [Self::Curl, Self::Lftp, Self::LftpFour, Self::Sftp, Self::Rclone, Self::CurlSteps];

    /// Whether it only copies, as people use it.
    pub fn is_rival(self) -> bool {
        self != Self::CurlSteps
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::Lftp => "lftp",
            Self::LftpFour => "lftp -P4",
            Self::Sftp => "sftp",
            Self::Rclone => "rclone",
            Self::CurlSteps => "same steps",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Curl | Self::CurlSteps => "curl",
            Self::Lftp | Self::LftpFour => "lftp",
            Self::Sftp => "sftp",
            Self::Rclone => "rclone",
        }
    }

    /// Whether it is installed and speaks what the server speaks.
    pub fn serves(self, job: &Job<'_>) -> bool {
        let by_ssh = matches!(self, Self::Sftp | Self::Rclone);
        let asked = Command::new(self.program()).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        // At once and with TLS curl does not reuse the session for every transfer, which vsftpd asks for.
        let is_refused = self == Self::CurlSteps && job.connections > 1 && job.authority.is_some();
        by_ssh == matches!(job.server.endpoint, Endpoint::Sftp(_)) && !is_refused && asked.is_ok()
    }

    /// The command that copies all files.
    pub fn command(self, job: &Job<'_>) -> Command {
        match (&job.server.endpoint, self) {
            (Endpoint::Ftp(ftp), Self::Curl | Self::CurlSteps) => self.curl(job, ftp),
            (Endpoint::Ftp(ftp), Self::Lftp | Self::LftpFour) => {
                let tls = job.authority.map_or_else(
                    || "set ftp:ssl-allow false".to_owned(),
                    |_| {
                        "set ftp:ssl-force true; set ftp:ssl-protect-data true; set ssl:verify-certificate false"
                            .to_owned()
                    },
                );
                let copy = match self {
                    Self::LftpFour => format!("mirror -R -P4 {} .", job.files.display()),
                    Self::Curl | Self::CurlSteps | Self::Lftp | Self::Sftp | Self::Rclone => {
                        format!("lcd {}; mput *", job.files.display())
                    }
                };
                let script = format!(
                    "set cmd:fail-exit true; set net:max-retries 2; {tls}; open -u {},{} -p {} 127.0.0.1; cd {}; {copy}; bye",
                    ftp.user,
                    ftp.password.expose_secret(),
                    ftp.port,
                    job.server.base
                );
                let mut command = Command::new("lftp");
                command.args(["--norc", "-c", &script]);
                command
            }
            (Endpoint::Sftp(ssh), Self::Sftp) => {
                let mut puts = String::new();
                for name in names(job.files) {
                    writeln!(puts, "put {} {name}", job.files.join(&name).display()).expect("text");
                }
                let batch = beside(job.files, "sftp", &puts);
                let mut command = Command::new("sftp");
                command.args(["-q", "-P", &ssh.port.to_string(), "-oStrictHostKeyChecking=no", "-oLogLevel=ERROR"]);
                command.args(["-oUserKnownHostsFile=/dev/null", "-oIdentitiesOnly=yes", "-i"]).arg(job.key);
                command.arg("-b").arg(batch).arg(format!("{}@127.0.0.1", ssh.user));
                command
            }
            (Endpoint::Sftp(ssh), Self::Rclone) => {
                let mut command = Command::new("rclone");
                command.args(["--config", "/dev/null", "copy"]).arg(job.files);
                command.arg(":sftp:.").args(["--sftp-host", "127.0.0.1", "--sftp-user", &ssh.user]);
                command.args(["--sftp-port", &ssh.port.to_string(), "--sftp-key-file"]).arg(job.key);
                command
            }
            (endpoint, peer) => panic!("{} does not go to {endpoint}", peer.name()),
        }
    }

    fn curl(self, job: &Job<'_>, ftp: &FtpEndpoint) -> Command {
        let (base, port) = (&job.server.base, ftp.port);
        let mut session = format!("silent\nshow-error\nuser = \"{}:{}\"\n", ftp.user, ftp.password.expose_secret());
        if job.authority.is_some() {
            // Later sessions of TLS 1.3 are refused by servers that want them reused. The certificates of the
            // tests bear one name with their authority, which OpenSSL does not verify; nor does that take time.
            session.push_str("ssl-reqd\ntls-max = \"1.2\"\ninsecure\n");
        }
        let mut list = session.clone();
        for name in names(job.files) {
            let path = job.files.join(&name);
            let put = |name: &str| {
                format!("upload-file = \"{}\"\nurl = \"ftp://127.0.0.1:{port}/{base}/{name}\"\n", path.display())
            };
            if self == Self::Curl {
                list.push_str(&put(&name));
                continue;
            }
            if list.len() > session.len() {
                list.push_str("next\n");
                list.push_str(&session);
            }
            list.push_str(&put(&format!("{name}.tmp")));
            // Behind the transfer; the look at the final name may fail.
            for step in ["-SIZE {}.tmp", "-*SIZE {}", "-RNFR {}.tmp", "-RNTO {}", "-SIZE {}"] {
                writeln!(list, "quote = \"{}\"", step.replace("{}", &name)).expect("text");
            }
        }
        let config = beside(job.files, "curl", &list);
        let mut command = Command::new("curl");
        if self == Self::CurlSteps && job.connections > 1 {
            command.args(["--parallel", "--parallel-max", &job.connections.to_string()]);
        }
        command.arg("-K").arg(config);
        command
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("files").flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

/// Writes a list for a client, beside the directory with the files.
fn beside(files: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = files.with_extension(name);
    fs::write(&path, text).expect("written");
    path
}
