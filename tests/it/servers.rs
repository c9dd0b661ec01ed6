//! Real servers for the tests: each on 127.0.0.1, on a port of its own, with a directory of its own, stopped at the
//! end of the test. `tests/servers/fetch` unpacks them; a server that is missing fails the test and says so.

use hourdrop::remote::endpoint::FtpEndpoint;
use hourdrop::remote::{Endpoint, RemotePath};
use hourdrop::serve::{DemoServer, DemoUser};
use secrecy::SecretString;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
    Inside(DemoServer, TempDir),
    Process(Process, TempDir),
}

impl TestServer {
    /// A directory of this machine.
    pub fn local_dir() -> Self {
        let dir = open_dir();
        Self {
            name: "local directory",
            endpoint: Endpoint::LocalDir { path: dir.path().to_owned() },
            wrong_login: None,
            base: RemotePath::login_directory(),
            files: dir.path().to_owned(),
            running: Running::Nothing(dir),
        }
    }

    /// hourdrop's own server.
    pub fn demo() -> Self {
        let dir = open_dir();
        let user =
            DemoUser { name: USER.to_owned(), password: SecretString::from(PASSWORD), root: dir.path().to_owned() };
        let server = DemoServer::start(&[user], 0, None).expect("server starts");
        Self {
            name: "demonstration server",
            endpoint: ftp(server.port(), PASSWORD),
            wrong_login: Some(ftp(server.port(), "wrong")),
            base: RemotePath::login_directory(),
            files: dir.path().to_owned(),
            running: Running::Inside(server, dir),
        }
    }

    /// vsftpd with uploads by anybody. It insists on a root directory that cannot be written.
    pub fn vsftpd() -> Self {
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
                 seccomp_sandbox=NO\nisolate_network=NO\nxferlog_enable=NO\n",
                root = root.display(),
                empty = empty.display()
            );
            write(&config, &text);
            vec![config.display().to_string()]
        });
        let login = |user: &str| ftp_as(user, port, PASSWORD);
        Self {
            name: "vsftpd",
            endpoint: login("anonymous"),
            wrong_login: Some(login("nobody-here")),
            base: RemotePath::parse("files").expect("path"),
            files,
            running: Running::Process(process, dir),
        }
    }

    /// `ProFTPD` with a user of its own.
    pub fn proftpd() -> Self {
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
                 RequireValidShell off\nDefaultRoot ~\nAllowOverwrite on\n",
                modules = unpacked("usr/lib/proftpd").display(),
                dir = dir.path().display(),
                users = users.display()
            );
            write(&config, &text);
            vec!["-n".to_owned(), "-q".to_owned(), "-c".to_owned(), config.display().to_string()]
        });
        Self::of_process("ProFTPD", process, port, files, dir)
    }

    /// Pure-FTPd with a user of its own.
    pub fn pure_ftpd() -> Self {
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
            options.map(str::to_owned).to_vec()
        });
        Self::of_process("Pure-FTPd", process, port, files, dir)
    }

    fn of_process(name: &'static str, process: Process, port: u16, files: PathBuf, dir: TempDir) -> Self {
        Self {
            name,
            endpoint: ftp(port, PASSWORD),
            wrong_login: Some(ftp(port, "wrong")),
            base: RemotePath::login_directory(),
            files,
            running: Running::Process(process, dir),
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

/// An account on 127.0.0.1.
pub fn ftp(port: u16, password: &str) -> Endpoint {
    ftp_as(USER, port, password)
}

fn ftp_as(user: &str, port: u16, password: &str) -> Endpoint {
    let password = SecretString::from(password);
    Endpoint::Ftp(FtpEndpoint { host: "127.0.0.1".to_owned(), port, user: user.to_owned(), password })
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("free port");
    listener.local_addr().expect("address").port()
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
        place.join("complete").exists(),
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
        // Servers fork for each connection: the whole process group ends.
        let group = format!("-{}", self.0.id());
        drop(Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status());
        drop(self.0.wait());
    }
}

/// Starts a server on a free port. Somebody else may take the port in between; then another one is tried.
fn start(path: &str, arguments: impl Fn(u16) -> Vec<String>) -> (Process, u16) {
    for _ in 0..5 {
        let port = free_port();
        let mut command = program(path);
        command.args(arguments(port)).process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = Process(command.spawn().expect("server starts"));
        if is_ready(&mut process.0, port) {
            return (process, port);
        }
    }
    panic!("{path} does not start; its messages are above");
}

/// Waits until the server greets. False when it has ended instead.
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
    connection.set_read_timeout(Some(START_DEADLINE)).expect("deadline");
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line).is_ok_and(|_| line.starts_with("220"))
}
