//! Stands between us and a real FTP server, on the control connection only: passes on, refuses, changes a reply, or cuts.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What becomes of a command. A new connection counts as the command `CONNECT`.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    Pass,
    /// The server never hears of it.
    Answer(&'static str),
    /// The server carries it out and its last reply is replaced.
    Replace(&'static str),
    /// The connection ends, and the server never hears of it.
    CloseBefore,
    /// The server carries it out, and the connection ends instead of a reply.
    CloseAfter,
}

/// Number of the connection, from 1, and the command line.
type Rule = Box<dyn FnMut(u32, &str) -> Act + Send>;

/// Runs until the test process ends.
pub struct ControlProxy {
    port: u16,
    commands: Arc<Mutex<Vec<String>>>,
}

impl ControlProxy {
    pub fn before(server: u16, rule: impl FnMut(u32, &str) -> Act + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listener");
        let port = listener.local_addr().expect("address").port();
        let (commands, rule): (Arc<Mutex<Vec<String>>>, Rule) = (Arc::default(), Box::new(rule));
        let (heard, rule) = (Arc::clone(&commands), Arc::new(Mutex::new(rule)));
        thread::spawn(move || {
            for (client, number) in listener.incoming().flatten().zip(1..) {
                let (heard, rule) = (Arc::clone(&heard), Arc::clone(&rule));
                thread::spawn(move || {
                    let act = |command: &str| {
                        heard.lock().unwrap_or_else(PoisonError::into_inner).push(command.to_owned());
                        rule.lock().unwrap_or_else(PoisonError::into_inner)(number, command)
                    };
                    // Either end may go away at any moment.
                    drop(talk(client, server, act));
                });
            }
        });
        Self { port, commands }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How often a command was heard.
    pub fn heard(&self, verb: &str) -> usize {
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.iter().filter(|command| command.split(' ').next() == Some(verb)).count()
    }
}

fn talk(client: TcpStream, server: u16, mut act: impl FnMut(&str) -> Act) -> std::io::Result<()> {
    let mut to_client = client.try_clone()?;
    let mut from_client = BufReader::new(client);
    match act("CONNECT") {
        Act::Answer(text) => return to_client.write_all(format!("{text}\r\n").as_bytes()),
        Act::Pass | Act::Replace(_) => {}
        Act::CloseBefore | Act::CloseAfter => return Ok(()),
    }
    let mut to_server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    let mut from_server = BufReader::new(to_server.try_clone()?);
    to_client.write_all(reply(&mut from_server)?.as_bytes())?;
    let mut line = String::new();
    while from_client.read_line(&mut line)? > 0 {
        let what = act(line.trim_end());
        match what {
            Act::Answer(text) => to_client.write_all(format!("{text}\r\n").as_bytes())?,
            Act::CloseBefore => return Ok(()),
            Act::Pass | Act::Replace(_) | Act::CloseAfter => {
                to_server.write_all(line.as_bytes())?;
                let mut answer = reply(&mut from_server)?;
                while answer.starts_with('1') {
                    to_client.write_all(answer.as_bytes())?;
                    answer = reply(&mut from_server)?;
                }
                match what {
                    Act::CloseAfter => return Ok(()),
                    Act::Replace(text) => to_client.write_all(format!("{text}\r\n").as_bytes())?,
                    _ => to_client.write_all(answer.as_bytes())?,
                }
            }
        }
        line.clear();
    }
    Ok(())
}

/// One reply to its end: a line whose code is followed by a space.
fn reply(from: &mut impl BufRead) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let begin = text.len();
        if from.read_line(&mut text)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = &text.as_bytes()[begin..];
        if line.len() >= 4 && line[..3].iter().all(u8::is_ascii_digit) && line[3] == b' ' {
            return Ok(text);
        }
    }
}
