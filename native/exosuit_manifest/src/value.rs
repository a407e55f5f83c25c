//! Walks through the tree. Each step knows its path, and reports what is wrong.
//!
//! A function that returns `None` or an empty collection has reported the reason, unless the field
//! is absent.
//!
//! | function | accepts | for |
//! |---|---|---|
//! | `text` | text | names, references |
//! | `written` | text, numbers, booleans | settings of providers |
//! | `parsed` | text that a parser accepts | ids, contracts |
//! | `measured` | text or numbers that a parser accepts | sizes, durations |
//! | `number` | numbers within a bound | counts |
//! | `flag` | booleans | switches |
//! | `choice` | one of a few words | kinds |
//! | `list`, `map`, `texts` | lists and maps | structure |
//!
//! Each takes the words for what is expected, so that all messages have one form: `app.yaml:9:11:
//! spec.…: expected X, found Y`.

use std::collections::BTreeMap;

use exosuit_core::{Bound, hint};

use crate::diagnostic::{Code, Place};
use crate::node::{Content, Entries, Kind, Node, Scalar, integer};
use crate::report::Report;

/// The characters of a key in a path.
const MAX_KEY: usize = 64;
/// The number of names that a misspelt one is compared with.
const MAX_CANDIDATES: usize = 200;

/// A node, its path, and the report.
///
/// It is cheap to clone, apart from its path. Paths are built on the way down, as nearly every
/// field is visited once.
#[derive(Clone)]
pub(crate) struct Value<'a> {
    node: &'a Node,
    path: String,
    report: &'a Report<'a>,
}

impl<'a> Value<'a> {
    /// The whole document.
    pub(crate) fn root(node: &'a Node, report: &'a Report<'a>) -> Self {
        let path = String::new();
        Self { node, path, report }
    }

    /// The position and the path, for later messages.
    pub(crate) fn place(&self) -> Place {
        self.node.spot.place(self.path.clone())
    }

    /// Reports a mistake here: what is expected, and the text here.
    pub(crate) fn error(&self, code: Code, message: impl Into<String>) {
        let found = Some(self.node.describe());
        self.report.error(self.place(), code, message, found);
    }

    /// Reports a mistake here without quoting the text, which may be long or secret.
    pub(crate) fn refuse(&self, code: Code, message: impl Into<String>) {
        self.report.error(self.place(), code, message, None);
    }

    /// Reports another type than the expected one.
    fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        self.error(Code::WrongType, format!("expected {expected}"));
        None
    }

    /// `; did you mean "image"?`, or an empty text.
    ///
    /// Comparing names costs time, so nothing is suggested once the report is full.
    pub(crate) fn hint<'n>(&self, name: &str, names: impl Iterator<Item = &'n str>) -> String {
        if self.report.is_full() {
            return String::new();
        }
        hint(name, names.take(MAX_CANDIDATES))
    }

    /// Whether it is a list.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.node.content, Content::List(_))
    }

    /// Whether it is a map.
    pub(crate) fn is_map(&self) -> bool {
        matches!(self.node.content, Content::Map(_))
    }

    /// The scalar, if it is one with a value.
    fn scalar(&self) -> Option<&'a Scalar> {
        match &self.node.content {
            Content::Scalar(scalar) if scalar.kind != Kind::Null => Some(scalar),
            _ => None,
        }
    }

    /// A text. A number or a boolean is a mistake: an author who forgot the quotes would get
    /// another text, such as `1.1` for `1.10`.
    pub(crate) fn text(&self, expected: &str) -> Option<&'a str> {
        match self.scalar() {
            Some(scalar) if scalar.kind == Kind::Text => Some(&scalar.text),
            Some(_) => self.wrong_type(&format!("{expected}, in quotes")),
            None => self.wrong_type(expected),
        }
    }

    /// Any scalar as it is written: `8080` and `"8080"` mean the same for a provider.
    pub(crate) fn written(&self, expected: &str) -> Option<&'a str> {
        match self.scalar() {
            Some(scalar) => Some(&scalar.text),
            None => self.wrong_type(expected),
        }
    }

    /// A text that `parse` accepts.
    pub(crate) fn parsed<T>(
        &self,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = parse(self.text(expected)?);
        if parsed.is_none() {
            self.error(Code::InvalidValue, format!("expected {expected}"));
        }
        parsed
    }

    /// A text or a number that `parse` accepts.
    pub(crate) fn measured<T>(
        &self,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = parse(self.written(expected)?);
        if parsed.is_none() {
            self.error(Code::InvalidValue, format!("expected {expected}"));
        }
        parsed
    }

    /// A number within a bound of at most 32 bits.
    pub(crate) fn number(&self, bound: Bound) -> Option<u32> {
        let expected = bound.to_string();
        let Some(Scalar { text, kind }) = self.scalar() else {
            return self.wrong_type(&expected);
        };
        if *kind != Kind::Number {
            return self.wrong_type(&expected);
        }
        let number = integer(text).and_then(|number| bound.check(number).ok());
        let number = number.and_then(|number| u32::try_from(number).ok());
        if number.is_none() {
            self.error(Code::InvalidValue, format!("expected {expected}"));
        }
        number
    }

    /// A boolean.
    pub(crate) fn flag(&self) -> Option<bool> {
        match self.scalar() {
            Some(Scalar { text, kind }) if *kind == Kind::Bool => {
                Some(text.eq_ignore_ascii_case("true"))
            }
            _ => self.wrong_type("true or false"),
        }
    }

    /// The meaning of one of a few words. A misspelt one gets a suggestion.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let expected = alternatives(&words);
        let text = self.text(&expected)?;
        let choice = choices.iter().find(|(word, _)| *word == text);
        if choice.is_none() {
            let hint = match words.as_slice() {
                [_] => String::new(),
                words => hint(text, words.iter().copied()),
            };
            self.error(Code::InvalidValue, format!("expected {expected}{hint}"));
        }
        choice.map(|(_, meaning)| *meaning)
    }

    /// The items of a list, each with its own path. Empty after a mistake.
    pub(crate) fn list(&self, expected: &str) -> Vec<Self> {
        let Content::List(list) = &self.node.content else {
            return self.wrong_type(expected).unwrap_or_default();
        };
        let item = |(index, node): (usize, &'a std::rc::Rc<Node>)| Self {
            node,
            path: format!("{}[{index}]", self.path),
            report: self.report,
        };
        list.iter().enumerate().map(item).collect()
    }

    /// A map with these fields. Other fields cause warnings.
    pub(crate) fn map(&self, expected: &str, known: &[&str]) -> Option<Map<'a>> {
        let entries = self.entries(expected)?;
        for (key, entry) in entries {
            if !known.contains(&key.as_str()) {
                let place = entry.spot.place(join(&self.path, key));
                let message = unknown_field(key, known);
                (self.report).warning(place, Code::UnknownField, message);
            }
        }
        Some(Map {
            value: self.clone(),
            entries,
        })
    }

    /// A map of any keys to texts, numbers and booleans, as they are written.
    pub(crate) fn texts(&self, expected: &str) -> BTreeMap<String, String> {
        let entries = self.entries(expected).into_iter().flatten();
        entries
            .filter_map(|(key, entry)| {
                let value = self.child(key, &entry.node);
                let text = value.written("text, a number or a boolean")?;
                Some((key.clone(), text.to_owned()))
            })
            .collect()
    }

    /// The entries of a map.
    fn entries(&self, expected: &str) -> Option<&'a Entries> {
        match &self.node.content {
            Content::Map(entries) => Some(entries),
            _ => self.wrong_type(expected),
        }
    }

    /// A field of this map, with its path.
    fn child(&self, key: &str, node: &'a Node) -> Self {
        Self {
            node,
            path: join(&self.path, key),
            report: self.report,
        }
    }

    /// The fields of a map with any keys.
    pub(crate) fn fields(&self) -> Vec<(&'a str, Self)> {
        match &self.node.content {
            Content::Map(entries) => (entries.iter())
                .map(|(key, entry)| (key.as_str(), self.child(key, &entry.node)))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// A field of a map with any keys.
    pub(crate) fn find(&self, key: &str) -> Option<Self> {
        match &self.node.content {
            Content::Map(entries) => Some(self.child(key, &entries.get(key)?.node)),
            _ => None,
        }
    }

    /// Reports a warning here.
    pub(crate) fn warn(&self, code: Code, message: impl Into<String>) {
        self.report.warning(self.place(), code, message);
    }
}

/// A map with known fields. A field without a value counts as absent.
pub(crate) struct Map<'a> {
    value: Value<'a>,
    entries: &'a Entries,
}

