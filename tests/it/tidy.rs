//! The rules of the source tree that neither the compiler nor clippy checks. Each rule is tried on sources that break
//! it, then all of them on the tree.

mod paths;
mod tokens;

use paths::Named;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tokens::{Token, tokens};

/// A module of the crate and the modules that it may name. Dependencies point one way: to lower ranks.
struct Layer {
    module: &'static str,
    rank: u8,
    may_name: &'static [&'static str],
}

const fn layer(module: &'static str, rank: u8, may_name: &'static [&'static str]) -> Layer {
    Layer { module, rank, may_name }
}

/// The rank table. Modules of one rank do not name each other, except along record, format, feed.
const LAYERS: [Layer; 19] = [
    layer("domain", 0, &[]),
    layer("clock", 1, &["domain"]),
    layer("disk", 1, &["domain"]),
    layer("document", 1, &["domain"]),
    layer("record", 2, &["domain"]),
    layer("format", 3, &["document", "domain", "record"]),
    layer("feed", 4, &["document", "domain", "format", "record"]),
    layer("ledger", 5, &["clock", "disk", "domain"]),
    layer("remote", 5, &["clock", "disk", "domain"]),
    layer("spool", 5, &["clock", "disk", "domain"]),
    layer("archive", 6, &["clock", "disk", "document", "domain", "feed", "format", "record", "remote", "spool"]),
    layer("intake", 6, &["clock", "disk", "document", "domain", "feed", "format", "record", "remote", "spool"]),
    layer("seal", 6, &["clock", "disk", "document", "domain", "feed", "format", "record", "remote", "spool"]),
    layer(
        "deliver",
        7,
        &[
            "archive", "clock", "disk", "document", "domain", "feed", "format", "intake", "record", "remote", "seal",
            "spool",
        ],
    ),
    layer(
        "app",
        8,
        &[
            "archive", "clock", "deliver", "disk", "document", "domain", "feed", "format", "intake", "ledger",
            "record", "remote", "seal", "spool",
        ],
    ),
    layer("serve", 9, &["app", "domain"]),
    // It puts definitions, rules and rows of the ledger into words; it reads no record and seals nothing.
    layer(
        "cli",
        10,
        &["app", "clock", "disk", "document", "domain", "feed", "format", "intake", "ledger", "remote", "serve"],
    ),
    layer("main", 11, &["app", "cli", "domain"]),
    layer("lib", 12, &[]),
];

/// What a module may name besides: file or directory, named module, reason.
const RANK_EXCEPTIONS: [(&str, &str, &str); 0] = [];

/// Modules that compute and do nothing else.
const PURE: [&str; 5] = ["document", "domain", "feed", "format", "record"];
const OUTSIDE_WORLD: [&str; 8] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// What `domain` may name of other crates: file, crate.
const DOMAIN_CRATES: [(&str, &str); 3] =
    [("src/domain/", "thiserror"), ("src/domain/period.rs", "chrono"), ("src/domain/period.rs", "chrono_tz")];

/// Most lines of a file, tests not counted.
const LINES_MAX: usize = 500;

/// Files that are longer: file and reason.
const LENGTH_EXCEPTIONS: [(&str, &str); 1] =
    [("src/document.rs", "one type with one typed getter after another, each of which reports its own problems")];

/// The one file that writes to standard output and standard error.
const PRINTER: &str = "src/cli/render.rs";

/// Parts of paths that exist on somebody's machine only.
const MACHINE_PATHS: [&str; 5] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/"), concat!("/t", "mp/")];

/// Where such a text is not a path of a machine: file, text, reason.
const MACHINE_PATH_EXCEPTIONS: [(&str, &str, &str); 1] =
    [("src/remote/ftp/listing.rs", concat!("/ho", "me/"), "a directory as an FTP server lists it")];

const UNFINISHED: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];

/// A file below the project's directory.
struct SourceFile {
    path: String,
    text: String,
}

impl SourceFile {
    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    /// `["feed", "router"]` for `src/feed/router.rs`; `None` outside `src`.
    fn module(&self) -> Option<Vec<String>> {
        let path = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        Some(path.split('/').map(str::to_owned).collect())
    }

    fn is_tests_alone(&self) -> bool {
        self.path.starts_with("tests/") || self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
}

/// What was found, and which exceptions were needed.
#[derive(Default)]
struct Findings {
    complaints: Vec<String>,
    exceptions_used: BTreeSet<String>,
}

impl Findings {
    fn add(&mut self, file: &SourceFile, line: usize, message: &str) {
        self.complaints.push(format!("{}:{line}: {message}", file.path));
    }

