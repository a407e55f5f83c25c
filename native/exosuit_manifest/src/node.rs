//! The tree of a YAML document: scalars, lists and maps, each with its position.
//!
//! Nodes are shared by aliases (`Rc`), and never change. Size and height are computed when a node
//! is made, from those of its children, so both are known in constant time.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::diagnostic::Place;

/// The characters of a text that a message quotes.
const MAX_QUOTED: usize = 60;
/// The bytes of text that count as one value.
const HEAVY: usize = 64;

/// A position in the text, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Spot {
    /// The position as the place of a diagnostic.
    pub(crate) fn place(self, path: String) -> Place {
        Place {
            line: self.line,
            column: self.column,
            path,
        }
    }
}

/// A node of the tree, with everything that its aliases stand for.
#[derive(Debug)]
pub(crate) struct Node {
    /// The position of the key.
    pub(crate) spot: Spot,
    pub(crate) content: Content,
    /// The work of reading it, and its depth, including everything that its aliases stand for.
    pub(crate) size: usize,
    pub(crate) height: usize,
}

/// The content of a node.
#[derive(Debug)]
pub(crate) enum Content {
    Scalar(Scalar),
    List(Vec<Rc<Node>>),
    Map(Entries),
}

/// The entries of a map by key. YAML gives their order no meaning.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// One entry of a map: the position of its key, and its value.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The position of the key.
    pub(crate) spot: Spot,
    pub(crate) node: Rc<Node>,
}

/// A text with its type.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    /// The text without quotes.
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

/// The type of a scalar by the core schema of YAML 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    Text,
}

impl Kind {
    /// The type of plain text. Quoted text is always [`Kind::Text`].
    pub(crate) fn of(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Self::Bool,
            _ if integer(text).is_some() || is_decimal(text) => Self::Number,
            _ => Self::Text,
        }
    }
}

/// The integer of a text: decimal, `0o17` or `0xff`.
pub(crate) fn integer(text: &str) -> Option<i128> {
    if let Some(digits) = text.strip_prefix("0x") {
        return unsigned(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return unsigned(digits, 8);
    }
    text.parse().ok()
}

/// The number of digits in this radix.
fn unsigned(digits: &str, radix: u32) -> Option<i128> {
    // from_str_radix takes a sign, which YAML does not allow behind the prefix.
    let signed = digits.starts_with(['+', '-']);
    (!signed)
        .then(|| i128::from_str_radix(digits, radix).ok())
        .flatten()
}

/// Whether a text is a decimal number, with fraction or exponent.
fn is_decimal(text: &str) -> bool {
    let number = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    text.chars().all(number) && text.parse::<f64>().is_ok()
}

impl Node {
    /// A node, with size and height of its content.
    pub(crate) fn new(content: Content, spot: Spot) -> Self {
        let (size, height) = match &content {
            Content::Scalar(scalar) => (weight(&scalar.text), 0),
            Content::List(list) => extent(list.iter().map(|node| (0, node))),
            Content::Map(entries) => extent(
                entries
                    .iter()
                    .map(|(key, entry)| (weight(key), &entry.node)),
            ),
        };
        Self {
            spot,
            content,
            size,
            height,
        }
    }

    /// Its size without its children.
    pub(crate) fn own_size(&self) -> usize {
        match &self.content {
            Content::Scalar(_) => self.size,
            Content::List(_) | Content::Map(_) => 1,
        }
    }

    /// Whether it has no value. Such a field counts as absent.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.kind == Kind::Null)
    }

    /// The node as a message quotes it: "a list", "a map", "nothing", or the text.
    pub(crate) fn describe(&self) -> String {
        match &self.content {
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a map".to_owned(),
            Content::Scalar(scalar) => match scalar.kind {
                Kind::Null => "nothing".to_owned(),
                Kind::Text => quote(&scalar.text),
                Kind::Bool | Kind::Number => cut(&scalar.text),
            },
        }
    }
}

/// The size of a text. Long texts count more, because an alias makes the parser copy them.
fn weight(text: &str) -> usize {
    1 + text.len() / HEAVY
}

/// The size and the height of a list or a map.
fn extent<'a>(children: impl Iterator<Item = (usize, &'a Rc<Node>)>) -> (usize, usize) {
    children.fold((1, 1), |(size, height), (key, child)| {
        let size = size.saturating_add(key).saturating_add(child.size);
        (size, height.max(child.height + 1))
    })
}

/// The text in quotes, cut if it is long.
pub(crate) fn quote(text: &str) -> String {
    format!("{:?}", cut(text))
}

/// The first characters of a text.
fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_read_by_the_core_schema_of_yaml_1_2() {
        for (text, kind) in [
            ("", Kind::Null),
            ("~", Kind::Null),
            ("true", Kind::Bool),
            ("yes", Kind::Text),
            ("on", Kind::Text),
            ("10", Kind::Number),
            ("-7", Kind::Number),
            ("0x1f", Kind::Number),
            ("0x-1", Kind::Text),
            ("0o17", Kind::Number),
            ("017", Kind::Number),
            ("1.5e3", Kind::Number),
            ("1_000", Kind::Text),
            ("v0.1.0", Kind::Text),
            ("0.1.0", Kind::Text),
            ("127.0.0.1:8080", Kind::Text),
            ("infinity", Kind::Text),
        ] {
            assert_eq!(Kind::of(text), kind, "{text:?}");
        }
    }

    #[test]
    fn octal_needs_its_prefix() {
        assert_eq!(integer("017"), Some(17));
        assert_eq!(integer("0o17"), Some(15));
        assert_eq!(integer("0xff"), Some(255));
    }
}
