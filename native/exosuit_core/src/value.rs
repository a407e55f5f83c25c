//! Values of WIT functions, on their way between a guest and whoever answers it.

use bytes::Bytes;

/// A value of a WIT function, as far as it can be told without its type.
///
/// Guests know the types of their functions and Elixir does not, so a value carries just enough for
/// whoever knows the type to check it: `string` and `list<u8>` are both [`Value::Binary`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// No value: an absent `option`, or the result of a function that has none.
    Nil,
    /// `bool`.
    Bool(bool),
    /// Any integer type.
    Integer(i128),
    /// `string` or `list<u8>`.
    Binary(Bytes),
    /// Any other list.
    List(Vec<Self>),
    /// A tuple, or the fields of a record in order.
    Tuple(Vec<Self>),
    /// The good case of a `result`.
    Ok(Option<Box<Self>>),
    /// The bad case of a `result`.
    Error(Option<Box<Self>>),
}

impl Value {
    /// A text or bytes.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }
}
