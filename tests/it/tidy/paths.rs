//! Which modules of the crate, and which crates, a source file names: in `use` lines, in bodies and in attributes.

use super::tokens::{Token, tokens};

/// A path as it was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// `["crate", "ledger", "Ledger"]`, `["std", "fs"]`, `["chrono", "DateTime"]`.
    pub path: Vec<String>,
    /// Line.
    pub line: usize,
    /// In an inline test module.
    pub test: bool,
}

/// All paths that begin with `crate`, `self`, `super` or the name of another crate. `module` is where the file stands:
/// `["feed", "router"]` for `src/feed/router.rs`. What begins with another name is local and left out.
pub fn named(module: &[String], crates: &[String], source: &str) -> Vec<Named> {
    let tokens = tokens(source);
    let mut reader = Reader { tokens: &tokens, at: 0, module, crates, inline: Vec::new(), depth: 0, found: Vec::new() };
    while reader.at < tokens.len() {
        reader.step();
    }
    reader.found
}

struct Reader<'s> {
    tokens: &'s [Token<'s>],
    at: usize,
    module: &'s [String],
    crates: &'s [String],
    /// Inline modules around, each with the depth of its braces.
    inline: Vec<(String, usize)>,
    depth: usize,
    found: Vec<Named>,
}

impl<'s> Reader<'s> {
    fn text(&self, ahead: usize) -> &'s str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text)
    }

    fn step(&mut self) {
        let token = self.tokens[self.at];
        match token.text {
            "{" => self.depth += 1,
            "}" => {
                self.depth -= 1;
                self.inline.pop_if(|(_, depth)| *depth > self.depth);
            }
            "mod" if self.text(2) == "{" => {
                self.inline.push((self.text(1).to_owned(), self.depth + 1));
                self.at += 1;
            }
            _ if token.is_name() && self.begins_path() => {
                self.path(Vec::new());
                return;
            }
            _ => {}
        }
        self.at += 1;
    }

    /// A name followed by `::` that is not the middle of a path; or the crate or a module renamed whole.
    fn begins_path(&self) -> bool {
        let renamed = matches!(self.text(0), "crate" | "super") && self.text(1) == "as";
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        renamed || self.text(1) == "::" && before.is_none_or(|before| before.text != ".")
    }

    /// Reads one path, or a whole tree of a `use` line; ends behind it.
    fn path(&mut self, mut segments: Vec<&'s str>) {
        let token = self.tokens[self.at];
        loop {
            match self.text(0) {
                "{" => return self.group(&segments),
                "*" => self.at += 1,
                name if self.tokens.get(self.at).is_some_and(Token::is_name) => {
                    segments.push(name);
                    self.at += 1;
                }
                _ => break,
            }
            if self.text(0) != "::" {
                break;
            }
            self.at += 1;
        }
        self.keep(&segments, token);
    }

    /// `{a, b::c as d}` behind a path.
    fn group(&mut self, before: &[&'s str]) {
        self.at += 1;
        loop {
            match self.text(0) {
                "" | "}" => break,
                "," => self.at += 1,
                "as" => self.at += 2,
                _ => self.path(before.to_vec()),
            }
        }
        self.at += 1;
    }

    fn keep(&mut self, segments: &[&str], token: Token<'_>) {
        let Some(first) = segments.first() else { return };
        let mut path: Vec<String> = match *first {
            "crate" => vec!["crate".to_owned()],
            "self" | "super" => {
                let inline = self.inline.iter().map(|(name, _)| name.clone());
                std::iter::once("crate".to_owned()).chain(self.module.iter().cloned()).chain(inline).collect()
            }
            name if name == "std" || self.crates.iter().any(|known| known == name) => vec![name.to_owned()],
            _ => return,
        };
        if *first == "super" {
            path.pop();
        }
        for segment in &segments[1..] {
            match *segment {
                "super" => {
                    path.pop();
                }
                "self" => {}
                other => path.push(other.to_owned()),
            }
        }
        self.found.push(Named { path, line: token.line, test: token.test });
    }
}

#[cfg(test)]
mod tests {
    use super::named;

    fn found(module: &[&str], source: &str) -> Vec<String> {
        let module: Vec<String> = module.iter().map(|name| (*name).to_owned()).collect();
        let crates = vec!["chrono".to_owned()];
        named(&module, &crates, source).into_iter().map(|named| named.path.join("::")).collect()
    }

    #[test]
    fn use_lines_are_taken_apart() {
        let source =
            "use crate::{ledger::{Ledger, self as l, intake::*}, domain::time::UtcTime as T, spool}; use std::io;";
        let expected = [
            "crate::ledger::Ledger",
            "crate::ledger",
            "crate::ledger::intake",
            "crate::domain::time::UtcTime",
            "crate::spool",
            "std::io",
        ];
        assert_eq!(found(&["seal"], source), expected);
    }

    #[test]
    fn super_is_followed_through_files_and_inline_modules() {
        let source =
            "use super::super::ledger; mod tests { fn f() { super::g(); super::super::h(); self::i() } } super::j()";
        let expected = [
            "crate::ledger",
            "crate::seal::staged::g",
            "crate::seal::h",
            "crate::seal::staged::tests::i",
            "crate::seal::j",
        ];
        assert_eq!(found(&["seal", "staged"], source), expected);
    }

    #[test]
    fn paths_in_bodies_types_and_attributes_are_found() {
        let source = "#[derive(chrono::D)] fn f(x: Vec<crate::a::B>) -> &'static str { if crate::c::d::<E>(|| std::fs::read()) {} }
                      pub(in crate::f) use crate as root; pub(crate) fn g() { local::h(); Self::i(); m!(crate::k::L) }";
        let expected = ["chrono::D", "crate::a::B", "crate::c::d", "std::fs::read", "crate::f", "crate", "crate::k::L"];
        assert_eq!(found(&["seal"], source), expected);
    }
}
