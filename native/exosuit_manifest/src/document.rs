//! A manifest as its author wrote it, for tools that read manifests as JSON.

use std::rc::Rc;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::node::{Content, Kind, Node, Scalar, integer};

/// The document of a manifest with all of its fields. It serializes as the same values; the keys
/// are sorted.
#[derive(Debug)]
pub struct Document(pub(crate) Rc<Node>);

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        node(&self.0, to)
    }
}

/// A node of a document. Loading it has bounded its depth and size.
struct Part<'n>(&'n Node);

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        node(self.0, to)
    }
}

fn node<S: Serializer>(node: &Node, to: S) -> Result<S::Ok, S::Error> {
    match &node.content {
        Content::Scalar(value) => scalar(value, to),
        Content::List(list) => to.collect_seq(list.iter().map(|node| Part(node))),
        Content::Map(entries) => {
            let mut map = to.serialize_map(Some(entries.len()))?;
            for (key, entry) in entries {
                map.serialize_entry(key, &Part(&entry.node))?;
            }
            map.end()
        }
    }
}

fn scalar<S: Serializer>(value: &Scalar, to: S) -> Result<S::Ok, S::Error> {
    match value.kind {
        Kind::Null => to.serialize_unit(),
        Kind::Bool => to.serialize_bool(value.text.eq_ignore_ascii_case("true")),
        Kind::Text => to.serialize_str(&value.text),
        Kind::Number => number(&value.text, to),
    }
}

/// A number. JSON has no infinity, so a number that is too large stays a text.
fn number<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
    if let Some(number) = integer(text).and_then(|number| i64::try_from(number).ok()) {
        return to.serialize_i64(number);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => to.serialize_f64(number),
        _ => to.serialize_str(text),
    }
}
