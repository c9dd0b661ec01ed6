//! `verify-file`: a file against its format, as the partner would check it.

use super::arguments::VerifyFileArguments;
use super::check::written;
use super::table::{counted, grouped};
use super::{Answer, Context, Failure, exit};
use crate::document::{Document, Problems};
use crate::format::spec::{FormatSpec, read_format};
use crate::format::verify::{VerifyFault, VerifyProblem, VerifyReport, verify};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};

/// So many problems of a file are shown.
const SHOWN: usize = 10;

/// The command. Exit code 4 when a file is not what the format says.
pub fn run(context: &Context, arguments: &VerifyFileArguments) -> Result<Answer, Failure> {
    let spec = load_format(context, &arguments.format)?;
    let mut answer = Answer { exit: exit::DONE, text: format!("{}\n", written(&spec)), ..Answer::default() };
    for path in &arguments.files {
        let report = verify_path(&spec, path)?;
        answer.text.push_str(&file_text(path, &report));
        answer.json.push(file_json(&spec, path, &report));
        if !report.is_good() {
            answer.exit = exit::INCOMPLETE;
        }
    }
    Ok(answer)
}

fn verify_path(spec: &FormatSpec, path: &Path) -> Result<VerifyReport, Failure> {
    let unreadable = |fault: std::io::Error| Failure::new(format!("cannot read {}", path.display())).because(fault);
    let file = File::open(path).map_err(unreadable)?;
    match verify(spec, std::io::BufReader::new(file)) {
        Ok(report) => Ok(report),
        Err(VerifyFault::Read(fault)) => Err(unreadable(fault)),
        Err(fault @ VerifyFault::NothingToCheck { .. }) => {
            Err(Failure::usage(fault.to_string())
                .hint("name the format that writes the file, not the one that reads it"))
        }
    }
}

/// A format by its path, or by its name in `formats/` beside the configuration.
fn load_format(context: &Context, name: &str) -> Result<FormatSpec, Failure> {
    let is_path = name.contains('/') || Path::new(name).extension().is_some_and(|extension| extension == "toml");
    let path = if is_path {
        PathBuf::from(name)
    } else {
        let config = context.config_path(false);
        config.parent().unwrap_or_else(|| Path::new("")).join("formats").join(format!("{name}.toml"))
    };
    let text = std::fs::read_to_string(&path).map_err(|fault| {
        Failure::configuration(format!("cannot read the format {}", path.display()))
            .because(fault)
            .hint("--format takes a name in formats/ beside the configuration, or a path")
    })?;
    let problems = Problems::default();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let spec = read_format(Document { name: path.display().to_string(), text }, &stem, &problems);
    let problems = problems.take();
    spec.ok_or_else(|| Failure {
        problems,
        ..Failure::configuration(format!("the format {} cannot be used", path.display()))
    })
}

fn file_text(path: &Path, report: &VerifyReport) -> String {
    let VerifyReport { bytes, lines, records, sums, problems, problem_count } = report;
    let sums: Vec<String> = sums.iter().map(|(name, sum)| format!(", {name} {sum}")).collect();
    let verdict = if report.is_good() { "good".to_owned() } else { counted(*problem_count, "problem").to_uppercase() };
    let counts = format!("{}, {}, {}", counted(*records, "record"), counted(*lines, "line"), counted(*bytes, "byte"));
    let counts = counts + &sums.concat();
    let mut text = format!("{}: {verdict}: {counts}\n", path.display());
    for problem in problems.iter().take(SHOWN) {
        text.push_str(&format!("  {problem}\n"));
    }
    let more = problem_count.saturating_sub(problems.len().min(SHOWN) as u64);
    if more > 0 {
        text.push_str(&format!("  and {} more\n", grouped(more)));
    }
    text
}

fn file_json(spec: &FormatSpec, path: &Path, report: &VerifyReport) -> Value {
    let sums: serde_json::Map<String, Value> =
        report.sums.iter().map(|(name, sum)| (name.clone(), json!(sum.to_string()))).collect();
    let problem = |problem: &VerifyProblem| {
        json!({
            "line": problem.line,
            "byte": problem.byte,
            "cell": problem.cell.as_ref().map(|cell| cell.name.clone()),
            "position": problem.cell.as_ref().map(|cell| cell.position.to_string()),
            "expected": problem.expected,
            "found": problem.found,
        })
    };
    json!({
        "file": path.display().to_string(),
        "format": spec.name,
        "good": report.is_good(),
        "bytes": report.bytes,
        "lines": report.lines,
        "records": report.records,
        "sums": sums,
        "problem_count": report.problem_count,
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}
