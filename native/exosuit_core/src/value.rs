//! Values of WIT functions, between a guest and its caller or provider.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use crate::Handle;

/// A value of a WIT function, without its type.
///
/// Guests know the types of their functions and Elixir does not. A value has just enough
/// information to be checked against a type: `string`, `char` and `list<u8>` are all
/// [`Value::Binary`].
///
/// ```
/// use exosuit_core::Value;
///
/// // A record of WIT: {name: "bolt", size: some(4), color: red}.
/// let order = Value::Record(vec![
///     ("name".into(), Value::binary("bolt")),
///     ("size".into(), Value::Integer(4)),
///     ("color".into(), Value::case("red")),
/// ]);
/// assert!(matches!(&order, Value::Record(fields) if &*fields[0].0 == "name"));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// No value: an absent `option`, or the result of a function without a result.
    Nil,
    /// `bool`.
    Bool(bool),
    /// Any integer type.
    Integer(i128),
    /// `f32` or `f64`.
    Float(f64),
    /// `string`, `char` or `list<u8>`.
    Binary(Bytes),
    /// Any other list.
    List(Vec<Self>),
    /// A tuple.
    Tuple(Vec<Self>),
    /// The fields of a record, in any order.
    Record(Vec<(WitName, Self)>),
    /// A case of a variant with its value, or a case of an enum. Flags are a list of such cases.
    Case(WitName, Option<Box<Self>>),
    /// A present `option` whose value could be mistaken for an absent one.
    Some(Box<Self>),
    /// The success case of a `result`.
    Ok(Option<Box<Self>>),
    /// The error case of a `result`.
    Error(Option<Box<Self>>),
    /// A resource. It cannot leave its host.
    Resource(Handle),
}

impl Value {
    /// A text or bytes.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// Calls `each` with every resource in it.
    pub fn resources<'a>(&'a self, each: &mut impl FnMut(&'a Handle)) {
        match self {
            Self::Resource(handle) => each(handle),
            Self::List(items) | Self::Tuple(items) => {
                for item in items {
                    item.resources(each);
                }
            }
            Self::Record(fields) => fields
                .iter()
                .for_each(|(_name, field)| field.resources(each)),
            Self::Some(value) => value.resources(each),
            Self::Case(_, value) | Self::Ok(value) | Self::Error(value) => {
                if let Some(value) = value {
                    value.resources(each);
                }
            }
            _ => {}
        }
    }

    /// A case of an enum, or of a variant that has no value.
    pub fn case(name: impl Into<WitName>) -> Self {
        Self::Case(name.into(), None)
    }
}

/// A scheduler of the BEAM handles so many values, and bytes of binaries, in a few microseconds.
const LIGHT_VALUES: usize = 1 << 10;
const LIGHT_BYTES: usize = 16 << 10;

/// Whether values are too many for a scheduler of the BEAM to convert to terms.
///
/// ```
/// use exosuit_core::{Value, are_heavy};
///
/// let numbers = |count| Value::List(vec![Value::Integer(1); count]);
/// assert!(!are_heavy([&numbers(1_000)]));
/// assert!(are_heavy([&numbers(10_000)]));
/// assert!(are_heavy([&Value::binary(vec![0; 1 << 20])]));
/// ```
pub fn are_heavy<'a>(values: impl IntoIterator<Item = &'a Value>) -> bool {
    let mut left = Left {
        values: LIGHT_VALUES,
        bytes: LIGHT_BYTES,
    };
    values
        .into_iter()
        .try_for_each(|value| left.spend(value))
        .is_none()
}

/// How much may follow until the values are heavy.
struct Left {
    values: usize,
    bytes: usize,
}

impl Left {
    fn spend(&mut self, value: &Value) -> Option<()> {
        self.values = self.values.checked_sub(1)?;
        match value {
            Value::Binary(bytes) => {
                self.bytes = self.bytes.checked_sub(bytes.len())?;
                Some(())
            }
            Value::List(items) | Value::Tuple(items) => {
                items.iter().try_for_each(|item| self.spend(item))
            }
            Value::Record(fields) => fields
                .iter()
                .try_for_each(|(_name, field)| self.spend(field)),
            Value::Some(value) => self.spend(value),
            Value::Case(_, value) | Value::Ok(value) | Value::Error(value) => {
                value.iter().try_for_each(|value| self.spend(value))
            }
            _ => Some(()),
        }
    }
}

/// The name of a field or a case, as WIT writes it (`reply-to`). Clones are cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WitName(Arc<str>);

impl From<&str> for WitName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for WitName {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl Deref for WitName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for WitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for WitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