    fn exception(&mut self, parts: &[&str]) {
        self.exceptions_used.insert(parts.join(" "));
    }
}

fn check(file: &SourceFile, crates: &[String], findings: &mut Findings) {
    check_text(file, findings);
    if !file.is_rust() {
        return;
    }
    // What `x/tests.rs` tests is documented in `x.rs`.
    if !file.text.starts_with("//!") && !file.path.ends_with("/tests.rs") {
        findings.add(file, 1, "begins without //! documentation");
    }
    check_length(file, findings);
    let Some(module) = file.module() else { return };
    check_printing(file, findings);
    // In lib.rs everything is at home.
    if module == ["lib"] {
        return;
    }
    for named in paths::named(&module, crates, &file.text) {
        check_rank(file, &module, &named, findings);
        check_outside(file, &module, &named, findings);
    }
}

fn check_text(file: &SourceFile, findings: &mut Findings) {
    for (line, number) in file.text.lines().zip(1..) {
        if line.ends_with([' ', '\t', '\r']) {
            findings.add(file, number, "ends in white space");
        }
        let words = line.split(|c: char| c != '_' && !c.is_alphanumeric());
        for word in words.filter(|word| UNFINISHED.contains(word)) {
            findings.add(file, number, &format!("says {word}"));
        }
        for path in MACHINE_PATHS.into_iter().filter(|path| line.contains(path)) {
            if MACHINE_PATH_EXCEPTIONS.iter().any(|(place, text, _)| file.path == *place && path == *text) {
                findings.exception(&[&file.path, path]);
            } else {
                findings.add(file, number, &format!("names {path}, which is a path of one machine"));
            }
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        findings.add(file, file.text.lines().count(), "does not end with a line end");
    }
}

fn check_length(file: &SourceFile, findings: &mut Findings) {
    if file.is_tests_alone() {
        return;
    }
    let tokens = tokens(&file.text);
    let tested: usize = tokens
        .chunk_by(|a, b| a.test == b.test)
        .filter(|run| run[0].test)
        .map(|run| run[run.len() - 1].line - run[0].line + 1)
        .sum();
    let lines = file.text.lines().count() - tested;
    if lines <= LINES_MAX {
        return;
    }
    if LENGTH_EXCEPTIONS.iter().any(|(place, _)| file.path == *place) {
        findings.exception(&[&file.path]);
    } else {
        findings.add(file, 1, &format!("has {lines} lines without its tests, more than {LINES_MAX}"));
    }
}

fn check_printing(file: &SourceFile, findings: &mut Findings) {
    if file.path == PRINTER || file.is_tests_alone() {
        return;
    }
    let tokens = tokens(&file.text);
    for (at, name) in tokens.iter().enumerate().filter(|(_, token)| !token.test) {
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
        let by_macro = text(at + 1) == "!" && ["print", "println", "eprint", "eprintln", "dbg"].contains(&name.text);
        let stream =
            matches!(name.text, "stdout" | "stderr") && text(at.wrapping_sub(1)) == "::" && text(at + 1) == "(";
        if by_macro || stream && !only_looks(&tokens[at.saturating_sub(6)..], name) {
            findings.add(file, name.line, &format!("prints with {}; only {PRINTER} does", name.text));
        }
    }
}

/// `stdout().is_terminal()` and `tcgetwinsize(std::io::stdout())` write nothing. `tokens` begin a little before `stream`.
fn only_looks(tokens: &[Token<'_>], stream: &Token<'_>) -> bool {
    let Some(at) = tokens.iter().position(|token| token == stream) else { return false };
    let behind = tokens[at + 1..].iter().map(|token| token.text).take(4);
    behind.eq(["(", ")", ".", "is_terminal"]) || tokens[..at].iter().any(|token| token.text == "tcgetwinsize")
}

fn check_rank(file: &SourceFile, module: &[String], named: &Named, findings: &mut Findings) {
    if named.path[0] != "crate" && named.path[0] != "hourdrop" {
        return;
    }
    let Some(own) = LAYERS.iter().find(|layer| layer.module == module[0]) else {
        return findings.add(file, named.line, &format!("{} has no place in the rank table", module[0]));
    };
    let Some(other) = named.path.get(1) else {
        return findings.add(file, named.line, "names the whole crate, which hides what it uses");
    };
    if *other == module[0] || own.may_name.contains(&other.as_str()) {
        return;
    }
    // Tests beside the code may use every lower rank, to see what the code did.
    let rank = LAYERS.iter().find(|layer| layer.module == other).map(|layer| layer.rank);
    if (named.test || file.is_tests_alone()) && rank.is_some_and(|rank| rank < own.rank) {
        return;
    }
    let exception = RANK_EXCEPTIONS.iter().find(|(place, name, _)| file.path.starts_with(place) && other == name);
    match exception {
        Some((place, name, _)) => findings.exception(&[place, name]),
        None => findings.add(file, named.line, &format!("{} must not name {other}", module[0])),
    }
}

fn check_outside(file: &SourceFile, module: &[String], named: &Named, findings: &mut Findings) {
    if named.test || file.is_tests_alone() {
        return;
    }
    let path = named.path.join("::");
    let within = |forbidden: &str| path == forbidden || path.starts_with(&format!("{forbidden}::"));
    if PURE.contains(&module[0].as_str()) && (path == "std" || OUTSIDE_WORLD.into_iter().any(within)) {
        findings.add(file, named.line, &format!("{} must not touch the outside world: {path}", module[0]));
    }
    if module[0] == "deliver" && within("std::fs") {
        findings.add(file, named.line, "deliver must not open a file except through archive");
    }
    let own = ["crate", "std"].contains(&named.path[0].as_str());
    let permitted = DOMAIN_CRATES.iter().any(|(place, name)| file.path.starts_with(place) && named.path[0] == *name);
    if module[0] == "domain" && !own && !permitted {
        findings.add(file, named.line, &format!("domain must not name the crate {}", named.path[0]));
    }
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Crates that the project depends on, as Rust spells them, and its own.
fn crates() -> Vec<String> {
    let manifest = fs::read_to_string(project().join("Cargo.toml")).expect("manifest");
    let manifest: toml::Table = manifest.parse().expect("manifest");
    let dependencies = manifest["dependencies"].as_table().expect("dependencies");
    dependencies.keys().map(|name| name.replace('-', "_")).chain(["hourdrop".to_owned()]).collect()
}

/// All texts that people write: not the sample records, not the licences, not what cargo makes.
fn source_files() -> Vec<SourceFile> {
    let mut files = Vec::new();
    for directory in ["src", "tests", "benches", "examples", "formats", "contrib", "sample-data", "docs", ".ci"] {
        walk(&project().join(directory), &mut files);
    }
    for name in ["Cargo.toml", ".clippy.toml", "rustfmt.toml", "README.md", "CHANGELOG.md"] {
        read(&project().join(name), &mut files);
    }
    files
}

fn walk(directory: &Path, files: &mut Vec<SourceFile>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() { walk(&path, files) } else { read(&path, files) }
    }
}

fn read(path: &Path, files: &mut Vec<SourceFile>) {
    let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
    let written = extension.is_none_or(|e| ["rs", "toml", "md", "sql", "sh", "service", "html", "css"].contains(&&*e));
    let (true, Ok(text)) = (written, fs::read_to_string(path)) else { return };
    let path = path.strip_prefix(project()).expect("a path of the project").to_string_lossy().into_owned();
    files.push(SourceFile { path, text });
}

#[test]
fn the_source_tree_keeps_its_rules() {
    let files = source_files();
    let crates = crates();
    assert!(files.iter().filter(|file| file.is_rust()).count() > 100, "the source tree was found");
    let mut findings = Findings::default();
    for file in &files {
        check(file, &crates, &mut findings);
    }
    assert!(findings.complaints.is_empty(), "\n{}", findings.complaints.join("\n"));
    let declared = (RANK_EXCEPTIONS.iter().map(|(place, name, _)| format!("{place} {name}")))
        .chain(LENGTH_EXCEPTIONS.iter().map(|(place, _)| (*place).to_owned()))
        .chain(MACHINE_PATH_EXCEPTIONS.iter().map(|(place, text, _)| format!("{place} {text}")));
    assert_eq!(findings.exceptions_used, declared.collect(), "exceptions that are needed, and those that are declared");
}

#[test]
fn the_rank_table_points_one_way() {
    for layer in &LAYERS {
        for name in layer.may_name {
            let other = LAYERS.iter().find(|other| other.module == *name).expect("a module of the table");
            assert!(other.rank < layer.rank, "{} names {name}", layer.module);
        }
    }
    let of = |module: &str| LAYERS.iter().find(|layer| layer.module == module).expect("a module").may_name;
    for module in ["archive", "deliver", "intake", "seal"] {
        assert!(!of(module).contains(&"ledger"), "{module} names the ledger");
    }
}

#[cfg(test)]
mod broken {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        let mut findings = Findings::default();
        let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
        check(&file, &["chrono".to_owned(), "serde".to_owned(), "hourdrop".to_owned()], &mut findings);
        findings.complaints
    }

    fn code(path: &str, body: &str) -> Vec<String> {
        complaints(path, &format!("//! Documentation.\n{body}\n"))
    }

    #[test]
    fn a_higher_rank_is_noticed_in_use_lines_and_in_bodies() {
        for body in [
            "use crate::ledger::Ledger;",
            "use crate::{disk::Disk, ledger};",
            "fn f() { crate::ledger::open() }",
            "fn f(ledger: &super::super::ledger::Ledger) {}",
            "mod inner { use super::super::super::ledger; }",
        ] {
            assert_eq!(code("src/seal/plan.rs", body), ["src/seal/plan.rs:2: seal must not name ledger"], "{body}");
        }
        assert_eq!(
            code("src/seal/plan.rs", "use crate as root;"),
            ["src/seal/plan.rs:2: names the whole crate, which hides what it uses"]
        );
        assert_eq!(code("src/seal/plan.rs", "use super::staged; use crate::spool::Spool; // crate::ledger"), [""; 0]);
        assert_eq!(code("src/seal.rs", "use super::archive;"), ["src/seal.rs:2: seal must not name archive"]);
        assert_eq!(code("src/main.rs", "use hourdrop::ledger;"), ["src/main.rs:2: main must not name ledger"]);
        assert_eq!(
            code("src/extra.rs", "use crate::domain;"),
            ["src/extra.rs:2: extra has no place in the rank table"]
        );
    }

    #[test]
    fn tests_beside_the_code_may_name_lower_ranks_only() {
        let tests = |name: &str| format!("#[cfg(test)] mod tests {{ use crate::{name}::x; }}");
        assert_eq!(code("src/serve/ftp_server.rs", &tests("remote")), [""; 0]);
        assert_eq!(code("src/serve/ftp_server.rs", "use crate::remote::x;").len(), 1);
        assert_eq!(code("src/spool.rs", &tests("app")), ["src/spool.rs:2: spool must not name app"]);
    }

    #[test]
    fn pure_modules_must_not_touch_the_outside_world() {
        assert_eq!(code("src/format/x.rs", "fn f() { std::fs::read(p) }").len(), 1);
        assert_eq!(code("src/feed/x.rs", "use std::{sync::Arc, time::{Instant, Duration}};").len(), 1);
        assert_eq!(code("src/format/x.rs", "#[cfg(test)] mod tests { use std::fs; }"), [""; 0]);
        assert_eq!(code("src/spool/x.rs", "use std::fs;"), [""; 0]);
        assert_eq!(code("src/deliver/x.rs", "use std::fs::File;").len(), 1);
    }

    #[test]
    fn domain_names_its_own_crates_only() {
        assert_eq!(code("src/domain/batch.rs", "#[derive(serde::Serialize)] struct S;").len(), 1);
        assert_eq!(code("src/domain/batch.rs", "use chrono::DateTime;").len(), 1);
        assert_eq!(code("src/domain/period.rs", "use chrono::DateTime;"), [""; 0]);
    }

    #[test]
    fn only_one_file_prints() {
        for body in ["fn f() { println!(\"x\") }", "fn f() { std::io::stdout().lock(); }", "fn f() { dbg!(1); }"] {
            assert_eq!(code("src/app/x.rs", body).len(), 1, "{body}");
            assert_eq!(code(PRINTER, body), [""; 0]);
        }
        let asks = "fn f() { std::io::stdout().is_terminal(); tcgetwinsize(std::io::stdout()); }";
        assert_eq!(code("src/cli/x.rs", asks), [""; 0]);
        assert_eq!(code("src/app/x.rs", "#[cfg(test)] mod tests { fn f() { println!() } }"), [""; 0]);
        assert_eq!(code("src/app/x.rs", "/// println!()\nconst X: &str = \"println!()\";"), [""; 0]);
    }

    #[test]
    fn long_files_are_noticed_and_their_tests_are_not_counted() {
        let body = "fn f() {}\n".repeat(LINES_MAX - 2);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}", "fn g() {}\n".repeat(300));
        assert_eq!(code("src/seal/x.rs", &format!("{body}\n{tests}")), [""; 0]);
        assert_eq!(code("src/seal/x.rs", &format!("{body}fn h() {{}}\n\n{tests}")).len(), 1);
        assert_eq!(code("src/seal/tests.rs", &body.repeat(2)), [""; 0]);
    }

    #[test]
    fn texts_are_clean() {
        assert_eq!(complaints("src/seal/x.rs", "fn f() {}\n").len(), 1, "no documentation");
        assert_eq!(complaints("README.md", "x \n").len(), 1, "white space at the end");
        assert_eq!(complaints("README.md", "x").len(), 1, "no line end");
        for text in MACHINE_PATHS.into_iter().chain(UNFINISHED) {
            assert_eq!(complaints("README.md", &format!("see {text}:\n")).len(), 1, "{text}");
        }
        assert_eq!(complaints("README.md", "mktemp -d hourdrop.XXXXXX ../shared/real-data\n"), [""; 0]);
    }
}
