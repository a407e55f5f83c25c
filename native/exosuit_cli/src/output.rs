//! Output. Errors never contain seeds, and a closed stdout causes no panic.

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
pub(crate) fn printable(text: &str) -> String {
    let escape = |c: char| match c {
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}
