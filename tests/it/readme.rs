//! The README says what is: its first commands, its configurations and formats, and its tables of keys.

use hourdrop::app::config;
use hourdrop::document::{Document, Problems, Severity};
use hourdrop::domain::time::UtcTime;
use hourdrop::format::spec::read_format;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn readme() -> String {
    fs::read_to_string(project("README.md")).expect("README.md")
}

/// The text below a heading of the second level.
fn section<'t>(text: &'t str, heading: &str) -> &'t str {
    let mark = format!("\n## {heading}\n");
    let begin = text.find(&mark).unwrap_or_else(|| panic!("no heading {heading}")) + mark.len();
    let rest = &text[begin..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

/// A code block: what stands behind the opening marks, and its lines.
struct Block {
    info: String,
    body: String,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some(Block { info: info.to_owned(), body: String::new() }),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => block.body.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a code block is not closed");
    found
}

/// `file=formats/calls.toml` of a block that is a whole file.
fn whole_files(text: &str) -> Vec<(String, String)> {
    let named = |block: Block| {
        let file = block.info.strip_prefix("toml file=")?.to_owned();
        Some((file, block.body))
    };
    blocks(text).into_iter().filter_map(named).collect()
}

fn errors(problems: &[hourdrop::document::Problem]) -> Vec<String> {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    errors.map(|problem| format!("{}:{}: {}", problem.document.name, problem.line(), problem.message)).collect()
}

fn load(dir: &Path) -> Vec<String> {
    let now = UtcTime::from_seconds(1_795_230_000).expect("time");
    let loaded = config::load(&dir.join("hourdrop.toml"), now).expect("readable");
    assert_eq!(loaded.config.is_none(), !errors(&loaded.problems).is_empty());
    errors(&loaded.problems)
}

/// A directory with the formats of the project and all whole files of the README.
fn site() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("directory");
    fs::create_dir(dir.path().join("formats")).expect("formats");
    for entry in fs::read_dir(project("formats")).expect("formats").flatten() {
        fs::copy(entry.path(), dir.path().join("formats").join(entry.file_name())).expect("copy");
    }
    for (file, body) in whole_files(&readme()) {
        fs::write(dir.path().join(file), body).expect("write");
    }
    dir
}

#[test]
fn the_first_commands_are_the_demo_and_the_tests() {
    let text = readme();
    for (heading, command) in [("Quick start", "cargo run --release -- demo\n"), ("Tests", "tests/run\n")] {
        let first = blocks(section(&text, heading)).into_iter().next().expect("a code block");
        assert_eq!((first.info.as_str(), first.body.as_str()), ("sh", command), "{heading}");
    }
}

#[test]
fn every_whole_format_in_the_readme_is_without_problem() {
    let formats: Vec<_> = whole_files(&readme()).into_iter().filter(|(file, _)| file.starts_with("formats/")).collect();
    assert!(formats.len() >= 6, "{} formats", formats.len());
    for (file, text) in formats {
        let problems = Problems::default();
        let read = read_format(Document { name: file.clone(), text }, "example", &problems);
        let found: Vec<String> = problems.take().into_iter().map(|problem| problem.message).collect();
        assert!(read.is_some() && found.is_empty(), "{file}: {found:?}");
    }
}

#[test]
fn the_configuration_in_the_readme_is_good_and_so_is_the_partner_that_is_added() {
    let dir = site();
    assert_eq!(load(dir.path()), [""; 0]);
    let text = readme();
    let added = blocks(section(&text, "Export your own CSV to your own FTP server"));
    let added = added.iter().find(|block| block.info == "toml" && block.body.starts_with("[partner."));
    let path = dir.path().join("hourdrop.toml");
    let both = format!("{}\n{}", fs::read_to_string(&path).expect("read"), added.expect("a new partner").body);
    fs::write(&path, both).expect("write");
    assert_eq!(load(dir.path()), [""; 0]);
}

#[test]
fn the_formats_of_the_examples_fit_together() {
    let dir = site();
    let config = "state = \"state\"\narchive = \"archive\"\n[source.cloud]\nstdin = true\nformat = \"cloud\"\n";
    let mut config = config.to_owned();
    for format in ["out-fixed", "out-json"] {
        config.push_str(&format!(
            "[partner.{format}]\ndeliver = \"drop\"\n[partner.{format}.feed.calls]\nsource = \"cloud\"\n\
             format = \"{format}\"\nhour_by = \"start_time\"\nname = \"{{seq}}\"\n"
        ));
        config.push_str("manifest = { format = \"summary\", name = \"m{seq}\" }\n");
    }
    fs::write(dir.path().join("hourdrop.toml"), &config).expect("write");
    assert_eq!(load(dir.path()), [""; 0]);
    let filters = blocks(section(&readme(), "Filters")).remove(0).body;
    assert!(filters.lines().count() >= 4);
    for filter in filters.lines() {
        let whole = config.replace("source = \"cloud\"\n", &format!("source = \"cloud\"\nwhere = '{filter}'\n"));
        fs::write(dir.path().join("hourdrop.toml"), whole).expect("write");
        assert_eq!(load(dir.path()), [""; 0], "{filter}");
    }
}

