//! Converts the answers of a store to the types that the functions of `wasi:keyvalue` return.
//!
//! One reader for each type, each from a [`Value`] without a type. A value of another shape is a [`Refusal`]: the
//! store, which may be a provider of somebody else, has made a mistake, and the guest gets an error it can handle.

use exosuit_core::Value;

/// The reason why a store refused an operation.
pub(super) enum Refusal {
    /// No link or claim allows it.
    AccessDenied,
    /// Anything else, in words.
    Other(String),
}

/// Keys, and where the next page begins.
pub(super) type Page = (Vec<String>, Option<u64>);

/// The good case of what a store answered with.
pub(super) fn good(value: Value) -> Result<Value, Refusal> {
    match value {
        Value::Ok(value) => Ok(value.map_or(Value::Nil, |value| *value)),
        Value::Error(Some(value)) => Err(Refusal::Other(text(*value)?)),
        _ => Err(misshapen()),
    }
}

/// The error for a value of another shape. It does not show the value.
fn misshapen() -> Refusal {
    Refusal::Other("the store's answer is not of the type that the function has".to_owned())
}

/// An `option`: `Nil` for none.
pub(super) fn optional<T>(
    value: Value,
    read: impl Fn(Value) -> Result<T, Refusal>,
) -> Result<Option<T>, Refusal> {
    match value {
        Value::Nil => Ok(None),
        value => read(value).map(Some),
    }
}

/// A `list`.
pub(super) fn each<T>(
    value: Value,
    read: impl Fn(Value) -> Result<T, Refusal>,
) -> Result<Vec<T>, Refusal> {
    match value {
        Value::List(items) => items.into_iter().map(read).collect(),
        _ => Err(misshapen()),
    }
}

/// A `list<u8>`.
pub(super) fn bytes(value: Value) -> Result<Vec<u8>, Refusal> {
    match value {
        Value::Binary(bytes) => Ok(bytes.into()),
        _ => Err(misshapen()),
    }
}

/// A `string`.
fn text(value: Value) -> Result<String, Refusal> {
    String::from_utf8(bytes(value)?).map_err(|_| misshapen())
}

/// A `bool`.
pub(super) fn truth(value: &Value) -> Result<bool, Refusal> {
    match value {
        Value::Bool(yes) => Ok(*yes),
        _ => Err(misshapen()),
    }
}

/// An integer type. A number that does not fit is an error.
pub(super) fn number<N: TryFrom<i128>>(value: &Value) -> Result<N, Refusal> {
    match value {
        Value::Integer(number) => (*number).try_into().map_err(|_| misshapen()),
        _ => Err(misshapen()),
    }
}

/// A tuple of two.
pub(super) fn pair(value: Value) -> Result<(Value, Value), Refusal> {
    match value {
        Value::Tuple(fields) => match <[Value; 2]>::try_from(fields) {
            Ok([one, other]) => Ok((one, other)),
            Err(_) => Err(misshapen()),
        },
        _ => Err(misshapen()),
    }
}

/// A key and its value.
pub(super) fn entry(value: Value) -> Result<(String, Vec<u8>), Refusal> {
    let (key, value) = pair(value)?;
    Ok((text(key)?, bytes(value)?))
}

/// Keys, and the cursor of the next page.
pub(super) fn page(value: Value) -> Result<Page, Refusal> {
    let (keys, cursor) = pair(value)?;
    Ok((
        each(keys, text)?,
        optional(cursor, |cursor| number(&cursor))?,
    ))
}
