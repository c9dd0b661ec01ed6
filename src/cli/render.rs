//! The only file that prints. Answers go to standard output, everything else to standard error; whoever closes the pipe
//! early has seen enough, so that is no error.

mod problems;

pub use problems::problems;

use super::context::{Answer, Context, Failure};
use super::exit;
use super::json::set;
use crate::document::{Problem, Severity};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::process::ExitCode;

/// Prints the result of a command and gives the exit code.
#[must_use]
pub fn finish(context: &Context, result: Result<Answer, Failure>) -> ExitCode {
    let code = match &result {
        Ok(answer) => answer.exit,
        Err(failure) => failure.exit,
    };
    let printed = match result {
        Ok(answer) => print_answer(context, &answer),
        Err(failure) => print_failure(context, &failure),
    };
    match printed {
        Err(fault) if fault.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(exit::FAILED),
        Ok(()) | Err(_) => ExitCode::from(code),
    }
}

/// Prints what clap has to say: help, the version, or why the command line cannot be understood.
#[must_use]
pub fn usage(fault: &clap::Error, json: bool) -> ExitCode {
    let failed = fault.use_stderr();
    if failed && json {
        let text = fault.render().to_string();
        let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let failure = Failure::usage(line).hint("`hourdrop --help` shows what can be typed");
        let printed = out(&format!("{}\n", failure_json(&failure)));
        return ExitCode::from(if printed.is_ok() { exit::USAGE } else { exit::FAILED });
    }
    let printed = fault.print();
    match printed {
        Err(fault) if fault.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(exit::FAILED),
        Ok(()) | Err(_) => ExitCode::from(if failed { exit::USAGE } else { exit::DONE }),
    }
}

/// Prints an answer while the program goes on.
pub fn show(context: &Context, answer: &Answer) {
    // Whoever closed the pipe has seen enough.
    print_answer(context, answer).ok();
}

/// Tells the sender on standard input how many records earlier runs accepted: it goes on behind them.
pub fn begin(records: u64) {
    out(&format!("before={records}\n")).ok();
}

/// Tells the sender on standard input how many of its records are durable.
pub fn acknowledge(records: u64) {
    // A sender that does not listen loses nothing: the records are safe.
    out(&format!("accepted={records}\n")).ok();
}

/// Prints one line of JSON for programs while the command goes on; false when nobody reads any more.
#[must_use]
pub fn json_line(value: &Value) -> bool {
    out(&format!("{value}\n")).is_ok()
}

fn print_answer(context: &Context, answer: &Answer) -> io::Result<()> {
    if context.global.json {
        let lines: Vec<String> = answer.json.iter().map(ToString::to_string).collect();
        return out(&(lines.join("\n") + if lines.is_empty() { "" } else { "\n" }));
    }
    if !answer.problems.is_empty() {
        err(&problems(&answer.problems, context.terminal))?;
    }
    out(&harmless(&answer.text))?;
    if !context.global.quiet {
        for note in &answer.notes {
            err(&format!("{}\n", one_line(note)))?;
        }
    }
    Ok(())
}

fn print_failure(context: &Context, failure: &Failure) -> io::Result<()> {
    if context.global.json {
        return out(&format!("{}\n", failure_json(failure)));
    }
    if !failure.problems.is_empty() {
        err(&problems(&failure.problems, context.terminal))?;
    }
    err(&failure_text(failure, context.terminal.color_err))
}

/// An error as people read it, at most six lines.
fn failure_text(failure: &Failure, color: bool) -> String {
    let paint = |text: &str, code: &str| if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let mut text = format!("{} {}\n", paint("error:", "1;31"), one_line(&failure.error));
    for (word, code, said) in [("cause:", "1", &failure.cause), ("hint:", "1;36", &failure.hint)] {
        if let Some(said) = said {
            text.push_str(&format!("  {} {}\n", paint(word, code), one_line(said)));
        }
    }
    text
}

/// Names of input files and answers of servers may hold control characters, which a terminal would obey.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Texts from servers may hold line ends and control characters; neither may spoil the screen.
fn one_line(text: &str) -> String {
    let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn failure_json(failure: &Failure) -> Value {
    let mut value = json!({ "error": failure.error });
    for (key, said) in [("cause", &failure.cause), ("hint", &failure.hint)] {
        if let Some(said) = said {
            set(&mut value, key, json!(said));
        }
    }
    if !failure.problems.is_empty() {
        set(&mut value, "problems", failure.problems.iter().map(problem_json).collect());
    }
    value
}

/// A problem for programs.
#[must_use]
pub fn problem_json(problem: &Problem) -> Value {
    json!({
        "severity": match problem.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "file": problem.document.name,
        "line": problem.line(),
        "column": problems::column(problem),
        "message": problem.message,
        "hint": problem.hint,
    })
}

fn out(text: &str) -> io::Result<()> {
    let mut stream = io::stdout().lock();
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

fn err(text: &str) -> io::Result<()> {
    io::stderr().lock().write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_said_once_in_three_lines() {
        let failure = Failure::new("partner acme: cannot rename")
            .because("server answered 550: \x1b[2Jtarget\r\n exists")
            .hint("`hourdrop probe acme`");
        assert_eq!(
            failure_text(&failure, false),
            "error: partner acme: cannot rename\n  cause: server answered 550: [2Jtarget exists\n  hint: `hourdrop probe acme`\n"
        );
        assert_eq!(failure_text(&Failure::new("x"), true), "\x1b[1;31merror:\x1b[0m x\n");
    }
}
