//! Any text gets an answer: never a panic, and a bounded number of mistakes.

mod common;

use common::{FIXTURES, fixture, parse};
use exosuit_manifest::Diagnostic;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Texts that break scanners: pieces of YAML's grammar, and bytes with special rules.
const PIECES: &[&str] = &[
    "\n",
    "\n  ",
    "\n    ",
    " ",
    "\t",
    "\r",
    "\r\n",
    "- ",
    "? ",
    ": ",
    ":",
    ",",
    "[",
    "]",
    "{",
    "}",
    "#",
    " #",
    "&a ",
    "*a",
    "!",
    "!!str ",
    "!<x> ",
    "!e!x ",
    "|",
    "|+2\n",
    ">-\n",
    ">9",
    "'",
    "\"",
    "\\",
    "\"\\x41\"",
    "\"\\uD800\"",
    "%YAML 1.2\n",
    "%TAG ! x\n",
    "---\n",
    "---",
    "...\n",
    "@",
    "`",
    "~",
    "<<: ",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\u{0}",
    "\u{10ffff}",
    "é",
    "null",
    "0x",
    ".inf",
    "name: ",
    "spec: ",
    "components: ",
    "a",
];

#[derive(Debug, Clone)]
enum Edit {
    Insert(Index, &'static str),
    Cut(Index, usize),
    Repeat(Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), select(PIECES)).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Edit::Cut(at, length)),
        (any::<Index>(), 1..400_usize).prop_map(|(at, length)| Edit::Repeat(at, length)),
    ]
}

fn apply(text: &str, edit: &Edit) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let (Edit::Insert(at, _) | Edit::Cut(at, _) | Edit::Repeat(at, _)) = edit;
    let at = at.index(chars.len() + 1);
    let end = |length: usize| (at + length).min(chars.len());
    match edit {
        Edit::Insert(_, piece) => drop(chars.splice(at..at, piece.chars())),
        Edit::Cut(_, length) => drop(chars.drain(at..end(*length))),
        Edit::Repeat(_, length) => {
            let piece = chars[at..end(*length)].to_vec();
            chars.splice(at..at, piece);
        }
    }
    chars.into_iter().collect()
}

/// The promise of `parse`: a manifest and warnings only, or a bounded list with an error in it.
/// That the scanner panicked would be hidden by `parse`, but here someone wants to know.
fn check(text: &str) {
    match parse(text) {
        Ok(parsed) => assert!(parsed.warnings.iter().all(|warning| !warning.is_error())),
        Err(diagnostics) => {
            let gave_up = |d: &Diagnostic| d.message.contains("gave up");
            assert!(diagnostics.iter().any(Diagnostic::is_error));
            assert!(diagnostics.len() <= 202);
            assert!(diagnostics.iter().all(|d| d.line > 0 && d.column > 0));
            assert!(!diagnostics.iter().any(gave_up), "the scanner panicked");
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn any_soup_of_yaml_is_answered(pieces in prop::collection::vec(select(PIECES), 0..60)) {
        check(&pieces.concat());
    }

    #[test]
    fn any_manifest_gone_bad_is_answered(
        name in select(FIXTURES),
        edits in prop::collection::vec(edit(), 1..8),
    ) {
        check(&edits.iter().fold(fixture(name), |text, edit| apply(&text, edit)));
    }
}