impl<'a> Map<'a> {
    /// A field with a value.
    pub(crate) fn get(&self, key: &str) -> Option<Value<'a>> {
        let entry = self.entries.get(key)?;
        (!entry.node.is_null()).then(|| self.value.child(key, &entry.node))
    }

    /// A field with two names. Both at once are a mistake.
    pub(crate) fn either(&self, name: &str, alias: &str) -> Option<Value<'a>> {
        match (self.get(name), self.get(alias)) {
            (Some(value), Some(other)) => {
                let message = format!("expected {name} or {alias}, not both");
                other.refuse(Code::Duplicate, message);
                Some(value)
            }
            (value, other) => value.or(other),
        }
    }

    /// A field that must be present.
    pub(crate) fn require(&self, key: &str, expected: &str) -> Option<Value<'a>> {
        let field = self.get(key);
        if field.is_none() {
            let spot = self.entries.get(key).map(|entry| entry.node.spot);
            let spot = spot.unwrap_or(self.value.node.spot);
            let place = spot.place(join(&self.value.path, key));
            let message = format!("expected {expected}");
            let found = Some("nothing".to_owned());
            (self.value.report).error(place, Code::Missing, message, found);
        }
        field
    }

    /// The places of its fields.
    pub(crate) fn places(&self) -> BTreeMap<String, Place> {
        let keys = self.entries.keys();
        keys.filter_map(|key| Some((key.clone(), self.get(key)?.place())))
            .collect()
    }

    /// The map as a value.
    pub(crate) fn value(&self) -> &Value<'a> {
        &self.value
    }
}

/// The path of a field: `spec.components`, `labels["a b"]`.
pub(crate) fn join(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match (key.chars().all(plain) && key.len() <= MAX_KEY, path) {
        (true, "") => key.to_owned(),
        (true, path) => format!("{path}.{key}"),
        (false, path) => {
            let key: String = key.chars().take(MAX_KEY).collect();
            format!("{path}[{key:?}]")
        }
    }
}

/// Words for a message: `a, b or c`.
fn alternatives(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => words.concat(),
    }
}

/// The message about an unknown field, with a suggestion or with all known fields.
fn unknown_field(key: &str, known: &[&str]) -> String {
    match hint(key, known.iter().copied()) {
        hint if hint.is_empty() => {
            format!("unknown field, not read; known are {}", known.join(", "))
        }
        hint => format!("unknown field, not read{hint}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_quotes_what_is_not_a_name() {
        assert_eq!(join("", "spec"), "spec");
        assert_eq!(join("spec", "components"), "spec.components");
        assert_eq!(
            join("metadata.labels", "a.b/c"),
            "metadata.labels[\"a.b/c\"]"
        );
        assert!(join("", &"k".repeat(10_000)).len() < 100);
    }
}
