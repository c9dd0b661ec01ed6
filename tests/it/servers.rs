//! Real servers for the tests: each on 127.0.0.1, on a port of its own, with a directory of its own, stopped at the
//! end of the test. `tests/servers/fetch` unpacks them; a server that is missing fails the test and says so.

use hourdrop::app::config::TlsFiles;
use hourdrop::domain::ids::Sha256Digest;
use hourdrop::remote::endpoint::{FtpEndpoint, HostKeys, Protection, SftpEndpoint, SftpLogin, Wire};
use hourdrop::remote::local_dir::DropRule;
use hourdrop::remote::tls::{TlsRules, Trust};
use hourdrop::remote::{Endpoint, RemotePath};
use hourdrop::serve::{Access, Account, FtpServer, ServerSettings};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const USER: &str = "acme";
const PASSWORD: &str = "testpass";
/// `testpass` as crypt(3) stores it.
const PASSWORD_HASH: &str = "$5$hourdrop$u67AkpcbkMEBcdw28VSGjB9z2OW5ni4ML6YHdTgSLNA";
/// The system user `daemon`, which every system has; the servers act as this user on the test's files.
const DAEMON: u32 = 1;
const START_DEADLINE: Duration = Duration::from_secs(20);

/// A server to deliver to.
pub struct TestServer {
    /// Which one.
    pub name: &'static str,
    /// How to log in.
    pub endpoint: Endpoint,
    /// How not to; `None` where there is no login.
    pub wrong_login: Option<Endpoint>,
    /// A writable directory there.
    pub base: RemotePath,
    /// The same directory here.
    pub files: PathBuf,
    running: Running,
}

/// What keeps a server going; dropped in the order of the fields.
#[expect(dead_code, reason = "held for their effect when dropped")]
enum Running {
    Nothing(TempDir),
    Inside(FtpServer, TempDir),
    Process(Process, TempDir),
}

impl TestServer {
    /// A directory of this machine.
    pub fn local_dir() -> Self {
        let dir = open_dir();
        Self {
            name: "local directory",
            endpoint: Endpoint::LocalDir { path: dir.path().to_owned(), rule: DropRule::default() },
            wrong_login: None,
            base: RemotePath::login_directory(),
            files: dir.path().to_owned(),
            running: Running::Nothing(dir),
        }
    }

    /// hourdrop's own server.
    pub fn demo() -> Self {
        let dir = open_dir();
        let server = own_server(&dir, ServerSettings::on_loopback(0));
        let port = server.address().port();
        Self {
            name: "built-in server",
            endpoint: ftp(port, PASSWORD),
            wrong_login: Some(ftp(port, "wrong")),
            base: RemotePath::login_directory(),
            files: dir.path().to_owned(),
            running: Running::Inside(server, dir),
        }
    }

    /// The same with TLS.
    pub fn demo_tls(certificates: &Certificates) -> Self {
        let dir = open_dir();
        let files = TlsFiles { certificate: certificates.certificate.clone(), key: certificates.key.clone() };
        let settings = ServerSettings { tls: Some(files), ..ServerSettings::on_loopback(0) };
        let server = own_server(&dir, settings);
        let port = server.address().port();
        let tls: Tls<'_> = Some((certificates, Protection::Explicit));
        Self {
            name: "built-in server with TLS",
            endpoint: protected(ftp(port, PASSWORD), tls),
            wrong_login: Some(protected(ftp(port, "wrong"), tls)),
            base: RemotePath::login_directory(),
            files: dir.path().to_owned(),
            running: Running::Inside(server, dir),
        }
    }

    /// vsftpd with uploads by anybody. It insists on a root directory that cannot be written.
    pub fn vsftpd() -> Self {
        Self::vsftpd_configured("")
    }

    /// The same with more lines in its configuration.
    pub fn vsftpd_configured(more: &str) -> Self {
        Self::vsftpd_with("vsftpd", None, more)
    }

