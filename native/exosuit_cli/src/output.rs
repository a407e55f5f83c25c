//! What is printed: without seeds on stderr, and without a panic when nobody reads stdout.

use std::io::{self, Write};

use crate::failure::Failure;

/// Prints a line on stdout.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    written.map_err(|error| Failure::io("cannot write to stdout", &error))
}

/// The text without what would move a terminal's cursor, or more: others have chosen it.
pub(crate) fn printable(text: &str) -> String {
    let escape = |c: char| match c {
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Whether a text looks like a seed, be it mistyped: `S` and some fifty more letters and digits.
pub(crate) fn looks_like_seed(text: &str) -> bool {
    const SHORTEST: usize = 40;
    let alphanumeric = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.len() >= SHORTEST && text.starts_with(['S', 's']) && alphanumeric
}

/// The text without any seed. An argument in the wrong place ends up in an error.
pub(crate) fn redact(text: &str) -> String {
    let word = |c: char| !c.is_ascii_alphanumeric();
    let seeds = text.split(word).filter(|part| looks_like_seed(part));
    seeds.fold(text.to_owned(), |text, seed| text.replace(seed, "(a seed)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_taken_out_wherever_they_stand() {
        let seed = "SAAFH4VTXAXLVWFUQYTOAQKZV2AAOPBP35MKBT6AVEJ7FKWXGSKDZQCYRM";
        assert_eq!(
            redact(&format!("--issuer={seed}: no")),
            "--issuer=(a seed): no"
        );
        assert_eq!(redact("Some short text, S3cret"), "Some short text, S3cret");
        let public = "ACOJJN6WUP4ODD75XEBKKTCCUJJCY5ZKQ56XVKYK4BEJWGVAOOQHZMCW";
        assert_eq!(redact(public), public);
    }
}
