//! A first draft of a format file, guessed from a sample.
//!
//! What a sample cannot tell, such as the zone of its clock, is marked as unsure in the text. The draft is proven: it
//! compiles, and the sample is decoded with it.

mod charset;
mod columns;
mod delimited;
mod json;

use super::decode::spec::{ReadSpec, read_spec};
use super::decode::{Decoded, Decoder};
use super::dialect::Dialect;
use crate::document::{Document, Problems, read_document};
use columns::{Column, Guess};

/// Bytes of a sample that are looked at.
pub const SAMPLE_BYTES_MAX: usize = 64 << 10;

/// A guessed format file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuessedFormat {
    /// The text of the format file, with comments.
    pub text: String,
    /// What the sample does not tell for sure; each stands in the text as well.
    pub unsure: Vec<String>,
    /// Records of the sample that the format decodes.
    pub records: usize,
    /// Lines of the sample that it rejects: the sample holds things that are no records, or the guess is wrong.
    pub rejects: usize,
}

/// Guesses the format of a file from the first 64 KiB of `sample`; `name` stands in the text.
///
/// # Errors
/// A message when the sample is empty, compressed or no text.
pub fn guess_format(sample: &[u8], name: &str) -> Result<GuessedFormat, String> {
    let sample = sample.get(..SAMPLE_BYTES_MAX).unwrap_or(sample);
    if sample.is_empty() {
        return Err("the sample is empty".to_owned());
    }
    if sample.starts_with(&[0x1F, 0x8B]) {
        return Err("the sample is compressed with gzip; give its content".to_owned());
    }
    let charset = charset::guess(sample)?;
    let whole = charset.whole_lines(sample, sample.len() == SAMPLE_BYTES_MAX);
    let mut draft = Draft::new(name);
    if let Some(note) = &charset.note {
        draft.unsure.push(note.clone());
    }
    if json::looks_like(&charset.text(whole)) {
        json::draft(&mut draft, &charset, whole);
    } else {
        delimited::draft(&mut draft, &charset, whole)?;
    }
    draft.prove(whole)
}

/// A format file under construction.
struct Draft {
    text: String,
    unsure: Vec<String>,
}

impl Draft {
    fn new(name: &str) -> Self {
        let name: String = name.chars().filter(|character| !character.is_control()).collect();
        let text = format!("# Guessed from a sample of {name}. Check what is marked as unsure, and every name.\n");
        Self { text, unsure: Vec::new() }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A key with its value, and a mark when the value is a guess.
    fn key(&mut self, key: &str, value: &str, unsure: Option<&str>) {
        let mark = unsure.map(|why| format!("   # unsure: {why}")).unwrap_or_default();
        self.line(&format!("{key} = {value}{mark}"));
    }

    /// The table of fields. `place` tells the keys that say where a column stands.
    fn fields(&mut self, columns: &[Column], place: impl Fn(&Column) -> String) {
        if columns.iter().any(|column| column.guess.needs_zone()) {
            let why = "the sample shows local times without an offset";
            self.key("zone", "\"UTC\"", Some(why));
            self.unsure.push(format!("zone: {why}"));
        }
        self.line("fields = [");
        for column in columns {
            let mut keys = vec![format!("name = {}", quoted(&column.name))];
            keys.extend(Some(place(column)).filter(|place| !place.is_empty()));
            match &column.guess {
                Guess::Text => {}
                Guess::Number => keys.push("number = true".to_owned()),
                Guess::Time { layout, .. } => keys.push(format!("time = {}", quoted(layout))),
            }
            keys.extend(column.null.map(|null| format!("null = {}", quoted(null))));
            let note = column.note();
            if let Some(note) = &note {
                self.unsure.push(format!("{}: {note}", column.name));
            }
            let mark = note.map(|note| format!("   # unsure: {note}")).unwrap_or_default();
            self.line(&format!("  {{ {} }},{mark}", keys.join(", ")));
        }
        self.line("]");
    }

    /// Compiles the text and decodes the sample with it.
    fn prove(self, sample: &[u8]) -> Result<GuessedFormat, String> {
        let (dialect, read) = compile(&self.text)?;
        let mut decoder = Decoder::new(&dialect, &read);
        let mut out = Decoded::new(read.schema());
        decoder.push(sample, &mut out);
        decoder.finish(&mut out);
        if let Some(problem) = decoder.head_problem() {
            return Err(problem);
        }
        let (records, rejects) = (out.block.len(), out.rejects.len());
        Ok(GuessedFormat { text: self.text, unsure: self.unsure, records, rejects })
    }
}

fn compile(text: &str) -> Result<(Dialect, ReadSpec), String> {
    let problems = Problems::default();
    let document = Document { name: "the guessed format".to_owned(), text: text.to_owned() };
    let read = read_document(document, &problems, |table| {
        let dialect = Dialect::read(&table);
        let read = table.table("read").and_then(|inner| {
            let read = read_spec(&dialect, &inner);
            inner.finish();
            read
        });
        table.finish();
        read.map(|read| (dialect, read))
    });
    match problems.take().first() {
        Some(problem) => Err(format!("the guess does not compile: line {}: {}", problem.line(), problem.message)),
        None => read.flatten().ok_or_else(|| "the guess does not compile".to_owned()),
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests;
