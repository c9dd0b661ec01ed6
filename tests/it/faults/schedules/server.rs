//! The dialogue of a scripted server: RFC 959 as real servers speak it, and a lie where the plan has one.

use super::plan::{Act, DataEnd, Form, Noise, Plan, Share, Step, WrongSize};
use super::world::{Change, OUT, World};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use tokio::net::TcpSocket;

/// The half of a small file and of a large one, in bytes.
const HALVES: [usize; 2] = [40, 1 << 20];

pub struct Server {
    pub port: u16,
    world: Arc<Mutex<World>>,
}

impl Server {
    /// Starts one. `foreign_final` is the name that a stranger's file has, where the plan wants one.
    pub fn start(plan: &Plan, foreign_final: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listener");
        let port = listener.local_addr().expect("address").port();
        let world = Arc::new(Mutex::new(World::new(plan, foreign_final)));
        let shared = Arc::clone(&world);
        // The thread waits for connections until the test process ends.
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let world = Arc::clone(&shared);
                thread::spawn(move || Dialogue::new(world, connection).run());
            }
        });
        Self { port, world }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of the connection after a command.
enum Next {
    Send(Vec<u8>),
    /// Send it byte by byte.
    Trickle(Vec<u8>),
    SendAndCut(Vec<u8>),
    /// Until the client gives up.
    Hang,
    Cut,
    Reset,
}

fn line(text: &str) -> Next {
    Next::Send(format!("{text}\r\n").into_bytes())
}

/// One control connection.
struct Dialogue {
    world: Arc<Mutex<World>>,
    connection: TcpStream,
    data: Option<TcpListener>,
    from: Option<String>,
    cwd: String,
    /// Something went wrong on this connection, or it was ended in good order.
    explained: bool,
    /// Data connections that stay open until this connection ends.
    stalled: Vec<TcpStream>,
}

