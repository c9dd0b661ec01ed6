//! The command line: what was typed, and one file for each command.
//!
//! A command gives an [`Answer`] or a [`Failure`]; [`render`] is the only file that prints. Exit codes: 0 done, 1 failed,
//! 2 usage, 4 differences or something incomplete, 5 remote trouble that goes on later, 75 locked by another instance,
//! 78 configuration. New codes may come: an unknown one is a failure.

mod accept_clock;
mod arguments;
mod check;
mod context;
mod demo;
mod files;
mod hours;
mod init;
mod json;
mod once;
mod operator;
mod pickup_server;
mod preview;
mod probe;
mod quarantine;
mod recover;
pub mod render;
mod run;
mod show;
mod spool;
mod status;
mod table;
mod terminal;
mod times;
mod verify;
mod verify_file;
mod work;

pub use context::{Answer, Context, Failure};

use arguments::{Arguments, Command, QuarantineCommand, SpoolCommand};
use clap::{CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::process::ExitCode;

/// What the program ends with.
pub mod exit {
    /// Everything is done and as it should be.
    pub const DONE: u8 = 0;
    /// It failed.
    pub const FAILED: u8 = 1;
    /// The command line cannot be understood.
    pub const USAGE: u8 = 2;
    /// Something differs, is held, overdue or otherwise not complete.
    pub const INCOMPLETE: u8 = 4;
    /// A partner's server made trouble; trying again later is useful.
    pub const REMOTE: u8 = 5;
    /// Another instance works on the same state directory.
    pub const LOCKED: u8 = 75;
    /// The configuration has errors.
    pub const CONFIGURATION: u8 = 78;
}

/// Runs the program with these arguments, the first of which is its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let typed: Vec<OsString> = arguments.into_iter().collect();
    let json = typed.iter().any(|argument| argument == "--json");
    let command = Arguments::command().color(terminal::clap_color(&typed));
    let parsed = command.try_get_matches_from(typed).and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(fault) => return render::usage(&fault, json),
    };
    let context = Context::new(arguments.global);
    let answer = dispatch(&context, arguments.command);
    render::finish(&context, answer)
}

fn dispatch(context: &Context, command: Command) -> Result<Answer, Failure> {
    match command {
        Command::Check(arguments) => check::run(context, &arguments),
        Command::Preview(arguments) => preview::run(context, &arguments),
        Command::Probe(arguments) => probe::run(context, &arguments),
        Command::Run(arguments) => run::run(context, &arguments),
        Command::Once(arguments) => once::run(context, &arguments),
        Command::Status(arguments) => status::run(context, &arguments),
        Command::Hours(arguments) => hours::run(context, &arguments),
        Command::Files(arguments) => files::run(context, &arguments),
        Command::Show(arguments) => show::run(context, &arguments),
        Command::Quarantine { command: QuarantineCommand::List(arguments) } => quarantine::list(context, &arguments),
        Command::Quarantine { command: QuarantineCommand::Show(arguments) } => quarantine::show(context, &arguments),
        Command::Quarantine { command: QuarantineCommand::Retry(arguments) } => {
            quarantine::retry::run(context, &arguments)
        }
        Command::Pause(arguments) => operator::pause(context, &arguments),
        Command::Resume(arguments) => operator::resume(context, &arguments),
        Command::Hold(arguments) => operator::hold(context, &arguments),
        Command::Release(arguments) => operator::release(context, &arguments),
        Command::Void(arguments) => operator::void(context, &arguments),
        Command::Settle(arguments) => operator::settle(context, &arguments),
        Command::Verify(arguments) => verify::run(context, &arguments),
        Command::Recover(arguments) => recover::run(context, &arguments),
        Command::Spool { command: SpoolCommand::List(arguments) } => spool::list(context, &arguments),
        Command::Spool { command: SpoolCommand::Check(arguments) } => spool::check(context, &arguments),
        Command::Spool { command: SpoolCommand::Export(arguments) } => spool::export::run(context, &arguments),
        Command::Spool { command: SpoolCommand::Salvage(arguments) } => spool::salvage::run(context, &arguments),
        Command::AcceptClock(arguments) => accept_clock::run(context, &arguments),
        Command::VerifyFile(arguments) => verify_file::run(context, &arguments),
        Command::Init(arguments) => init::run(context, &arguments),
        Command::Demo(arguments) => demo::run(context, &arguments),
    }
}