    /// vsftpd with room for so many sessions of one address.
    pub fn vsftpd_for(sessions: u32) -> Self {
        Self::vsftpd_with("vsftpd with a limit", None, &format!("max_per_ip={sessions}\n"))
    }

    /// vsftpd that wants TLS, and every data connection with the TLS session of the control connection.
    pub fn vsftpd_tls(certificates: &Certificates) -> Self {
        let more = format!("{VSFTPD_TLS}{}", certificates.for_vsftpd());
        Self::vsftpd_with("vsftpd with TLS", Some((certificates, Protection::Explicit)), &more)
    }

    /// The same from the first byte.
    pub fn vsftpd_implicit(certificates: &Certificates) -> Self {
        let more = format!("{VSFTPD_TLS}implicit_ssl=YES\n{}", certificates.for_vsftpd());
        Self::vsftpd_with("vsftpd with implicit TLS", Some((certificates, Protection::Implicit)), &more)
    }

    fn vsftpd_with(name: &'static str, tls: Tls<'_>, more: &str) -> Self {
        let dir = open_dir();
        let (root, empty) = (dir.path().join("root"), dir.path().join("empty"));
        let files = root.join("files");
        fs::create_dir_all(&files).expect("directory");
        fs::create_dir(&empty).expect("directory");
        give_to_daemon(&files);
        let config = dir.path().join("vsftpd.conf");
        let (process, port) = start("usr/sbin/vsftpd", |port| {
            let text = format!(
                "listen=YES\nlisten_ipv6=NO\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\n\
                 anonymous_enable=YES\nlocal_enable=NO\nwrite_enable=YES\nanon_upload_enable=YES\n\
                 anon_mkdir_write_enable=YES\nanon_other_write_enable=YES\nanon_world_readable_only=NO\n\
                 anon_umask=022\nanon_root={root}\nftp_username=daemon\nsecure_chroot_dir={empty}\n\
                 seccomp_sandbox=NO\nisolate_network=NO\nxferlog_enable=NO\n{more}",
                root = root.display(),
                empty = empty.display()
            );
            write(&config, &text);
            vec![config.display().to_string()]
        });
        let login = |user: &str| protected(ftp_as(user, port, PASSWORD), tls);
        Self {
            name,
            endpoint: login("anonymous"),
            wrong_login: Some(login("nobody-here")),
            base: RemotePath::parse("files").expect("path"),
            files,
            running: Running::Process(process, dir),
        }
    }

    /// `ProFTPD` with a user of its own.
    pub fn proftpd() -> Self {
        Self::proftpd_configured("")
    }

    /// `ProFTPD` that computes hashes when it is asked (HASH and XSHA256).
    pub fn proftpd_with_hashes() -> Self {
        Self::proftpd_with("ProFTPD with hashes", None, "LoadModule mod_digest.c\n")
    }

    /// The same with more lines in its configuration.
    pub fn proftpd_configured(more: &str) -> Self {
        Self::proftpd_with("ProFTPD", None, more)
    }

    /// `ProFTPD` that wants TLS, and every data connection with the TLS session of the control connection.
    pub fn proftpd_tls(certificates: &Certificates) -> Self {
        Self::proftpd_with("ProFTPD with TLS", Some((certificates, Protection::Explicit)), "")
    }