impl Dialogue {
    const fn new(world: Arc<Mutex<World>>, connection: TcpStream) -> Self {
        Self { world, connection, data: None, from: None, cwd: String::new(), explained: false, stalled: Vec::new() }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reach(&mut self, step: Step) -> Option<Act> {
        let act = self.world().reach(step);
        self.explained |= act.is_some();
        act
    }

    fn run(mut self) {
        self.connection.set_nodelay(true).ok();
        if !self.world().admit() {
            self.connection.write_all(b"421 One connection for each account.\r\n").ok();
            return;
        }
        let mut reader = BufReader::new(self.connection.try_clone().expect("socket"));
        let greeting = self.greeting();
        let mut goes_on = self.deliver(greeting, &mut reader);
        let mut text = Vec::new();
        while goes_on && reader.read_until(b'\n', &mut text).is_ok_and(|count| count > 0) {
            let command = String::from_utf8_lossy(&text).trim_end().to_owned();
            text.clear();
            let (verb, argument) = command.split_once(' ').unwrap_or((&command, ""));
            self.world().hear(if verb == "PASS" { "PASS" } else { &command });
            let next = self.answer(verb, argument);
            self.explained |= verb == "QUIT";
            goes_on = self.deliver(next, &mut reader);
        }
        let mut world = self.world();
        world.connections -= 1;
        world.unexplained += u32::from(!self.explained);
    }

    /// Sends what is to be sent. False when the connection is at its end.
    fn deliver(&mut self, next: Next, reader: &mut impl Read) -> bool {
        match next {
            Next::Send(bytes) => self.connection.write_all(&bytes).is_ok(),
            Next::Trickle(bytes) => bytes.iter().all(|byte| self.connection.write_all(&[*byte]).is_ok()),
            Next::SendAndCut(bytes) => {
                self.connection.write_all(&bytes).ok();
                false
            }
            Next::Hang => {
                std::io::copy(reader, &mut std::io::sink()).ok();
                false
            }
            Next::Cut => false,
            Next::Reset => {
                reset(&self.connection);
                false
            }
        }
    }

    fn greeting(&mut self) -> Next {
        let usual = self.world().traits.greeting.map(Act::Form);
        let act = self.reach(Step::Greeting).or(usual);
        after(act, "220 ready")
    }

    fn answer(&mut self, verb: &str, argument: &str) -> Next {
        let Some(step) = step_of(verb) else { return line("502 not implemented") };
        match verb {
            "STOR" => return self.store(argument),
            "MLSD" | "NLST" | "LIST" => return self.list(verb),
            "RETR" => return self.retrieve(argument),
            _ => {}
        }
        let act = self.reach(step);
        if let Some(Act::Late { commands }) = act {
            if let Some(change) = self.change(verb, argument) {
                self.world().postpone(commands, change);
            }
            return Next::Hang;
        }
        if act.is_some_and(|act| !act.is_done()) {
            self.asked(verb, argument);
            return after(act, "");
        }
        let reply = self.carry_out(verb, argument);
        match (act, reply.strip_prefix("213 ").and_then(|size| size.parse().ok())) {
            (Some(Act::Size(wrong)), Some(size)) => line(&format!("213 {}", wrong_size(wrong, size))),
            (Some(Act::Size(_)), None) => line(&reply),
            _ => after(act, &reply),
        }
    }

    /// What a command would change.
    fn change(&mut self, verb: &str, argument: &str) -> Option<Change> {
        self.asked(verb, argument);
        match verb {
            "RNTO" => Some(Change::Rename { from: self.from.take()?, to: argument.to_owned() }),
            "DELE" => Some(Change::Remove(argument.to_owned())),
            _ => None,
        }
    }

    /// The rules are watched whether or not a command is carried out.
    fn asked(&self, verb: &str, argument: &str) {
        let mut world = self.world();
        match verb {
            "RNFR" => world.asked_to_rename_from(argument),
            "RNTO" => world.asked_to_rename_to(argument),
            "DELE" => world.asked_to_remove(argument),
            _ => {}
        }
    }

    fn carry_out(&mut self, verb: &str, argument: &str) -> String {
        let traits = self.world().traits;
        let text = match verb {
            "USER" => "331 password",
            "PASS" => "230 welcome",
            "FEAT" => return features(&traits),
            "PWD" => "257 \"/\" is current",
            "CWD" => return self.enter(argument),
            "MKD" => return self.make(argument),
            "EPSV" if !traits.knows_epsv => "500 what?",
            "EPSV" => return format!("229 Entering Extended Passive Mode (|||{}|)", self.listen()),
            "PASV" => {
                let host = if traits.wrong_address { "10,99,99,99" } else { "127,0,0,1" };
                let port = self.listen();
                return format!("227 Entering Passive Mode ({host},{},{})", port / 256, port % 256);
            }
            "SIZE" => return self.size(argument),
            "RNFR" | "RNTO" if !traits.knows_rename => "502 not implemented",
            "RNFR" => {
                self.asked(verb, argument);
                if self.world().files.contains_key(argument) {
                    self.from = Some(argument.to_owned());
                    "350 go on"
                } else {
                    "550 no such file"
                }
            }
            "RNTO" | "DELE" => match self.change(verb, argument) {
                None => "503 RNFR first",
                Some(change) => {
                    if self.world().carry_out(change) {
                        "250 done"
                    } else if verb == "DELE" {
                        "550 no such file"
                    } else {
                        "550 Rename failed."
                    }
                }
            },
            "QUIT" => "221 bye",
            _ => "200 fine",
        };
        text.to_owned()
    }

    fn enter(&mut self, directory: &str) -> String {
        if directory == "/" || self.world().dirs.contains(directory) {
            self.cwd = if directory == "/" { String::new() } else { format!("{directory}/") };
            "250 entered".to_owned()
        } else {
            "550 no such directory".to_owned()
        }
    }

    fn make(&self, directory: &str) -> String {
        if self.world().dirs.insert(directory.to_owned()) {
            format!("257 \"/{directory}\" made")
        } else {
            "550 Create directory operation failed.".to_owned()
        }
    }

    fn listen(&mut self) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listener");
        let port = listener.local_addr().expect("address").port();
        self.data = Some(listener);
        port
    }

    fn size(&self, path: &str) -> String {
        let world = self.world();
        if !world.traits.knows_size {
            return "502 not implemented".to_owned();
        }
        match world.files.get(path) {
            Some(bytes) => format!("213 {}", bytes.len()),
            None => "550 Could not get file size.".to_owned(),
        }
    }

