//! Tables for people: sorted by the first column, and no wider than the terminal.
//!
//! Rows are sorted as text by their first column, so that two calls can be compared. A table that
//! is wider than the terminal loses characters in its widest columns, down to 8, and then becomes
//! wider than the terminal. Without a terminal, 100 columns are assumed; programs use `--json`.

use std::io::{IsTerminal, stdout};

use serde_json::Value;
use terminal_size::{Width, terminal_size};

use crate::output::printable;

/// The width of lines if the terminal's width is unknown.
const USUAL_WIDTH: usize = 100;

/// The gap between two columns.
const GAP: &str = "  ";

/// The minimum width of a column that is cut.
const NARROW: usize = 8;

/// Sorted rows under their headings. If a line is wider than the terminal, the widest columns are cut.
pub(crate) fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    within(width(), headings, rows)
}

/// The width of the terminal.
fn width() -> usize {
    let terminal = stdout().is_terminal().then(terminal_size).flatten();
    terminal.map_or(USUAL_WIDTH, |(Width(width), _)| usize::from(width))
}

/// A table of at most this width.
fn within<const N: usize>(
    width: usize,
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut rows: Vec<_> = (rows.into_iter())
        .map(|row| row.map(|cell| printable(&cell)))
        .collect();
    rows.sort();
    let mut lines = vec![headings.map(str::to_owned)];
    lines.extend(rows);
    let widths = widths(&lines, width);
    let line = |cells: &[String; N]| {
        let padded = cells.iter().zip(widths);
        let padded = padded.map(|(cell, width)| format!("{:<width$}", cut(cell, width)));
        padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The width of each column: that of its widest cell, reduced in the widest columns until lines fit.
fn widths<const N: usize>(lines: &[[String; N]], width: usize) -> [usize; N] {
    let mut widths: [usize; N] = std::array::from_fn(|column| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or(0)
    });
    let gaps = N.saturating_sub(1) * GAP.len();
    while widths.iter().sum::<usize>() + gaps > width {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROW => *widest -= 1,
            _ => break,
        }
    }
    widths
}

/// Cuts a path or an address at its beginning, and other cells at their end.
fn cut(cell: &str, width: usize) -> String {
    let length = cell.chars().count();
    if length <= width {
        return cell.to_owned();
    }
    let cut = length - width.saturating_sub(1);
    if cell.contains('/') {
        return format!("…{}", cell.chars().skip(cut).collect::<String>());
    }
    let kept = width.saturating_sub(1);
    format!("{}…", cell.chars().take(kept).collect::<String>())
}

/// Breaks a text between words into lines no wider than the terminal.
pub(crate) fn wrapped(text: &str) -> String {
    let width = width();
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().filter(|line| {
            line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width
        });
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// A value as a cell: a list with commas, nothing as a dash.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.is_empty() => "-".to_owned(),
        Value::Object(fields) => {
            let pairs = fields
                .iter()
                .map(|(key, value)| format!("{key}={}", cell(value)));
            pairs.collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

/// The items of a list, if it is one.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_what_steers_a_terminal_is_escaped() {
        let row = |id: &str, n: &str| [id.to_owned(), n.to_owned()];
        let table = table(["ID", "N"], [row("a\u{1b}[2J", "1"), row("b", "22")]);
        assert_eq!(table, "ID          N\na\\u{1b}[2J  1\nb           22");
    }

    #[test]
    fn rows_are_sorted_and_no_line_is_wider_than_the_terminal() {
        let row = |id: &str, image: &str| [id.to_owned(), "running".to_owned(), image.to_owned()];
        let long = format!("file:///{}/echo.wasm", "directory/".repeat(40));
        let rows = [row("b", &long), row("a", "x"), row(&"i".repeat(60), "y")];
        let table = within(80, ["ACTOR", "STATUS", "IMAGE"], rows);
        let lines: Vec<_> = table.lines().collect();
        assert!(
            lines.iter().all(|line| line.chars().count() <= 80),
            "{table}"
        );
        assert!(lines[1].starts_with("a "), "{table}");
        assert!(
            lines[2].starts_with("b ") && lines[2].ends_with("/echo.wasm"),
            "{table}"
        );
        assert!(
            lines[3].starts_with("iii") && lines[3].contains('…'),
            "{table}"
        );
    }

    #[test]
    fn what_cannot_be_made_narrower_is_shown_all_the_same() {
        let table = within(
            10,
            ["ACTOR", "IMAGE"],
            [["abcdefgh".to_owned(), "12345678".to_owned()]],
        );
        assert_eq!(table, "ACTOR     IMAGE\nabcdefgh  12345678");
    }

    #[test]
    fn values_are_short_texts() {
        let cells = [
            json!(null),
            json!([]),
            json!(["a", 1]),
            json!({"k": "v"}),
            json!(true),
        ];
        assert_eq!(
            cells.map(|value| cell(&value)),
            ["-", "-", "a, 1", "k=v", "true"]
        );
    }
}
