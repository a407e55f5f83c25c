//! Values of WIT functions, between a guest and its caller or provider.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

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
    /// The entries of a `map<K, V>`, in any order. If a key occurs twice, its last value counts.
    Map(Vec<(Self, Self)>),
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
            Self::Map(entries) => entries
                .iter()
                .for_each(|(_key, value)| value.resources(each)),
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
            Value::Map(entries) => entries.iter().try_for_each(|(key, value)| {
                self.spend(key)?;
                self.spend(value)
            }),
            Value::Some(value) => self.spend(value),
            Value::Case(_, value) | Value::Ok(value) | Value::Error(value) => {
                value.iter().try_for_each(|value| self.spend(value))
            }
            _ => Some(()),
        }
    }
}

/// The name of a field or a case, as WIT writes it (`reply-to`). Clones are cheap.
#[derive(Clone)]
pub struct WitName(Arc<Name>);

struct Name {
    text: Box<str>,
    number: OnceLock<usize>,
}

impl WitName {
    /// The number that this name got, or the name that it was cloned from.
    pub fn number(&self) -> Option<usize> {
        self.0.number.get().copied()
    }

    /// Sets the number of the name and of all its clones, unless they have one. The NIFs keep names as atoms in a table;
    /// the number is the name's place there, and saves a search for the text.
    pub fn set_number(&self, number: usize) {
        self.0.number.get_or_init(|| number);
    }
}

impl From<&str> for WitName {
    fn from(text: &str) -> Self {
        Box::<str>::from(text).into()
    }
}

impl From<String> for WitName {
    fn from(text: String) -> Self {
        text.into_boxed_str().into()
    }
}

impl From<Box<str>> for WitName {
    fn from(text: Box<str>) -> Self {
        let number = OnceLock::new();
        Self(Arc::new(Name { text, number }))
    }
}

impl Deref for WitName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0.text
    }
}

impl PartialEq for WitName {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

impl Eq for WitName {}

impl Hash for WitName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl PartialOrd for WitName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for WitName {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl fmt::Debug for WitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for WitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}