    /// Opens the data connection and says so, unless something goes wrong.
    fn open(&mut self, step: Step) -> Result<TcpStream, Next> {
        if let Some(act) = self.reach(step) {
            return Err(after(Some(act), ""));
        }
        let Some(listener) = self.data.take() else { return Err(line("425 use PASV first")) };
        let Ok((data, _)) = listener.accept() else { return Err(line("425 no data connection")) };
        if step == Step::Stor
            && let Some(act) = self.reach(Step::Connect)
        {
            // Taken and given up again; a stall leaves it open.
            if matches!(act, Act::Stall { .. }) {
                self.stalled.push(data);
            }
            return Err(after(Some(act), ""));
        }
        if self.connection.write_all(b"150 here\r\n").is_err() {
            return Err(Next::Cut);
        }
        Ok(data)
    }

    fn store(&mut self, path: &str) -> Next {
        self.world().asked_to_store(path);
        if self.world().is_full() {
            self.world().turned_away += 1;
            return line(&refusal(552));
        }
        let mut data = match self.open(Step::Stor) {
            Ok(data) => data,
            Err(next) => return next,
        };
        let act = self.reach(Step::StorData);
        let share = if let Some(Act::Data { share, .. }) = act { share } else { Share::All };
        let is_large = self.world().traits.large;
        let limit = match share {
            Share::Nothing => 0,
            Share::OneByte => 1,
            Share::Half => HALVES[usize::from(is_large)],
            Share::All => usize::MAX,
        };
        let mut content = Vec::new();
        (&mut data).take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut content).ok();
        self.world().store(path, content);
        if let Some(act) = act {
            return self.end_data(data, act);
        }
        drop(data);
        let act = self.reach(Step::Stored);
        if act.is_some_and(|act| !act.is_done()) {
            self.world().files.remove(path);
        }
        after(act, "226 stored")
    }

    fn end_data(&mut self, data: TcpStream, act: Act) -> Next {
        let Act::Data { end, then, .. } = act else { return Next::Cut };
        match end {
            DataEnd::Closed => drop(data),
            DataEnd::Reset => {
                reset(&data);
                drop(data);
            }
            DataEnd::Stalled => {
                self.stalled.push(data);
                return Next::Hang;
            }
        }
        match then {
            None => Next::Cut,
            Some(226) => line("226 done"),
            Some(code) => line(&refusal(code)),
        }
    }

    fn list(&mut self, verb: &str) -> Next {
        let traits = self.world().traits;
        if verb == "MLSD" && !traits.knows_mlsd {
            return line("500 what?");
        }
        self.send(|dialogue| dialogue.lines(verb).into_bytes())
    }

    fn retrieve(&mut self, path: &str) -> Next {
        let Some(content) = self.world().files.get(path).cloned() else { return line("550 no such file") };
        self.send(|_| content)
    }

    fn send(&mut self, content: impl FnOnce(&Self) -> Vec<u8>) -> Next {
        let mut data = match self.open(Step::List) {
            Ok(data) => data,
            Err(next) => return next,
        };
        let text = content(self);
        let act = self.reach(Step::ListData);
        let share = if let Some(Act::Data { share, .. }) = act { share } else { Share::All };
        let count = match share {
            Share::Nothing => 0,
            Share::OneByte => text.len().min(1),
            Share::Half => text.len() / 2,
            Share::All => text.len(),
        };
        data.write_all(&text[..count]).ok();
        if let Some(act) = act {
            return self.end_data(data, act);
        }
        drop(data);
        after(self.reach(Step::Listed), "226 listed")
    }

    fn lines(&self, verb: &str) -> String {
        let world = self.world();
        let here = world.files.iter().filter_map(|(path, content)| {
            let name = path.strip_prefix(&self.cwd).filter(|name| !name.contains('/'))?;
            Some(match verb {
                "MLSD" => format!("type=file;size={}; {name}\r\n", content.len()),
                "LIST" => format!("-rw-r--r-- 1 acme acme {} Nov 20 09:30 {name}\r\n", content.len()),
                _ => format!("{name}\r\n"),
            })
        });
        let mut lines: Vec<String> = here.collect();
        if world.traits.unsorted {
            lines.sort_by_key(|line| line.bytes().map(u32::from).sum::<u32>() % 7);
        }
        lines.concat()
    }
}

fn step_of(verb: &str) -> Option<Step> {
    Some(match verb {
        "USER" => Step::User,
        "PASS" => Step::Pass,
        "FEAT" => Step::Feat,
        "TYPE" => Step::Type,
        "OPTS" => Step::Opts,
        "CWD" => Step::Cwd,
        "MKD" => Step::Mkd,
        "PWD" => Step::Pwd,
        "EPSV" | "PASV" => Step::Passive,
        "STOR" => Step::Stor,
        "SIZE" => Step::Size,
        "MLSD" | "NLST" | "LIST" | "RETR" => Step::List,
        "RNFR" => Step::Rnfr,
        "RNTO" => Step::Rnto,
        "DELE" => Step::Dele,
        "QUIT" => Step::Quit,
        _ => return None,
    })
}

