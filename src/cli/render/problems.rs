//! Problems of configuration and format files as people read them: file, line, caret, advice. Secrets in the lines shown
//! are masked.

use crate::cli::table::counted;
use crate::cli::terminal::Terminal;
use crate::document::{Problem, Severity};
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::ops::Range;

/// All problems, in the order of their files, and how many there are.
#[must_use]
pub fn problems(problems: &[Problem], terminal: Terminal) -> String {
    let renderer = if terminal.color_err { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(terminal.width);
    let mut text = String::new();
    for problem in in_order(problems) {
        text.push_str(&rendered(problem, &renderer));
        text.push_str("\n\n");
    }
    let count = |severity| problems.iter().filter(|problem| problem.severity == severity).count() as u64;
    let counts = [(count(Severity::Error), "error"), (count(Severity::Warning), "warning")];
    let counts: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| counted(*n, word)).collect();
    text.push_str(&format!("{}\n", counts.join(", ")));
    text
}

/// The documents in the order in which they first appear, the problems of each from top to bottom.
pub(super) fn in_order(problems: &[Problem]) -> Vec<&Problem> {
    let mut names: Vec<&str> = Vec::new();
    for problem in problems {
        if !names.contains(&problem.document.name.as_str()) {
            names.push(&problem.document.name);
        }
    }
    let mut sorted: Vec<&Problem> = problems.iter().collect();
    sorted.sort_by_key(|problem| {
        let document = names.iter().position(|name| *name == problem.document.name);
        (document, problem.line(), problem.severity, problem.span.start)
    });
    sorted
}

/// Column in which a problem begins, in characters from 1.
pub(super) fn column(problem: &Problem) -> usize {
    let text = &problem.document.text;
    let before = text.get(..problem.span.start.min(text.len())).unwrap_or_default();
    before.rsplit('\n').next().unwrap_or_default().chars().count() + 1
}

fn rendered(problem: &Problem, renderer: &Renderer) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let source = masked(&problem.document.text);
    let span = on_one_line(&source, problem.span.clone());
    let snippet =
        Snippet::source(source).path(problem.document.name.as_str()).annotation(AnnotationKind::Primary.span(span));
    let mut group = level.primary_title(problem.message.as_str()).element(snippet);
    if let Some(hint) = &problem.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    renderer.render(&[group])
}

/// A span that begins where `span` does and stays on that line; a whole table is shown by its first line.
fn on_one_line(text: &str, span: Range<usize>) -> Range<usize> {
    let start = span.start.min(text.len());
    let line = text.get(start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| start + length);
    start..span.end.clamp(start, line)
}

/// The text with every value of a key that names a secret, and every password in a URL, replaced by asterisks. Bytes
/// keep their places.
fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (key, value) = line.split_once('=').unwrap_or(("", line));
        let secret = ["password", "passphrase", "secret", "token"].iter().any(|word| key.to_lowercase().contains(word));
        if secret {
            shown.push_str(key);
            shown.push('=');
            shown.push_str(&without_texts(value));
        } else {
            shown.push_str(&without_url_password(line));
        }
    }
    shown
}

/// The value with its quoted texts masked, except those that say where the secret is to be found.
fn without_texts(value: &str) -> String {
    let mut shown = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, quote)) = rest.find(['"', '\'']).and_then(|at| Some((rest.get(..at)?, rest.get(at..=at)?)))
    {
        let inner = rest.get(before.len() + 1..).unwrap_or_default();
        let text = inner.split(quote).next().unwrap_or_default();
        let key = before.trim_end().trim_end_matches('=').trim_end();
        let place = ["env", "file", "credential"].iter().any(|word| key.ends_with(word));
        shown.push_str(before);
        shown.push_str(quote);
        shown.push_str(&if place { text.to_owned() } else { starred(text, |_| true) });
        rest = inner.get(text.len()..).unwrap_or_default();
        if rest.starts_with(quote) {
            shown.push_str(quote);
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    shown.push_str(rest);
    shown
}

fn without_url_password(line: &str) -> String {
    let password = line.find("://").and_then(|scheme| {
        let authority = scheme + 3;
        let end = line.get(authority..)?.find(['/', '"', '\'', ' ']).map_or(line.len(), |length| authority + length);
        let at = line.get(authority..end)?.rfind('@')? + authority;
        let colon = line.get(authority..at)?.find(':')? + authority;
        Some((colon + 1, at))
    });
    match password.and_then(|(from, to)| Some((line.get(..from)?, line.get(from..to)?, line.get(to..)?))) {
        Some((before, secret, after)) => format!("{before}{}{after}", starred(secret, |_| true)),
        None => line.to_owned(),
    }
}

/// One asterisk for each byte of the characters that `hide` names, so that byte offsets stay right.
fn starred(text: &str, hide: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if hide(character) && !character.is_whitespace() {
            shown.extend(std::iter::repeat_n('*', character.len_utf8()));
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, Problems, read_document};

    const PLAIN: Terminal = Terminal { color_out: false, color_err: false, width: 100 };

    fn shown(text: &str, key: &'static str) -> String {
        let found = Problems::default();
        let document = Document { name: "hourdrop.toml".to_owned(), text: text.to_owned() };
        read_document(document, &found, |table| {
            found.add(table.place_of(key).error_with_hint("this is wrong", "write it otherwise"));
        });
        problems(&found.take(), PLAIN)
    }

    #[test]
    fn a_problem_shows_file_line_caret_and_advice() {
        assert_eq!(
            shown("a = 1\nname = \"话单\" # x\n", "name"),
            "error: this is wrong\n --> hourdrop.toml:2:8\n  |\n2 | name = \"话单\" # x\n  |        ^^^^^^\n  |\n  = help: \
             write it otherwise\n\n1 error\n"
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        for text in ["password = \"s3cret\"\n", "passphrase='s3cret'\n", "deliver = \"ftp://bob:s3cret@host/dir\"\n"] {
            let key: &'static str = if text.starts_with('d') {
                "deliver"
            } else if text.contains("phrase") {
                "passphrase"
            } else {
                "password"
            };
            let shown = shown(text, key);
            assert!(!shown.contains("s3cret") && shown.contains("******"), "{shown}");
        }
        assert_eq!(masked("password = { env = \"PW\" }\n"), "password = { env = \"PW\" }\n");
        assert_eq!(masked("password = { file = \"/p\", x = \"pw\" }\n"), "password = { file = \"/p\", x = \"**\" }\n");
        assert_eq!(masked("deliver = \"ftp://bob@host/a:b\"\n"), "deliver = \"ftp://bob@host/a:b\"\n");
    }

    #[test]
    fn a_whole_table_is_shown_by_its_first_line() {
        let text = "[a]\nb = 1\n";
        assert_eq!(on_one_line(text, 0..9), 0..3);
        assert_eq!(on_one_line(text, 40..50), 10..10);
    }
}
