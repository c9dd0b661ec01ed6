//! An FTP server that lies, stalls and drops replies at a chosen point.

use crate::servers::ftp;
use hourdrop::disk::RealDisk;
use hourdrop::domain::time::Length;
use hourdrop::remote::{Deadlines, Remote, RemoteFault};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

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
    /// Refuses RNTO in good order.
    RefuseRename,
    /// Stores everything and closes the connection without a reply.
    DropAfterStore,
    /// Stores half, and confirms.
    TruncateStore,
    /// Confirms the whole file, and for ever states one byte less.
    LieAboutSize,
    /// States half of the size twice, then the truth.
    LateSize,
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
    /// Knows neither SIZE nor MLSD.
    NoSize,
    /// Lists nothing and states no sizes, though all works.
    DropBox,
    /// Repeats the password in its refusal, with control characters.
    ShoutPassword,
}

/// What is on the server, and what happened there.
#[derive(Debug, Default)]
pub struct World {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Names that came into being by a rename, with their content then.
    pub shown: Vec<(String, Vec<u8>)>,
    pub commands: Vec<String>,
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
        // The thread waits for connections until the test process ends.
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let world = Arc::clone(&shared);
                thread::spawn(move || {
                    Dialogue { quirk, world, data: None, from: None, cwd: String::new() }.run(connection);
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
        ftp(self.port, "hunter2").connect(&short_deadlines(), Arc::new(RealDisk))
    }
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
    data: Option<TcpListener>,
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
            "FEAT" if matches!(self.quirk, Quirk::WrongAddress | Quirk::NoSize) => reply("500 what?"),
            "FEAT" => reply("211-Features:\r\n EPSV\r\n MLST size*;type*;\r\n SIZE\r\n UTF8\r\n211 End"),
            "PWD" => reply("257 \"/\" is current"),
            "CWD" if argument == "/" => self.enter(""),
            "CWD" if argument == "out" => self.enter("out/"),
            "CWD" => reply("550 no such directory"),
            "EPSV" if self.quirk == Quirk::RefuseEpsv => reply("522 not today"),
            "EPSV" => Next::Reply(format!("229 Entering Extended Passive Mode (|||{}|)", self.listen())),
            "PASV" => {
                let (port, host) =
                    (self.listen(), if self.quirk == Quirk::WrongAddress { "10,99,99,99" } else { "127,0,0,1" });
                Next::Reply(format!("227 Entering Passive Mode ({host},{},{})", port / 256, port % 256))
            }
            "STOR" => self.store(argument, connection),
            "MLSD" | "NLST" | "LIST" => self.list(verb, connection),
            "SIZE" => self.size(argument),
            "RNFR" if self.world().files.contains_key(argument) => {
                self.from = Some(argument.to_owned());
                reply("350 go on")
            }
            "RNFR" => reply("550 no such file"),
            "RNTO" => self.rename(argument),
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
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listener");
        let port = listener.local_addr().expect("address").port();
        self.data = Some(listener);
        port
    }

    fn accept(&mut self, connection: &mut TcpStream) -> Option<TcpStream> {
        let (data, _) = self.data.take()?.accept().ok()?;
        connection.write_all(b"150 here\r\n").ok()?;
        Some(data)
    }

    fn store(&mut self, path: &str, connection: &mut TcpStream) -> Next {
        let Some(mut data) = self.accept(connection) else { return reply("425 no data connection") };
        if self.acts(Quirk::BreakStore) {
            self.world().files.insert(path.to_owned(), b"ten".to_vec());
            drop(data);
            return reply("451 Failure writing to local file: No space left on device");
        }
        let mut content = Vec::new();
        drop(data.read_to_end(&mut content));
        if self.acts(Quirk::TruncateStore) {
            content.truncate(content.len() / 2);
        }
        self.world().files.insert(path.to_owned(), content);
        if self.acts(Quirk::DropAfterStore) { Next::Close } else { reply("226 stored") }
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