    fn proftpd_with(name: &'static str, tls: Tls<'_>, more: &str) -> Self {
        let tls_lines = tls.map_or_else(String::new, |(certificates, _)| {
            let (certificate, key) = (certificates.certificate.display(), certificates.key.display());
            format!(
                "LoadModule mod_tls.c\nTLSEngine on\nTLSECCertificateFile {certificate}\n\
                 TLSECCertificateKeyFile {key}\nTLSVerifyClient off\nTLSRequired on\n"
            )
        });
        let dir = open_dir();
        let files = dir.path().join("files");
        fs::create_dir(&files).expect("directory");
        give_to_daemon(&files);
        let (config, users) = (dir.path().join("proftpd.conf"), dir.path().join("users"));
        write(&users, &format!("{USER}:{PASSWORD_HASH}:{DAEMON}:{DAEMON}::{}:/bin/sh\n", files.display()));
        fs::set_permissions(&users, Permissions::from_mode(0o640)).expect("mode");
        let (process, port) = start("usr/sbin/proftpd", |port| {
            let text = format!(
                "ServerType standalone\nDefaultAddress 127.0.0.1\nSocketBindTight on\nPort {port}\nUseIPv6 off\n\
                 ModulePath {modules}\nPidFile {dir}/pid\nScoreboardFile {dir}/scores\nScoreboardMutex {dir}/mutex\n\
                 DelayTable none\nControlsEngine off\nSystemLog {dir}/log\nWtmpLog off\nTransferLog none\n\
                 User daemon\nGroup daemon\nAuthOrder mod_auth_file.c\nAuthUserFile {users}\n\
                 RequireValidShell off\nDefaultRoot ~\nAllowOverwrite on\n{tls_lines}{more}",
                modules = unpacked("usr/lib/proftpd").display(),
                dir = dir.path().display(),
                users = users.display()
            );
            write(&config, &text);
            vec!["-n".to_owned(), "-q".to_owned(), "-c".to_owned(), config.display().to_string()]
        });
        Self::of_process(name, tls, (process, port), files, dir)
    }

    /// Pure-FTPd with a user of its own.
    pub fn pure_ftpd() -> Self {
        Self::pure_ftpd_with("Pure-FTPd", None)
    }

    /// Pure-FTPd that wants TLS.
    pub fn pure_ftpd_tls(certificates: &Certificates) -> Self {
        Self::pure_ftpd_with("Pure-FTPd with TLS", Some((certificates, Protection::Explicit)))
    }

    fn pure_ftpd_with(name: &'static str, tls: Tls<'_>) -> Self {
        let dir = open_dir();
        let files = dir.path().join("files");
        fs::create_dir(&files).expect("directory");
        give_to_daemon(&files);
        let (users, database) = (dir.path().join("users"), dir.path().join("users.pdb"));
        let home = files.display();
        write(&users, &format!("{USER}:{PASSWORD_HASH}:{DAEMON}:{DAEMON}::{home}/./::::::::::::\n"));
        let made = program("usr/bin/pure-pw").arg("mkdb").arg(&database).arg("-f").arg(&users).status();
        assert!(made.expect("pure-pw runs").success(), "pure-pw made no database");
        let (process, port) = start("usr/sbin/pure-ftpd", |port| {
            let pid = dir.path().join("pid");
            let address = format!("127.0.0.1,{port}");
            let login = format!("puredb:{}", database.display());
            let options = ["-S", &address, "-l", &login, "-A", "-j", "-H", "-g", &pid.display().to_string()];
            let both = tls.map(|(certificates, _)| certificates.both.display().to_string());
            let more = both.iter().flat_map(|both| ["-Y", "2", "-2", both]);
            options.into_iter().chain(more).map(str::to_owned).collect()
        });
        Self::of_process(name, tls, (process, port), files, dir)
    }

    /// OpenSSH's own server with a user of its own, who may log in with a password or a key.
    pub fn openssh(keys: &SshKeys) -> Self {
        Self::openssh_configured(keys, "")
    }

