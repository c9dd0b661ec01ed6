//! An FTP server that lies, stalls and drops replies at a chosen point.

use crate::servers::ftp;
use hourdrop::disk::RealDisk;
use hourdrop::domain::ids::Sha256Digest;
use hourdrop::domain::time::Length;
use hourdrop::remote::endpoint::FtpEndpoint;
use hourdrop::remote::{Deadlines, Endpoint, Remote, RemoteFault};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier, Mutex, MutexGuard};
use std::thread;
use tokio::net::TcpSocket;

/// What the server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quirk {
    Nothing,
    /// Closes the connection instead of carrying out RNTO.
    DropBeforeRename,
    /// Carries out RNTO and closes the connection without a reply.
    DropAfterRename,
    /// Does not answer RNTO, and does not carry it out.
    HangBeforeRename,
    /// Carries out RNTO and does not answer.
    HangAfterRename,
    /// Answers 421 to RNTO and carries it out nevertheless.
    CloseAtRename,
    /// Carries out RNTO; the partner takes the file at once; no reply comes.
    DropAfterRenameAndPickup,
    /// Carries out RNTO and confirms; the partner has taken the file before anybody looks.
    PickupAtOnce,
    /// Knows no RNFR.
    NoRename,
    /// The same; stores half and closes the connection without a reply.
    NoRenameAndCutStore,
    /// The same; stores everything, the partner takes it, and no reply comes.
    NoRenameAndTakenStore,
    /// The same; refuses to store.
    NoRenameAndRefuseStore,
    /// Refuses RNTO in good order.
    RefuseRename,
    /// Stores everything and closes the connection without a reply.
    DropAfterStore,
    /// Stores half, and confirms.
    TruncateStore,
    /// Stores other bytes of the right number, and confirms. States no hashes.
    GarbleStore,
    /// The same with a server that states the true SHA-256 of what it holds, by XSHA256.
    GarbleStoreAndHash,
    /// Confirms the whole file, and for ever states one byte less.
    LieAboutSize,
    /// States half of the size twice, then the truth.
    LateSize,
    /// Stores a part file only when another one is being stored, too.
    TwoStoresAtOnce,
    /// Breaks the data connection after a few bytes and says so.
    BreakStore,
    /// Has no room for a connection.
    Full,
    /// Refuses the login for its limit of connections, with the code of a wrong password.
    LimitAtLogin,
    /// Says nothing, not even a greeting.
    HangAtGreeting,
    /// Answers the first SIZE only after the deadline.
    HangAtSize,
    /// Lists EPSV and refuses it.
    RefuseEpsv,
    /// Announces an address of another network.
    WrongAddress,
    /// Opens passive data connections on another address than its own, which it announces.
    OtherMachine,
    /// Where the server opens the data connections, somebody else is faster.
    StrangerFirst,
    /// Where the server opens the data connections, it does so from another address.
    StrangerOnly,
    /// States a login directory whose name would be another command.
    ControlHome,
    /// Knows neither SIZE nor MLSD.
    NoSize,
    /// Lists nothing and states no sizes, though all works.
    DropBox,
    /// Repeats the password in its refusal, with control characters.
    ShoutPassword,
    /// Lets nobody remove anything.
    RefuseRemove,
}

/// What is on the server, and what happened there.
#[derive(Debug, Default)]
pub struct World {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Names that came into being by a rename, with their content then.
    pub shown: Vec<(String, Vec<u8>)>,
    pub commands: Vec<String>,
    /// From where connections came, or where they were let in.
    pub peers: Vec<IpAddr>,
    /// Streams that a stranger got hold of.
    pub stolen: Vec<Vec<u8>>,
    /// How often the quirk still happens.
    left: u32,
}

pub struct ScriptedServer {
    port: u16,
    world: Arc<Mutex<World>>,
}

impl ScriptedServer {
    pub fn start(quirk: Quirk, times: u32) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listener");
        let port = listener.local_addr().expect("address").port();
        let world = Arc::new(Mutex::new(World { left: times, ..World::default() }));
        let shared = Arc::clone(&world);
        let two = Arc::new(Barrier::new(2));
        // The thread waits for connections until the test process ends.
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (world, two) = (Arc::clone(&shared), Arc::clone(&two));
                thread::spawn(move || {
                    let cwd = String::new();
                    Dialogue { quirk, world, two, data: None, taken: None, active: None, from: None, cwd }
                        .run(connection);
                });
            }
        });
        Self { port, world }
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("world")
    }

    pub fn connect(&self) -> Result<Box<dyn Remote>, RemoteFault> {
        self.connect_with(|_| ())
    }

    pub fn connect_with(&self, change: impl FnOnce(&mut FtpEndpoint)) -> Result<Box<dyn Remote>, RemoteFault> {
        let Endpoint::Ftp(mut endpoint) = ftp(self.port, "hunter2") else { panic!("an FTP server") };
        change(&mut endpoint);
        Endpoint::Ftp(endpoint).connect(&short_deadlines(), Arc::new(RealDisk))
    }
}

