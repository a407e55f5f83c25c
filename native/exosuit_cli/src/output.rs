//! Output. Errors never contain seeds, and a closed stdout causes no panic.
//!
//! Every line is flushed, so that a program that reads from a pipe gets each event as it comes. A
//! reader that goes away ends the command with an error of the kind `io`.

use std::io::{self, Write};

use crate::failure::Failure;

/// Prints a line on stdout.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    written.map_err(|error| Failure::io("cannot write to stdout", &error))
}

/// The text without control characters. Texts from outside could move the cursor of a terminal, or
/// worse.
///
/// Line breaks are escaped as well, so one text stays on one line.
pub(crate) fn printable(text: &str) -> String {
    let escape = |c: char| match c {
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}
