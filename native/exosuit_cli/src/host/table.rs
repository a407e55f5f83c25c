//! Columns for people.

use serde_json::Value;

use crate::output::printable;

/// Rows under their headings, each column as wide as it must be.
pub(crate) fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut lines = vec![headings.map(str::to_owned)];
    lines.extend(rows.into_iter().map(|row| row.map(|cell| printable(&cell))));
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: &[String; N]| {
        let padded = cells.iter().zip(widths);
        let padded = padded.map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
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
