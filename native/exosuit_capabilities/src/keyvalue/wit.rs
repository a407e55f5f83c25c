//! The functions of `wasi:keyvalue` as components call them, and the results they expect.

use exosuit_core::{Error, Value};

use super::operation::{Change, Entry, Increment, Operation, Outcome, Query, Set, Width};
use crate::wit::{Arguments, function};

/// How many keys one function of `batch` may name: the work, which no deadline interrupts, and the
/// lock that it holds in memory, stay about a millisecond.
const MAX_BATCH: usize = 1_024;

/// An operation, in the bucket that the guest has opened.
pub(crate) struct Call {
    pub(crate) bucket: String,
    pub(crate) operation: Operation,
}

/// Reads what follows the bucket; none if that is not what the function takes.
type Read = fn(&mut Arguments) -> Option<Operation>;

impl Call {
    /// Reads a call; none if the contract has no such function.
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
            ("atomics", "increment") => (
                "atomics#increment(bucket, key: string, delta: u64)",
                increment,
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

fn set(given: &mut Arguments) -> Option<Operation> {
    Some(Operation::Change(Change::Set(Set {
        key: given.text()?,
        value: given.bytes()?,
        seconds: 0,
    })))
}

fn list_keys(given: &mut Arguments) -> Option<Operation> {
    let cursor = match given.value()? {
        Value::Nil => None,
        Value::Integer(cursor) => Some(u64::try_from(cursor).ok()?),
        _ => return None,
    };
    Some(Operation::Query(Query::Keys(cursor)))
}

fn increment(given: &mut Arguments) -> Option<Operation> {
    Some(Operation::Change(Change::Increment(Increment {
        key: given.text()?,
        by: Width::U64.check(given.integer()?)?,
        width: Width::U64,
    })))
}

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

fn keys(given: &mut Arguments) -> Option<Vec<String>> {
    let mut keys = Arguments::new(list(given)?);
    let texts = std::iter::from_fn(|| (!keys.are_all_read()).then(|| keys.text()));
    texts.collect()
}

fn list(given: &mut Arguments) -> Option<Vec<Value>> {
    given.list().filter(|values| values.len() <= MAX_BATCH)
}

/// An outcome as the guest expects it: the good case of a `result`.
pub(crate) fn write(outcome: Outcome) -> Value {
    Value::Ok(good(outcome).map(Box::new))
}

fn good(outcome: Outcome) -> Option<Value> {
    Some(match outcome {
        Outcome::Nothing => return None,
        Outcome::Yes(yes) => Value::Bool(yes),
        Outcome::Number(number) => Value::Integer(number),
        Outcome::Value(value) => value.map_or(Value::Nil, Value::binary),
        Outcome::Entries(entries) => Value::List(entries.into_iter().map(entry).collect()),
        Outcome::Keys(keys, next) => {
            let next = next.map_or(Value::Nil, |next| Value::Integer(next.into()));
            Value::Tuple(vec![texts(keys), next])
        }
        Outcome::Items(items) => texts(items),
    })
}

fn entry(entry: Option<Entry>) -> Value {
    entry.map_or(Value::Nil, |(key, value)| {
        Value::Tuple(vec![Value::binary(key), Value::binary(value)])
    })
}

fn texts(texts: Vec<String>) -> Value {
    Value::List(texts.into_iter().map(Value::binary).collect())
}
