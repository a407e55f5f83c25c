//! The functions of `wasi:keyvalue` as components call them, and the results they expect.
//!
//! Two drafts of the contract are in use. They differ in the type of numbers in `atomics`; the
//! version in the name of the function tells them apart.

use exosuit_core::{Error, Value};

use super::operation::{
    Change, Increment, KeyValuePair, Operation, Outcome, Query, Set, Swap, Width,
};
use crate::wit::{Arguments, function};

/// The number of keys of a `batch` function. No deadline interrupts the work, and in memory it
/// holds the lock, so it must take about a millisecond at most.
const MAX_BATCH: usize = 1_024;

/// The version whose numbers have a sign.
const SECOND_DRAFT: &str = "@0.2.0-draft2#";

/// An operation, with the bucket that the guest has opened.
pub(crate) struct Call {
    pub(crate) bucket: String,
    pub(crate) operation: Operation,
}

/// Decodes the arguments after the bucket. `None` if they are not those of the function.
type Read = fn(&mut Arguments) -> Option<Operation>;

impl Call {
    /// Decodes a call. `None` if the contract does not have the function.
    pub(crate) fn read(name: &str, values: Vec<Value>) -> Option<Result<Self, Error>> {
        let (shape, read): (&str, Read) = match function(name, "wasi:keyvalue")? {
            ("store", "get") => ("store#get(bucket, key: string)", |given| {
                Some(Operation::Query(Query::Get(given.text()?)))
            }),
            ("store", "set") => ("store#set(bucket, key: string, value: list<u8>)", set),
            ("store", "delete") => ("store#delete(bucket, key: string)", |given| {
                Some(Operation::Change(Change::DeleteMany(vec![given.text()?])))
            }),
            ("store", "exists") => ("store#exists(bucket, key: string)", |given| {
                Some(Operation::Query(Query::Contains(given.text()?)))
            }),
            ("store", "list-keys") => ("store#list-keys(bucket, cursor: option<u64>)", list_keys),
            ("atomics", "increment") if name.contains(SECOND_DRAFT) => (
                "atomics#increment(bucket, key: string, delta: s64)",
                |given| increment(given, Width::I64),
            ),
            ("atomics", "increment") => (
                "atomics#increment(bucket, key: string, delta: u64)",
                |given| increment(given, Width::U64),
            ),
            ("atomics", "swap") => (
                "atomics#swap(bucket, key: string, seen: option<list<u8>>, value: list<u8>)",
                swap,
            ),
            ("batch", "get-many") => (
                "batch#get-many(bucket, keys: list<string> of at most 1024)",
                |given| Some(Operation::Query(Query::GetMany(keys(given)?))),
            ),
            ("batch", "set-many") => (
                "batch#set-many(bucket, key-values: list<tuple<string, list<u8>>> of at most 1024)",
                set_many,
            ),
            ("batch", "delete-many") => (
                "batch#delete-many(bucket, keys: list<string> of at most 1024)",
                |given| Some(Operation::Change(Change::DeleteMany(keys(given)?))),
            ),
            _ => return None,
        };
        let call = Arguments::read(shape, values, |given| {
            Some(Self {
                bucket: given.text()?,
                operation: read(given)?,
            })
        });
        Some(call)
    }
}

/// A value that does not expire: the contract has no expiry.
fn set(given: &mut Arguments) -> Option<Operation> {
    Some(Operation::Change(Change::Set(Set {
        key: given.text()?,
        value: given.bytes()?,
        seconds: 0,
    })))
}

/// A page of keys, from a cursor or from the first.
fn list_keys(given: &mut Arguments) -> Option<Operation> {
    let cursor = match given.value()? {
        Value::Nil => None,
        Value::Integer(cursor) => Some(u64::try_from(cursor).ok()?),
        _ => return None,
    };
    Some(Operation::Query(Query::Keys(cursor)))
}

/// Adds a number of the draft's type.
fn increment(given: &mut Arguments, width: Width) -> Option<Operation> {
    Some(Operation::Change(Change::Increment(Increment {
        key: given.text()?,
        by: width.check(given.integer()?)?,
        width,
    })))
}

/// The swap of a guest's `cas` handle, which the engine keeps: the SHA-256 of the value that it
/// saw.
fn swap(given: &mut Arguments) -> Option<Operation> {
    Some(Operation::Change(Change::Swap(Swap {
        key: given.text()?,
        seen: match given.value()? {
            Value::Nil => None,
            Value::Binary(seen) => Some(seen.into()),
            _ => return None,
        },
        value: given.bytes()?,
    })))
}

/// Keys with their values, at most 1,024.
fn set_many(given: &mut Arguments) -> Option<Operation> {
    let entry = |value| match value {
        Value::Tuple(fields) => {
            let mut fields = Arguments::new(fields);
            let entry = (fields.text()?, fields.bytes()?);
            fields.are_all_read().then_some(entry)
        }
        _ => None,
    };
    let entries: Option<Vec<_>> = list(given)?.into_iter().map(entry).collect();
    Some(Operation::Change(Change::SetMany(entries?)))
}

/// A list of keys, of at most 1,024.
fn keys(given: &mut Arguments) -> Option<Vec<String>> {
    let mut keys = Arguments::new(list(given)?);
    let texts = std::iter::from_fn(|| (!keys.are_all_read()).then(|| keys.text()));
    texts.collect()
}

/// A list of at most 1,024 values.
fn list(given: &mut Arguments) -> Option<Vec<Value>> {
    given.list().filter(|values| values.len() <= MAX_BATCH)
}

/// The outcome as the good case of a `result`.
pub(crate) fn write(outcome: Outcome) -> Value {
    Value::Ok(good(outcome).map(Box::new))
}

/// The value of the good case, if it has one.
fn good(outcome: Outcome) -> Option<Value> {
    Some(match outcome {
        Outcome::Nothing => return None,
        Outcome::Yes(yes) => Value::Bool(yes),
        Outcome::Number(number) => Value::Integer(number),
        Outcome::Value(value) => optional(value),
        Outcome::Swapped(done, now) => Value::Tuple(vec![Value::Bool(done), optional(now)]),
        Outcome::Entries(entries) => Value::List(entries.into_iter().map(entry).collect()),
        Outcome::Keys(keys, next) => {
            let next = next.map_or(Value::Nil, |next| Value::Integer(next.into()));
            Value::Tuple(vec![texts(keys), next])
        }
        Outcome::Items(items) => texts(items),
    })
}

/// An option of bytes.
fn optional(value: Option<Vec<u8>>) -> Value {
    value.map_or(Value::Nil, Value::binary)
}

/// An option of a key with its value.
fn entry(entry: Option<KeyValuePair>) -> Value {
    entry.map_or(Value::Nil, |(key, value)| {
        Value::Tuple(vec![Value::binary(key), Value::binary(value)])
    })
}

/// A list of texts.
fn texts(texts: Vec<String>) -> Value {
    Value::List(texts.into_iter().map(Value::binary).collect())
}
