//! The environment variables of a host, for `exosuit up --help`.
//!
//! The table of variables in `exosuit_core` is the only list. This help, the settings of a host
//! and the table of `guides/release.md` come from it.

use exosuit_core::{Role, VARIABLES, Variable};

/// The width of the help, in characters.
const WIDTH: usize = 100;

/// The indent of a text; each word adds a space before itself.
const INDENT: &str = "     ";

/// The variables that `up` reads. Its arguments take precedence.
pub(crate) fn help() -> String {
    let read = VARIABLES.iter().filter(|row| row.role == Role::Host);
    let rows: String = read.map(row).collect();
    format!("\n\nEnvironment (arguments take precedence):\n{rows}")
}

/// A variable with its text, broken into lines.
fn row(row: &Variable) -> String {
    let name = format!("  {}", row.name.replace('*', "<NAME>"));
    let mut lines = vec![name, INDENT.to_owned()];
    for word in plain(row.doc).split(' ') {
        let length = lines.last().map_or(0, |line| line.chars().count());
        if length + 1 + word.chars().count() > WIDTH {
            lines.push(INDENT.to_owned());
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

/// Removes the marks of Markdown: a link becomes its text, without the target.
fn plain(doc: &str) -> String {
    let mut text = String::new();
    let mut rest = doc;
    while let Some((before, link)) = rest.split_once('[') {
        let (label, behind) = link.split_once(']').unwrap_or((link, ""));
        let behind = behind.strip_prefix('(').and_then(|it| it.split_once(')'));
        text += before;
        text += label;
        rest = behind.map_or("", |(_target, behind)| behind);
    }
    (text + rest).replace(['`', '*'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_of_markdown_are_taken_out() {
        assert_eq!(plain("a [b c](d.md) `e` **f**"), "a b c e f");
    }

    #[test]
    fn every_variable_of_a_host_is_listed_and_no_line_is_too_wide() {
        let help = help();
        for row in VARIABLES.iter().filter(|row| row.role == Role::Host) {
            assert!(
                help.contains(row.name.trim_end_matches('*')),
                "{}",
                row.name
            );
        }
        assert!(
            help.lines().all(|line| line.chars().count() <= WIDTH),
            "{help}"
        );
    }
}
