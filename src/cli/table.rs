//! Tables: columns that line up, also with wide characters, and numbers with their thousands apart.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, TableStyle, Width};

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub title: &'static str,
    right: bool,
}

/// A column of texts.
pub const fn left(title: &'static str) -> Column {
    Column { title, right: false }
}

/// A column of numbers.
pub const fn right(title: &'static str) -> Column {
    Column { title, right: true }
}

/// A table with titles, two blanks between columns, no line longer than it has to be. Ends with a line end.
pub fn table(columns: &[Column], rows: Vec<Vec<String>>) -> String {
    let mut table = blank();
    table.set_header(columns.iter().map(|column| column.title));
    table.add_rows(rows);
    finish(&mut table, columns.iter().map(|column| column.right))
}

/// Topics and what is to be said about them, wrapped to `width`, indented by two blanks.
pub fn statements(rows: Vec<[String; 2]>, width: usize) -> String {
    let mut table = blank();
    let topic_width = rows.iter().map(|[topic, _]| topic.chars().count()).max().unwrap_or(0);
    table.add_rows(rows);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    if let Some(topic) = table.column_mut(0) {
        let fixed = u16::try_from(topic_width + 4).unwrap_or(u16::MAX);
        topic.set_constraint(ColumnConstraint::Absolute(Width::Fixed(fixed)));
    }
    let mut text = String::new();
    finish_with(&mut table, [false, false].into_iter(), (2, 2), &mut text);
    text
}

fn blank() -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table
}

fn finish(table: &mut Table, right: impl Iterator<Item = bool>) -> String {
    let mut text = String::new();
    finish_with(table, right, (0, 2), &mut text);
    text
}

fn finish_with(table: &mut Table, right: impl Iterator<Item = bool>, padding: (u16, u16), out: &mut String) {
    for (index, right) in right.enumerate() {
        let Some(column) = table.column_mut(index) else { continue };
        column.set_padding(if index == 0 { padding } else { (0, 2) });
        column.set_cell_alignment(if right { CellAlignment::Right } else { CellAlignment::Left });
    }
    for line in table.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// `12,904`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `12,904 files`, `2 batches`.
pub fn counted(number: u64, one: &str) -> String {
    let plural = if one.ends_with("ch") { "es" } else { "s" };
    format!("{} {one}{}", grouped(number), if number == 1 { "" } else { plural })
}

/// `512 B`, `12.3 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (bytes * 10 / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_with_wide_characters() {
        let rows = vec![
            vec!["话单_01.dat".to_owned(), grouped(1_234_567), "ok".to_owned()],
            vec!["plain.dat".to_owned(), grouped(5), String::new()],
        ];
        let expected = "NAME         RECORDS  NOTE\n话单_01.dat  1,234,567  ok\nplain.dat            5\n";
        let expected = expected.replace("NAME         RECORDS", "NAME           RECORDS");
        assert_eq!(table(&[left("NAME"), right("RECORDS"), left("NOTE")], rows), expected);
    }

    #[test]
    fn statements_wrap_under_themselves() {
        let text = statements(vec![["names".to_owned(), "one two three four five six seven".to_owned()]], 30);
        assert_eq!(text, "  names  one two three four\n         five six seven\n");
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_904, "12,904"), (1_000_000, "1,000,000")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!((counted(1, "file"), counted(2, "file")), ("1 file".to_owned(), "2 files".to_owned()));
    }
}
