//! Types as WIT writes them.
//!
//! A type with a name is written by that name, as in WIT: the reader looks its definition up.

use std::fmt;

use crate::model::{Parameter, Type};

/// A function as WIT writes it, without its name.
pub(crate) fn of(parameters: &[Parameter], result: Option<&Type>, is_async: bool) -> String {
    let parameters: Vec<_> = parameters
        .iter()
        .map(|parameter| format!("{}: {}", parameter.name, parameter.r#type))
        .collect();
    let word = if is_async { "async func" } else { "func" };
    let result = result.map_or_else(String::new, |ty| format!(" -> {ty}"));
    format!("{word}({}){result}", parameters.join(", "))
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primitive(name) => f.write_str(name),
            Self::List(ty) => write!(f, "list<{ty}>"),
            Self::FixedLengthList(ty, length) => write!(f, "list<{ty}, {length}>"),
            Self::Map(key, value) => write!(f, "map<{key}, {value}>"),
            Self::Tuple(types) => {
                let types: Vec<_> = types.iter().map(Self::to_string).collect();
                write!(f, "tuple<{}>", types.join(", "))
            }
            Self::Option(ty) => write!(f, "option<{ty}>"),
            Self::Result(None, None) => f.write_str("result"),
            Self::Result(Some(ok), None) => write!(f, "result<{ok}>"),
            Self::Result(None, Some(error)) => write!(f, "result<_, {error}>"),
            Self::Result(Some(ok), Some(error)) => write!(f, "result<{ok}, {error}>"),
            Self::Own(named) | Self::Named(named) => f.write_str(&named.name),
            Self::Borrow(named) => write!(f, "borrow<{}>", named.name),
            Self::Stream(None) => f.write_str("stream"),
            Self::Stream(Some(ty)) => write!(f, "stream<{ty}>"),
            Self::Future(None) => f.write_str("future"),
            Self::Future(Some(ty)) => write!(f, "future<{ty}>"),
        }
    }
}