    /// The same with more lines in its configuration.
    pub fn openssh_configured(keys: &SshKeys, more: &str) -> Self {
        let dir = open_dir();
        let files = dir.path().join("files");
        fs::create_dir(&files).expect("directory");
        give_to_daemon(&files);
        // The server insists on this directory, which a system without it lacks.
        fs::create_dir_all("/run/sshd").expect("directory");
        let (config, users, groups) = (dir.path().join("config"), dir.path().join("users"), dir.path().join("groups"));
        let home = files.display();
        write(
            &users,
            &format!(
                "root:x:0:0::/root:/bin/sh\nsshd:x:{DAEMON}:{DAEMON}::/run/sshd:/usr/sbin/nologin\n\
                 {USER}:{PASSWORD_HASH}:{DAEMON}:{DAEMON}::{home}:/bin/sh\n"
            ),
        );
        write(&groups, &format!("root:x:0:\ndaemon:x:{DAEMON}:\n"));
        let authorized = dir.path().join("authorized");
        fs::copy(keys.login.with_extension("pub"), &authorized).expect("copy");
        let wrapper = unpacked(&format!("usr/lib/{}-linux-gnu/libnss_wrapper.so", std::env::consts::ARCH));
        let environment = [("LD_PRELOAD", wrapper), ("NSS_WRAPPER_PASSWD", users), ("NSS_WRAPPER_GROUP", groups)];
        let (process, port) = start_with("usr/sbin/sshd", &environment, |port| {
            let host_keys: Vec<String> = keys.host.iter().map(|key| format!("HostKey {}\n", key.display())).collect();
            let host_keys = host_keys.concat();
            let text = format!(
                "Port {port}\nListenAddress 127.0.0.1\n{host_keys}PidFile {dir}/pid\n\
                 AuthorizedKeysFile {authorized}\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\n\
                 UsePAM no\nStrictModes no\nSubsystem sftp internal-sftp\n{more}",
                dir = dir.path().display(),
                authorized = authorized.display()
            );
            write(&config, &text);
            let log = dir.path().join("log").display().to_string();
            ["-D", "-f", &config.display().to_string(), "-E", &log].map(str::to_owned).to_vec()
        });
        let login = |password: &str| sftp(port, SftpLogin::Password(SecretString::from(password)), keys.pins());
        Self {
            name: "OpenSSH",
            endpoint: login(PASSWORD),
            wrong_login: Some(login("wrong")),
            base: RemotePath::login_directory(),
            files,
            running: Running::Process(process, dir),
        }
    }

    fn of_process(
        name: &'static str,
        tls: Tls<'_>,
        (process, port): (Process, u16),
        files: PathBuf,
        dir: TempDir,
    ) -> Self {
        Self {
            name,
            endpoint: protected(ftp(port, PASSWORD), tls),
            wrong_login: Some(protected(ftp(port, "wrong"), tls)),
            base: RemotePath::login_directory(),
            files,
            running: Running::Process(process, dir),
        }
    }

    /// Whether the server computes hashes of files.
    pub fn states_hashes(&self) -> bool {
        self.name.ends_with("with hashes") || matches!(self.running, Running::Nothing(_))
    }

    /// The process group of the server, for [`end_group`].
    pub fn group(&self) -> u32 {
        match &self.running {
            Running::Process(process, _) => process.0.id(),
            Running::Nothing(_) | Running::Inside(..) => panic!("{} is no process", self.name),
        }
    }

    /// Whether the server still runs.
    pub fn is_running(&mut self) -> bool {
        match &mut self.running {
            Running::Nothing(_) | Running::Inside(..) => true,
            Running::Process(process, _) => process.0.try_wait().expect("status").is_none(),
        }
    }
}

/// hourdrop's own server with one account that may do everything.
fn own_server(dir: &TempDir, settings: ServerSettings) -> FtpServer {
    let account = Account {
        name: USER.to_owned(),
        password: SecretString::from(PASSWORD),
        root: dir.path().to_owned(),
        access: Access::Full,
    };
    FtpServer::bind(settings).and_then(|bound| bound.serve(&[account])).expect("server starts")
}

/// Whose certificate a server shows, and how the session is protected.
type Tls<'c> = Option<(&'c Certificates, fn(TlsRules) -> Protection)>;

const VSFTPD_TLS: &str = "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl=YES\nforce_anon_data_ssl=YES\n\
                          ssl_ciphers=HIGH\n";

/// The same account, over TLS, with the authority trusted.
fn protected(endpoint: Endpoint, tls: Tls<'_>) -> Endpoint {
    match (endpoint, tls) {
        (Endpoint::Ftp(ftp), Some((certificates, protection))) => {
            let trust = Trust::Authority(certificates.authority.clone());
            let protection = protection(TlsRules { trust, ..TlsRules::default() });
            Endpoint::Ftp(FtpEndpoint { protection, ..ftp })
        }
        (endpoint, _) => endpoint,
    }
}

