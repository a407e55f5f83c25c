//! Why a value does not fit its type, in words for people.
//!
//! A misfit is made where a value is found wrong, and gets its path on the way out, one step for each level: a
//! value that fits pays nothing for it. The text names types, names and places, keys of maps among them, and never
//! shows a value, which may be a secret.

use std::fmt;

use exosuit_core::{Value, WitName};
use wasmtime::component::Val;

use super::super::types::WitType;
use crate::explain::{MAX_NAME, cut};

/// How many names an error lists.
const MAX_LISTED: usize = 16;

/// Why a value does not fit its type, and where in it.
#[derive(Debug)]
pub(in crate::abi::component) struct Misfit {
    why: String,
    /// From the inside out.
    path: Vec<Step>,
}

/// One step from the outside in.
#[derive(Debug)]
enum Step {
    /// A field of a record or a case of a variant.
    Name(WitName),
    /// An element of a list or tuple, counted from 0.
    Index(usize),
    /// A value of a map, by its key as it is shown.
    Key(String),
}

impl Misfit {
    /// A misfit at the outermost level so far.
    pub(in crate::abi::component) fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            path: Vec::new(),
        }
    }

    /// The usual misfit: a value of another kind than the type.
    pub(super) fn expected(ty: &WitType, found: &Value) -> Self {
        Self::new(format!("expected {}, got {}", ty.described(), kind(found)))
    }

    /// It was found in the field, case or parameter of this name.
    pub(super) fn within(mut self, name: &WitName) -> Self {
        self.path.push(Step::Name(name.clone()));
        self
    }

    /// It was found in the value of this key of a map.
    pub(super) fn of_key(mut self, key: &Val) -> Self {
        let key = match key {
            Val::String(text) => format!("{:?}", cut(text, MAX_NAME)),
            Val::Char(character) => format!("{:?}", character.to_string()),
            Val::Bool(truth) => truth.to_string(),
            other => number(other).map_or_else(|| "…".to_owned(), |number| number.to_string()),
        };
        self.path.push(Step::Key(key));
        self
    }

    /// It was found in a key of a map.
    pub(super) fn in_key(mut self) -> Self {
        self.why.insert_str(0, "in a key: ");
        self
    }

    /// It was found in the element of this index.
    pub(super) fn at(mut self, index: usize) -> Self {
        self.path.push(Step::Index(index));
        self
    }
}

/// The path as programmers write it (`order.lines[3].price`), and why.
impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, step) in self.path.iter().rev().enumerate() {
            match step {
                Step::Name(name) if n == 0 => f.write_str(cut(name, MAX_NAME))?,
                Step::Name(name) => write!(f, ".{}", cut(name, MAX_NAME))?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => write!(f, "[{key}]")?,
            }
        }
        let between = if self.path.is_empty() { "" } else { ": " };
        write!(f, "{between}{}", self.why)
    }
}

/// Names for an error: so many that it stays readable.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a WitName>) -> String {
    let mut names: Vec<&str> = names.map(|name| cut(name, MAX_NAME)).collect();
    let more = if names.len() > MAX_LISTED {
        ", …"
    } else {
        ""
    };
    names.truncate(MAX_LISTED);
    format!("{}{more}", names.join(", "))
}

/// The number that a key of a map is.
fn number(key: &Val) -> Option<i128> {
    Some(match *key {
        Val::S8(number) => number.into(),
        Val::U8(number) => number.into(),
        Val::S16(number) => number.into(),
        Val::U16(number) => number.into(),
        Val::S32(number) => number.into(),
        Val::U32(number) => number.into(),
        Val::S64(number) => number.into(),
        Val::U64(number) => number.into(),
        _ => return None,
    })
}

/// The kind of value, with its article.
fn kind(value: &Value) -> String {
    match value {
        Value::Nil => "nothing".to_owned(),
        Value::Bool(_) => "a bool".to_owned(),
        Value::Integer(_) => "an integer".to_owned(),
        Value::Float(_) => "a float".to_owned(),
        Value::Binary(_) => "a text or bytes".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Tuple(fields) => format!("a tuple of {}", fields.len()),
        Value::Record(_) | Value::Map(_) => "a map".to_owned(),
        Value::Case(_, None) => "a name".to_owned(),
        Value::Case(..) | Value::Some(_) => "a case with a value".to_owned(),
        Value::Ok(_) => "an ok".to_owned(),
        Value::Error(_) => "an error".to_owned(),
        Value::Resource(_) => "a resource".to_owned(),
        _ => "something else".to_owned(),
    }
}