fn features(traits: &super::plan::Traits) -> String {
    if !traits.knows_feat {
        return "500 what?".to_owned();
    }
    let known = [(traits.knows_epsv, "EPSV"), (traits.knows_mlsd, "MLST size*;type*;"), (traits.knows_size, "SIZE")];
    let lines: Vec<String> = known.iter().filter(|(knows, _)| *knows).map(|(_, name)| format!(" {name}\r\n")).collect();
    format!("211-Features:\r\n{} UTF8\r\n211 End", lines.concat())
}

/// What comes after a command that should be answered so, when this goes wrong.
fn after(act: Option<Act>, reply: &str) -> Next {
    match act {
        None | Some(Act::Size(_) | Act::Data { .. }) => line(reply),
        Some(Act::Cut { reset: false, .. }) => Next::Cut,
        Some(Act::Cut { reset: true, .. }) => Next::Reset,
        Some(Act::Stall { .. } | Act::Late { .. }) => Next::Hang,
        Some(Act::Code { code: 421, .. }) => Next::SendAndCut(format!("{}\r\n", refusal(421)).into_bytes()),
        Some(Act::Code { code, .. }) => line(&refusal(code)),
        Some(Act::Form(form)) => odd(form, reply),
        Some(Act::Noise(noise)) => nonsense(noise, reply),
    }
}

fn refusal(code: u16) -> String {
    let text = match code {
        421 => "Service not available, closing control connection.",
        425 => "Can't open data connection.",
        426 => "Connection closed; transfer aborted.",
        450 => "Requested file action not taken: file busy.",
        451 => "Requested action aborted: local error in processing.",
        452 => "Insufficient storage space.",
        530 => "Please login with USER and PASS.",
        550 => "Requested action not taken.",
        552 => "Exceeded storage allocation.",
        _ => "File name not allowed.",
    };
    format!("{code} {text}")
}

/// A right reply in an odd form, RFC 959, 4.2.
fn odd(form: Form, reply: &str) -> Next {
    let (code, text) = reply.split_once([' ', '-']).unwrap_or((reply, ""));
    // A reply of several lines has an odd form already.
    let form = if reply.contains("\r\n") && form != Form::Pieces { Form::Sloppy } else { form };
    match form {
        Form::Lines => Next::Send(
            format!("{code}-Welcome\r\n {code} this is not the end\r\n2024 was a good year\r\n\r\n{code} {text}\r\n")
                .into(),
        ),
        Form::Pieces => Next::Trickle(format!("{reply}\r\n").into_bytes()),
        Form::Sloppy => {
            let mut bytes = reply.replace("\r\n", "\n").into_bytes();
            bytes.extend_from_slice(if text.ends_with(|c: char| c.is_ascii_digit()) { b"\n" } else { b" \xe9\xff\n" });
            Next::Send(bytes)
        }
        Form::Long => Next::Send(format!("{code}-{}\r\n{reply}\r\n", "long ".repeat(2_000)).into_bytes()),
    }
}

fn nonsense(noise: Noise, reply: &str) -> Next {
    match noise {
        Noise::Garbage => Next::Send(b"\x00\xff\xfe what\r\n".to_vec()),
        Noise::NoSuchCode => line("999 whatever"),
        Noise::Endless => Next::SendAndCut(vec![b'x'; 4 << 20]),
        Noise::HalfReply => Next::SendAndCut(reply.as_bytes()[..reply.len() / 2].to_vec()),
    }
}

fn wrong_size(wrong: WrongSize, size: u64) -> u64 {
    match wrong {
        WrongSize::OneMore => size + 1,
        WrongSize::Half => size / 2,
        WrongSize::Zero => 0,
        WrongSize::Huge => u64::MAX,
    }
}

/// From now on the end of this connection is a reset.
fn reset(connection: &TcpStream) {
    let Ok(same) = connection.try_clone() else { return };
    if same.set_nonblocking(true).is_ok() {
        TcpSocket::from_std_stream(same).set_zero_linger().ok();
    }
}

/// The path of a final name.
pub fn final_path(name: &str) -> String {
    format!("{OUT}/{name}")
}