/// Connects from a given address of this machine.
fn connect_from(own: Ipv4Addr, target: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("socket");
    bind(&socket, &SocketAddr::from((own, 0))).expect("bind");
    connect(&socket, &target).expect("connection");
    TcpStream::from(socket)
}

fn short_deadlines() -> Deadlines {
    let short = Length::parse("1s").expect("length");
    Deadlines {
        connect: short,
        command: short,
        transfer_idle: short,
        final_reply_base: short,
        final_reply_per_mib: Length::ZERO,
    }
}

/// One control connection.
struct Dialogue {
    quirk: Quirk,
    world: Arc<Mutex<World>>,
    two: Arc<Barrier>,
    data: Option<TcpListener>,
    /// The port of `data` on this machine, where nobody listens.
    taken: Option<TcpSocket>,
    /// Where the client waits for the data connection.
    active: Option<SocketAddr>,
    from: Option<String>,
    cwd: String,
}

/// What to do after a command.
enum Next {
    Reply(String),
    Hang,
    Close,
}

fn reply(text: &str) -> Next {
    Next::Reply(text.to_owned())
}

impl Dialogue {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("world")
    }

    /// Whether the quirk happens now.
    fn acts(&self, quirk: Quirk) -> bool {
        let mut world = self.world();
        let acts = self.quirk == quirk && world.left > 0;
        world.left -= u32::from(acts);
        acts
    }

    fn run(mut self, mut connection: TcpStream) {
        self.note_peer(&connection);
        let mut reader = BufReader::new(connection.try_clone().expect("socket"));
        if self.acts(Quirk::Full) {
            drop(connection.write_all(b"421 Too many connections.\r\n"));
            return;
        }
        if !self.acts(Quirk::HangAtGreeting) && connection.write_all(b"220 ready\r\n").is_err() {
            return;
        }
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
            let command = line.trim_end().to_owned();
            line.clear();
            self.world().commands.push(command.clone());
            let (verb, argument) = command.split_once(' ').unwrap_or((&command, ""));
            match self.answer(verb, argument, &mut connection) {
                Next::Reply(text) if connection.write_all(format!("{text}\r\n").as_bytes()).is_ok() => {}
                // Until the client gives up.
                Next::Hang => drop(reader.read_to_string(&mut line)),
                Next::Reply(_) | Next::Close => return,
            }
        }
    }

    fn answer(&mut self, verb: &str, argument: &str, connection: &mut TcpStream) -> Next {
        match verb {
            "USER" => reply("331 password"),
            "PASS" if self.acts(Quirk::LimitAtLogin) => reply("530 Sorry, maximum number of clients reached"),
            "PASS" if self.acts(Quirk::ShoutPassword) => Next::Reply(format!("530 \u{1b}[31mwrong: {argument}\u{7}")),
            "PASS" => reply("230 welcome"),
            "FEAT" if matches!(self.quirk, Quirk::WrongAddress | Quirk::OtherMachine | Quirk::NoSize) => {
                reply("500 what?")
            }
            "FEAT" if self.quirk == Quirk::GarbleStoreAndHash => {
                reply("211-Features:\r\n EPSV\r\n SIZE\r\n HASH SHA-1*;MD5\r\n XSHA256\r\n211 End")
            }
            "FEAT" => reply("211-Features:\r\n EPSV\r\n MLST size*;type*;\r\n SIZE\r\n UTF8\r\n211 End"),
            "PWD" if self.quirk == Quirk::ControlHome => reply("257 \"/a\rDELE b\" is current"),
            "PWD" => reply("257 \"/\" is current"),
            "CWD" if argument == "/" => self.enter(""),
            "CWD" if argument == "out" => self.enter("out/"),
            "CWD" => reply("550 no such directory"),
            "EPSV" if self.quirk == Quirk::RefuseEpsv => reply("522 not today"),
            "EPSV" => Next::Reply(format!("229 Entering Extended Passive Mode (|||{}|)", self.listen())),
            "PORT" => self.port(argument),
            "PASV" => {
                let port = self.listen();
                let host = match self.quirk {
                    Quirk::WrongAddress => "10,99,99,99",
                    Quirk::OtherMachine => "127,0,0,3",
                    _ => "127,0,0,1",
                };
                Next::Reply(format!("227 Entering Passive Mode ({host},{},{})", port / 256, port % 256))
            }
            "RETR" => self.retrieve(argument, connection),
            "XSHA256" => match self.world().files.get(argument) {
                Some(content) => {
                    Next::Reply(format!("250 {}", Sha256Digest(Sha256::digest(content).into())).to_uppercase())
                }
                None => reply("550 no such file"),
            },
            "STOR" => self.store(argument, connection),
            "MLSD" | "NLST" | "LIST" => self.list(verb, connection),
            "SIZE" => self.size(argument),
            "RNFR" if self.has_no_rename() => reply("502 not implemented"),
            "RNFR" if self.world().files.contains_key(argument) => {
                self.from = Some(argument.to_owned());
                reply("350 go on")
            }
            "RNFR" => reply("550 no such file"),
            "RNTO" => self.rename(argument),
            "DELE" if self.quirk == Quirk::RefuseRemove => reply("550 Permission denied."),
            "DELE" => match self.world().files.remove(argument) {
                Some(_) => reply("250 gone"),
                None => reply("550 no such file"),
            },
            "TYPE" | "OPTS" => reply("200 fine"),
            "QUIT" => reply("221 bye"),
            _ => reply("502 not implemented"),
        }
    }

    fn enter(&mut self, directory: &str) -> Next {
        directory.clone_into(&mut self.cwd);
        reply("250 entered")
    }

    fn listen(&mut self) -> u16 {
        let listener = if self.quirk == Quirk::OtherMachine {
            self.listen_elsewhere()
        } else {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listener")
        };
        let port = listener.local_addr().expect("address").port();
        self.data = Some(listener);
        port
    }

    /// Listens at another address, at a port that nobody else listens at on this one.
    fn listen_elsewhere(&mut self) -> TcpListener {
        loop {
            let taken = TcpSocket::new_v4().expect("socket");
            taken.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
            let port = taken.local_addr().expect("address").port();
            self.taken = Some(taken);
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 3), port)) {
                return listener;
            }
        }
    }

    fn port(&mut self, argument: &str) -> Next {
        let numbers: Vec<u8> = argument.split(',').map(|number| number.parse().expect("a number")).collect();
        let [a, b, c, d, high, low] = numbers[..] else { panic!("PORT {argument}") };
        self.active = Some(SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low]))));
        reply("200 fine")
    }

    fn note_peer(&self, connection: &TcpStream) {
        let peer = connection.peer_addr().expect("peer").ip();
        self.world().peers.push(peer);
    }

    /// Connects from another address and keeps what arrives there.
    fn steal(&self, target: SocketAddr) {
        let mut stream = connect_from(Ipv4Addr::new(127, 0, 0, 9), target);
        let world = Arc::clone(&self.world);
        thread::spawn(move || {
            let mut got = Vec::new();
            drop(stream.read_to_end(&mut got));
            world.lock().expect("world").stolen.push(got);
        });
    }

    /// Opens the data connection of a client that waits for it.
    fn open(&self, target: SocketAddr, connection: &mut TcpStream) -> Option<TcpStream> {
        if matches!(self.quirk, Quirk::StrangerFirst | Quirk::StrangerOnly) {
            self.steal(target);
        }
        connection.write_all(b"150 here\r\n").ok()?;
        if self.quirk == Quirk::StrangerOnly {
            // Until the client gives up.
            drop(connection.read(&mut [0; 64]));
            return None;
        }
        TcpStream::connect(target).ok()
    }

    fn accept(&mut self, connection: &mut TcpStream) -> Option<TcpStream> {
        if let Some(target) = self.active.take() {
            let data = self.open(target, connection)?;
            self.note_peer(&data);
            return Some(data);
        }
        let (data, _) = self.data.take()?.accept().ok()?;
        self.note_peer(&data);
        connection.write_all(b"150 here\r\n").ok()?;
        Some(data)
    }

    fn has_no_rename(&self) -> bool {
        use Quirk::{NoRename, NoRenameAndCutStore, NoRenameAndRefuseStore, NoRenameAndTakenStore};
        matches!(self.quirk, NoRename | NoRenameAndCutStore | NoRenameAndTakenStore | NoRenameAndRefuseStore)
    }

    fn store(&mut self, path: &str, connection: &mut TcpStream) -> Next {
        if self.acts(Quirk::NoRenameAndRefuseStore) {
            return reply("553 not now");
        }
        let Some(mut data) = self.accept(connection) else { return reply("425 no data connection") };
        if self.acts(Quirk::BreakStore) {
            self.world().files.insert(path.to_owned(), b"ten".to_vec());
            drop(data);
            return reply("451 Failure writing to local file: No space left on device");
        }
        let mut content = Vec::new();
        drop(data.read_to_end(&mut content));
        if self.quirk == Quirk::TwoStoresAtOnce && path.starts_with("out/p") {
            self.two.wait();
        }
        if self.acts(Quirk::TruncateStore) {
            content.truncate(content.len() / 2);
        }
        if self.acts(Quirk::NoRenameAndCutStore) {
            content.truncate(content.len() / 2);
            self.world().files.insert(path.to_owned(), content);
            return Next::Close;
        }
        if self.acts(Quirk::NoRenameAndTakenStore) {
            self.world().shown.push((path.to_owned(), content));
            return Next::Close;
        }
        if self.acts(Quirk::GarbleStore) || self.acts(Quirk::GarbleStoreAndHash) {
            content.rotate_left(1);
        }
        self.world().files.insert(path.to_owned(), content);
        if self.acts(Quirk::DropAfterStore) { Next::Close } else { reply("226 stored") }
    }

    fn retrieve(&mut self, path: &str, connection: &mut TcpStream) -> Next {
        let Some(content) = self.world().files.get(path).cloned() else { return reply("550 no such file") };
        let Some(mut data) = self.accept(connection) else { return reply("425 no data connection") };
        drop(data.write_all(&content));
        drop(data);
        reply("226 sent")
    }

    fn list(&mut self, verb: &str, connection: &mut TcpStream) -> Next {
        if verb == "MLSD" && self.quirk == Quirk::NoSize {
            return reply("500 what?");
        }
        let Some(mut data) = self.accept(connection) else { return reply("425 no data connection") };
        let mut text = String::new();
        if self.quirk != Quirk::DropBox {
            for (path, content) in &self.world().files {
                let Some(name) = path.strip_prefix(&self.cwd).filter(|name| !name.contains('/')) else { continue };
                text.push_str(&match verb {
                    "MLSD" => format!("type=file;size={}; {name}\r\n", content.len()),
                    "LIST" => format!("-rw-r--r-- 1 acme acme {} Nov 20 09:30 {name}\r\n", content.len()),
                    _ => format!("{name}\r\n"),
                });
            }
        }
        drop(data.write_all(text.as_bytes()));
        drop(data);
        reply("226 listed")
    }

    fn size(&self, path: &str) -> Next {
        if self.quirk == Quirk::NoSize {
            return reply("502 not implemented");
        }
        if self.acts(Quirk::HangAtSize) {
            return Next::Hang;
        }
        let size = self.world().files.get(path).map(Vec::len);
        match size {
            Some(_) if self.quirk == Quirk::DropBox => reply("550 Could not get file size."),
            Some(size) if self.quirk == Quirk::LieAboutSize => Next::Reply(format!("213 {}", size - 1)),
            Some(size) if self.acts(Quirk::LateSize) => Next::Reply(format!("213 {}", size / 2)),
            Some(size) => Next::Reply(format!("213 {size}")),
            None => reply("550 Could not get file size."),
        }
    }

    fn rename(&mut self, to: &str) -> Next {
        let Some(from) = self.from.take() else { return reply("503 RNFR first") };
        if self.acts(Quirk::RefuseRename) {
            return reply("550 Rename failed.");
        }
        if self.acts(Quirk::DropBeforeRename) {
            return Next::Close;
        }
        if self.acts(Quirk::HangBeforeRename) {
            return Next::Hang;
        }
        {
            let mut world = self.world();
            let content = world.files.remove(&from).expect("checked by RNFR");
            world.shown.push((to.to_owned(), content.clone()));
            world.files.insert(to.to_owned(), content);
        }
        if self.acts(Quirk::DropAfterRename) {
            return Next::Close;
        }
        if self.acts(Quirk::HangAfterRename) {
            return Next::Hang;
        }
        if self.acts(Quirk::CloseAtRename) {
            return reply("421 closing");
        }
        if self.acts(Quirk::DropAfterRenameAndPickup) {
            self.world().files.remove(to);
            return Next::Close;
        }
        if self.acts(Quirk::PickupAtOnce) {
            self.world().files.remove(to);
        }
        reply("250 renamed")
    }
}