/// An authority and a server's certificate, in files.
pub struct Certificates {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub fingerprint: Sha256Digest,
    pub key: PathBuf,
    both: PathBuf,
    _dir: TempDir,
}

impl Certificates {
    /// A new authority, and a certificate of it for these names and addresses.
    pub fn for_names(names: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let authority_key = rcgen::KeyPair::generate().expect("a key");
        let mut authority = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_pem = authority.self_signed(&authority_key).expect("an authority").pem();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let key = rcgen::KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).expect("parameters");
        params.not_after = rcgen::date_time_ymd(2200, 1, 1);
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let fingerprint = Sha256Digest(Sha256::digest(certificate.der()).into());
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            write(&path, text);
            fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("mode");
            path
        };
        Self {
            authority: file("authority.pem", &authority_pem),
            certificate: file("certificate.pem", &certificate),
            key: file("key.pem", &key),
            both: file("both.pem", &format!("{certificate}{key}")),
            fingerprint,
            _dir: dir,
        }
    }

    /// A certificate for the servers of these tests.
    pub fn for_this_machine() -> Self {
        Self::for_names(&["localhost", "127.0.0.1"])
    }

    fn for_vsftpd(&self) -> String {
        format!("rsa_cert_file={}\nrsa_private_key_file={}\n", self.certificate.display(), self.key.display())
    }
}

/// Keys of an SSH server and of who logs in there, in files.
pub struct SshKeys {
    pub host: Vec<PathBuf>,
    pub login: PathBuf,
    dir: TempDir,
}

impl SshKeys {
    /// New keys of these kinds for the server, and an Ed25519 key to log in.
    pub fn of_kinds(kinds: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let make = |kind: &str, name: &str| {
            let path = dir.path().join(name);
            let mut command = program("usr/bin/ssh-keygen");
            command.args(["-q", "-t", kind, "-N", "", "-C", "test", "-f"]).arg(&path);
            assert!(command.status().expect("ssh-keygen runs").success());
            path
        };
        let host = kinds.iter().map(|kind| make(kind, &format!("host-{kind}"))).collect();
        Self { host, login: make("ed25519", "login"), dir }
    }

    /// The fingerprint of each host key, as `ssh-keygen -l` prints it.
    pub fn fingerprints(&self) -> Vec<String> {
        let print = |key: &PathBuf| {
            let output = program("usr/bin/ssh-keygen").arg("-l").arg("-f").arg(key).output().expect("ssh-keygen runs");
            let text = String::from_utf8(output.stdout).expect("text");
            text.split_whitespace().nth(1).expect("a fingerprint").to_owned()
        };
        self.host.iter().map(print).collect()
    }

    pub fn pins(&self) -> HostKeys {
        HostKeys::Pinned(self.fingerprints())
    }

    /// A file with the keys of these kinds for a server on 127.0.0.1.
    pub fn known_hosts(&self, port: u16, kinds: &[&str]) -> PathBuf {
        let path = self.dir.path().join(format!("known-{}", kinds.join("-")));
        let of_kind = |kind: &&str| self.host.iter().find(|key| key.ends_with(format!("host-{kind}"))).expect("a key");
        let line = |key: &PathBuf| {
            let public = fs::read_to_string(key.with_extension("pub")).expect("a public key");
            format!("[127.0.0.1]:{port} {public}")
        };
        write(&path, &kinds.iter().map(|kind| line(of_kind(kind))).collect::<String>());
        path
    }
}

/// An account on 127.0.0.1, by SSH.
pub fn sftp(port: u16, login: SftpLogin, host_keys: HostKeys) -> Endpoint {
    let (host, user) = ("127.0.0.1".to_owned(), USER.to_owned());
    Endpoint::Sftp(SftpEndpoint { host, port, user, login, host_keys, bind: None })
}

/// An account on 127.0.0.1.
pub fn ftp(port: u16, password: &str) -> Endpoint {
    ftp_as(USER, port, password)
}