/// The keys in the first columns of the tables of a section; of `archive.dir` both halves.
fn documented(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('|'));
    let names =
        rows.flat_map(|(cell, _)| cell.trim_matches([' ', '`']).split('.').map(str::to_owned).collect::<Vec<_>>());
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')).collect()
}

/// Functions that ask a table for a key.
const ASKING: [&str; 17] = [
    "text(",
    "texts(",
    "value(",
    "bool(",
    "count(",
    "size(",
    "length(",
    "integer(",
    "number(",
    "choice(",
    "table(",
    "tables(",
    "read(",
    "named_tables(",
    "read_time(",
    "read_share(",
    "read_misfit(",
];
/// Stored definitions have these keys; nobody writes them.
const STORED: [&str; 2] = ["formats", "settings"];

/// The keys that the code asks for, its tests left out.
fn asked(files: &[&str]) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(project(file)).expect(file);
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for line in code {
            keys.extend(ASKING.iter().flat_map(|name| keys_behind(line, name)));
            keys.extend(keys_behind(line, "read_prefix("));
            // A list of keys with their places: ("connect", &mut deadlines.connect)
            keys.extend(keys_behind(line, "(").filter(|key| line.contains(&format!("(\"{key}\", &mut "))));
        }
    }
    keys.retain(|key| !STORED.contains(&key.as_str()));
    keys
}

/// The first text in quotes behind each call, when only plain arguments stand before it.
fn keys_behind(line: &str, call: &str) -> impl Iterator<Item = String> {
    let found: Vec<String> = line
        .match_indices(call)
        .filter_map(|(at, _)| {
            let (before, rest) = line[at + call.len()..].split_once('"')?;
            let plain = before.bytes().all(|byte| byte.is_ascii_lowercase() || b"_&, ".contains(&byte));
            let key = rest.split('"').next()?;
            let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            (plain && is_key).then(|| key.to_owned())
        })
        .collect();
    found.into_iter()
}

fn compare(section_text: &str, files: &[&str]) {
    let (documented, asked) = (documented(section_text), asked(files));
    let missing: Vec<_> = asked.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&asked).collect();
    assert!(missing.is_empty() && invented.is_empty(), "not documented: {missing:?}; not in the code: {invented:?}");
    assert!(asked.len() > 30, "{asked:?}");
}

#[test]
fn every_configuration_key_is_documented_and_every_documented_key_exists() {
    compare(
        section(&readme(), "Configuration reference"),
        &[
            "src/app/config.rs",
            "src/app/config/source.rs",
            "src/app/config/partner.rs",
            "src/app/config/drop_rule.rs",
            "src/app/config/schedule.rs",
            "src/app/config/endpoints.rs",
            "src/app/config/pickup.rs",
            "src/app/config/answers.rs",
            "src/app/config/pickup_server.rs",
            "src/app/config/secret.rs",
            "src/app/config/server.rs",
            "src/feed/definition.rs",
        ],
    );
}

#[test]
fn every_format_key_is_documented_and_every_documented_key_exists() {
    compare(
        section(&readme(), "Format reference"),
        &["src/format/dialect.rs", "src/format/spec.rs", "src/format/spec/cell.rs", "src/format/decode/spec.rs"],
    );
}

#[test]
fn every_command_and_exit_code_is_documented() {
    let text = readme();
    let commands = section(&text, "Commands and exit codes");
    let arguments = fs::read_to_string(project("src/cli/arguments.rs")).expect("arguments");
    let begin = arguments.find("pub enum Command {").expect("commands");
    let list = &arguments[begin..][..arguments[begin..].find("\n}\n").expect("end")];
    let names = list.lines().filter_map(|line| line.strip_prefix("    ")?.split(['(', ' ']).next());
    let names: Vec<&str> = names.filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase())).collect();
    assert!(names.len() >= 13, "{names:?}");
    for name in names {
        let typed: String =
            name.chars().flat_map(|c| [c.is_ascii_uppercase().then_some('-'), Some(c)]).flatten().collect();
        let typed = typed.trim_start_matches('-').to_lowercase();
        assert!(commands.contains(&format!("`hourdrop {typed}")), "{typed}");
    }
    for code in [0u8, 1, 2, 4, 5, 75, 78] {
        assert!(commands.contains(&format!("\n| {code} | ")), "{code}");
    }
}

#[test]
fn the_columns_of_the_views_are_documented() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("ledger.db");
    hourdrop::ledger::Ledger::create(&path, "0123456789abcdef0123456789abcdef").expect("ledger");
    let database = rusqlite::Connection::open(&path).expect("database");
    let text = readme();
    let ledger = section(&text, "The ledger");
    for view in ["v_hours", "v_files", "v_inputs", "v_quarantine"] {
        let row = ledger.lines().find(|line| line.starts_with(&format!("| `{view}`"))).expect(view);
        let statement = database.prepare(&format!("SELECT * FROM {view}")).expect("view");
        for column in statement.column_names() {
            assert!(row.contains(&format!("`{column}`")), "{view}.{column}");
        }
    }
}
