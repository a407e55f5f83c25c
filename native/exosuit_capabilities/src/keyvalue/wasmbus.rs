//! The operations of `wasmcloud:keyvalue` as guests send them, and the answers they expect.
//!
//! Each operation has a struct with the names of the OTP era's fields. Missing fields have their
//! defaults, as guests of some languages leave them out.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use exosuit_core::{Code, Error};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::operation::{self, Change, Item, Operation, Outcome, Query, Width};
use crate::message;

/// The argument of `KeyValue.Increment`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Increment {
    key: String,
    value: i32,
}

/// The argument of `KeyValue.Set`. `expires` is in seconds, 0 for never.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Set {
    key: String,
    value: String,
    expires: u32,
}

/// The argument of operations on an item of a list.
#[derive(Default, Deserialize)]
#[serde(default)]
struct InList {
    #[serde(rename = "listName")]
    list: String,
    value: String,
}

/// The argument of `KeyValue.ListRange`. Both ends are included.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ListRange {
    #[serde(rename = "listName")]
    list: String,
    start: i32,
    stop: i32,
}

/// The argument of operations on a member of a set.
#[derive(Default, Deserialize)]
#[serde(default)]
struct InSet {
    #[serde(rename = "setName")]
    set: String,
    value: String,
}

/// The number of sets that one operation may name. Each multiplies the work, which no deadline
/// interrupts. An empty name takes 24 times as much memory as in the message.
const MAX_SETS: usize = 64;

/// The names of sets, each once.
struct Keys(BTreeSet<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ReadKeys)
    }
}

/// Reads names of sets, and refuses too many while they are read.
struct ReadKeys;

impl<'de> Visitor<'de> for ReadKeys {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KEYS)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Keys, A::Error> {
        let mut keys = BTreeSet::new();
        let mut count = 0;
        while let Some(name) = names.next_element()? {
            count += 1;
            if count > MAX_SETS {
                return Err(A::Error::invalid_length(count, &self));
            }
            keys.insert(name);
        }
        Ok(Keys(keys))
    }
}

const KEY: &str = "str";
const KEYS: &str = "[str] of at most 64 sets";
const INCREMENT: &str = "{key: str, value: i32}";
const SET: &str = "{key: str, value: str, expires: u32}";
const LIST_RANGE: &str = "{listName: str, start: i32, stop: i32}";
const IN_LIST: &str = "{listName: str, value: str}";
const IN_SET: &str = "{setName: str, value: str}";

/// Decodes an operation. `None` if the contract does not have it.
pub(crate) fn read(name: &str, payload: &[u8]) -> Option<Result<Operation, Error>> {
    let message = Message { name, payload };
    Some(match name.strip_prefix("KeyValue.")? {
        "Contains" => message.query(Query::Contains, KEY),
        "Del" => message.change(Change::Delete, KEY),
        "Get" => message.query(Query::Get, KEY),
        "Increment" => message.change(increment, INCREMENT),
        "ListAdd" => message.change(|it: InList| Change::ListAdd(it.into()), IN_LIST),
        "ListClear" => message.change(Change::ListClear, KEY),
        "ListDel" => message.change(|it: InList| Change::ListDelete(it.into()), IN_LIST),
        "ListRange" => message.query(list_range, LIST_RANGE),
        "Set" => message.change(set, SET),
        "SetAdd" => message.change(|it: InSet| Change::SetAdd(it.into()), IN_SET),
        "SetClear" => message.change(Change::SetClear, KEY),
        "SetDel" => message.change(|it: InSet| Change::SetDelete(it.into()), IN_SET),
        "SetIntersection" => message.query(|Keys(keys)| Query::SetIntersection(keys), KEYS),
        "SetQuery" => message.query(Query::SetMembers, KEY),
        "SetUnion" => message.query(|Keys(keys)| Query::SetUnion(keys), KEYS),
        _ => return None,
    })
}

fn increment(Increment { key, value }: Increment) -> Change {
    Change::Increment(operation::Increment {
        key,
        by: value.into(),
        width: Width::I32,
    })
}

fn set(it: Set) -> Change {
    Change::Set(operation::Set {
        key: it.key,
        value: it.value.into_bytes(),
        seconds: it.expires,
    })
}

fn list_range(it: ListRange) -> Query {
    Query::ListRange(operation::ListRange {
        key: it.list,
        start: it.start,
        stop: it.stop,
    })
}

impl From<InList> for Item {
    fn from(InList { list, value }: InList) -> Self {
        Self { key: list, value }
    }
}

impl From<InSet> for Item {
    fn from(InSet { set, value }: InSet) -> Self {
        Self { key: set, value }
    }
}

/// The name and the payload of an operation.
struct Message<'a> {
    name: &'a str,
    payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// Decodes the arguments of a query.
    fn query<T: Deserialize<'a>>(
        &self,
        make: fn(T) -> Query,
        shape: &str,
    ) -> Result<Operation, Error> {
        let arguments = message::read(self.name, shape, self.payload)?;
        Ok(Operation::Query(make(arguments)))
    }

    /// Decodes the arguments of a change.
    fn change<T: Deserialize<'a>>(
        &self,
        make: fn(T) -> Change,
        shape: &str,
    ) -> Result<Operation, Error> {
        let arguments = message::read(self.name, shape, self.payload)?;
        Ok(Operation::Change(make(arguments)))
    }
}

/// The answer to `KeyValue.Get`.
#[derive(Serialize)]
struct Value {
    value: String,
    exists: bool,
}

/// Encodes an outcome for the guest. `provider` for a value that is not UTF-8, which this contract
/// cannot carry.
pub(crate) fn write(outcome: Outcome) -> Result<Bytes, Error> {
    match outcome {
        Outcome::Nothing => Ok(Bytes::new()),
        Outcome::Yes(yes) => message::write(&yes),
        // Numbers of this contract have 32 bits.
        Outcome::Number(number) => message::write(&i64::try_from(number).unwrap_or(i64::MAX)),
        Outcome::Items(items) | Outcome::Keys(items, _) => message::write(&items),
        Outcome::Entries(entries) => message::write(&entries),
        Outcome::Value(value) | Outcome::Swapped(_, value) => message::write(&Value {
            exists: value.is_some(),
            value: value.map_or_else(|| Ok(String::new()), text)?,
        }),
    }
}

/// A value as text.
fn text(value: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(value).map_err(|_| {
        let detail = "the key holds bytes that are no UTF-8: only wasi:keyvalue can read them";
        Error::new(Code::Provider, detail)
    })
}
