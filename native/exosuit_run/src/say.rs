//! Messages on stderr.

use std::fmt::Arguments;
use std::io::{self, Write as _};

/// Writes a line. A stderr that nobody reads any more ends nothing.
pub(crate) fn say(text: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "exosuit: {text}");
}
