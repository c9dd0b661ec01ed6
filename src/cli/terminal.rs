//! What the terminal can show: colours and width.

use super::arguments::ColorWhen;
use clap::ColorChoice;
use std::ffi::OsString;
use std::io::IsTerminal;

/// Width of what is written into a file or a pipe.
const WIDTH: usize = 100;

/// Whether to use colours on each stream, and how wide lines may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Colours on standard output.
    pub color_out: bool,
    /// Colours on standard error.
    pub color_err: bool,
    /// Columns.
    pub width: usize,
}

impl Terminal {
    /// Looks at the streams and the environment.
    pub fn look(when: ColorWhen) -> Self {
        Self {
            color_out: color(when, std::io::stdout().is_terminal()),
            color_err: color(when, std::io::stderr().is_terminal()),
            width: width(),
        }
    }
}

/// `NO_COLOR` (<https://no-color.org>) forbids, `CLICOLOR_FORCE` (<https://bixense.com/clicolors>) demands.
fn color(when: ColorWhen, terminal: bool) -> bool {
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto if set("NO_COLOR").is_some() => false,
        ColorWhen::Auto if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        ColorWhen::Auto => terminal && set("TERM").is_none_or(|value| value != "dumb"),
    }
}

/// What clap's own texts use; it honours the environment by itself.
pub fn clap_color(typed: &[OsString]) -> ColorChoice {
    let when = |word: &str| match word {
        "always" => ColorChoice::Always,
        "never" => ColorChoice::Never,
        _ => ColorChoice::Auto,
    };
    let words: Vec<&str> = typed.iter().filter_map(|word| word.to_str()).collect();
    let joined = words.iter().find_map(|word| word.strip_prefix("--color="));
    let apart = words.iter().zip(words.iter().skip(1)).find(|(word, _)| **word == "--color").map(|(_, when)| *when);
    joined.or(apart).map_or(ColorChoice::Auto, when)
}

/// A variable that is set and not empty.
#[expect(clippy::disallowed_methods, reason = "these variables are about the terminal, not about the configuration")]
fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn width() -> usize {
    if !std::io::stdout().is_terminal() {
        return WIDTH;
    }
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if size == 0 { WIDTH } else { size.max(60) }
}