fn ftp_as(user: &str, port: u16, password: &str) -> Endpoint {
    let password = SecretString::from(password);
    let (protection, host, wire) = (Protection::None, "127.0.0.1".to_owned(), Wire::default());
    Endpoint::Ftp(FtpEndpoint { protection, host, port, user: user.to_owned(), password, bind: None, wire })
}

/// A port that nobody listens on, and that nobody is given meanwhile: below the ports that the system gives to
/// connections and to listeners that ask for any (32768 and up), and each one once in this process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id() * 100;
    let ports = std::iter::repeat_with(|| 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.take(10_000).map(|port| u16::try_from(port).expect("a port")).find(is_free).expect("a free port")
}

/// A directory that the servers' user can pass through.
fn open_dir() -> TempDir {
    let dir = tempfile::tempdir().expect("temporary directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("mode");
    dir
}

fn give_to_daemon(path: &Path) {
    chown(path, Some(DAEMON), Some(DAEMON)).expect("the tests with real servers run as root");
}

/// Writes a new file, or a configuration file again.
pub fn write(path: &Path, text: &str) {
    fs::File::create(path).and_then(|mut file| file.write_all(text.as_bytes())).expect("file written");
}

fn unpacked(path: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target directory").join("test-servers");
    assert!(
        place.join("complete-servers").exists(),
        "the FTP servers for the tests are missing: run `tests/servers/fetch` once, which unpacks them into {}",
        place.display()
    );
    place.join(path)
}

/// A program of this machine, or the one that was unpacked.
pub fn tool(name: &str) -> Command {
    let places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    if let Some(path) = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists()) {
        return Command::new(path);
    }
    let mut inside = places.iter().map(|place| format!("{}/{name}", &place[1..]));
    let found = inside.find(|path| unpacked(path).exists());
    program(&found.unwrap_or_else(|| panic!("{name} is missing: run `tests/servers/fetch` again")))
}

fn program(path: &str) -> Command {
    let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
    let libraries = ["usr/lib", "lib"].map(|lib| unpacked(lib).join(&machine).display().to_string()).join(":");
    let mut command = Command::new(unpacked(path));
    command.env("LD_LIBRARY_PATH", libraries);
    command
}

/// A server process with everything it started, ended when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        end_group(self.0.id());
        drop(self.0.wait());
    }
}

/// Ends a server at once. Servers fork for each connection: the whole process group ends.
pub fn end_group(group: u32) {
    drop(Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).stderr(Stdio::null()).status());
}

/// Starts a server on a free port. Somebody else may take the port in between; then another one is tried.
fn start(path: &str, arguments: impl Fn(u16) -> Vec<String>) -> (Process, u16) {
    start_with(path, &[], arguments)
}

/// The same with more variables in its environment.
fn start_with(path: &str, environment: &[(&str, PathBuf)], arguments: impl Fn(u16) -> Vec<String>) -> (Process, u16) {
    for _ in 0..5 {
        let port = free_port();
        let mut command = program(path);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.args(arguments(port)).process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = Process(command.spawn().expect("server starts"));
        if is_ready(&mut process.0, port) {
            return (process, port);
        }
    }
    panic!("{path} does not start; its messages are above");
}

/// How long a server that listens may be silent before it counts as one that waits for TLS.
const SILENCE: Duration = Duration::from_millis(500);

/// Waits until the server greets, or waits for TLS. False when it has ended instead.
fn is_ready(child: &mut Child, port: u16) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < START_DEADLINE {
        if child.try_wait().expect("status").is_some() {
            return false;
        }
        if greets(port) {
            return true;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
    panic!("the server on port {port} does not greet within {START_DEADLINE:?}");
}

fn greets(port: u16) -> bool {
    let Ok(connection) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    connection.set_read_timeout(Some(SILENCE)).expect("deadline");
    let mut line = String::new();
    match BufReader::new(connection).read_line(&mut line) {
        Ok(_) => line.starts_with("220") || line.starts_with("SSH-2.0"),
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}
