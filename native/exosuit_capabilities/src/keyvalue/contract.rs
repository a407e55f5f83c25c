//! The operations of `wasmcloud:keyvalue` as guests send them, and the answers they expect.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use exosuit_core::Error;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::message;

/// An operation with its arguments.
#[derive(Debug)]
pub(crate) enum Operation {
    /// One that only reads.
    Query(Query),
    /// One that may change something.
    Change(Change),
}

/// What only reads.
#[derive(Debug)]
pub(crate) enum Query {
    Contains(String),
    Get(String),
    ListRange(ListRange),
    SetIntersection(Keys),
    SetMembers(String),
    SetUnion(Keys),
}

/// What may change something.
#[derive(Debug)]
pub(crate) enum Change {
    Del(String),
    Increment(Increment),
    ListAdd(InList),
    ListClear(String),
    ListDel(InList),
    Set(Set),
    SetAdd(InSet),
    SetClear(String),
    SetDel(InSet),
}

/// Adds to a number.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Increment {
    pub(crate) key: String,
    pub(crate) value: i32,
}

/// Sets a text, for so many seconds, or 0 for ever.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Set {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) expires: u32,
}

/// An item of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct InList {
    #[serde(rename = "listName")]
    pub(crate) list: String,
    pub(crate) value: String,
}

/// A part of a list, both ends included; negative numbers count from its end.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListRange {
    #[serde(rename = "listName")]
    pub(crate) list: String,
    pub(crate) start: i32,
    pub(crate) stop: i32,
}

/// A member of a set.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct InSet {
    #[serde(rename = "setName")]
    pub(crate) set: String,
    pub(crate) value: String,
}

/// How many sets one operation may name. Each multiplies the work, which no deadline interrupts;
/// and in memory an empty name takes 24 times what it takes in the message.
const MAX_SETS: usize = 64;

/// The names of some sets, each once.
#[derive(Debug)]
pub(crate) struct Keys(pub(crate) BTreeSet<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ReadKeys)
    }
}

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

impl Operation {
    /// Reads an operation; none if the contract has no such one.
    pub(crate) fn read(name: &str, payload: &[u8]) -> Option<Result<Self, Error>> {
        let message = Message { name, payload };
        Some(match name.strip_prefix("KeyValue.")? {
            "Contains" => message.query(Query::Contains, KEY),
            "Del" => message.change(Change::Del, KEY),
            "Get" => message.query(Query::Get, KEY),
            "Increment" => message.change(Change::Increment, INCREMENT),
            "ListAdd" => message.change(Change::ListAdd, IN_LIST),
            "ListClear" => message.change(Change::ListClear, KEY),
            "ListDel" => message.change(Change::ListDel, IN_LIST),
            "ListRange" => message.query(Query::ListRange, LIST_RANGE),
            "Set" => message.change(Change::Set, SET),
            "SetAdd" => message.change(Change::SetAdd, IN_SET),
            "SetClear" => message.change(Change::SetClear, KEY),
            "SetDel" => message.change(Change::SetDel, IN_SET),
            "SetIntersection" => message.query(Query::SetIntersection, KEYS),
            "SetQuery" => message.query(Query::SetMembers, KEY),
            "SetUnion" => message.query(Query::SetUnion, KEYS),
            _ => return None,
        })
    }
}

struct Message<'a> {
    name: &'a str,
    payload: &'a [u8],
}

impl<'a> Message<'a> {
    fn query<T: Deserialize<'a>>(
        &self,
        make: fn(T) -> Query,
        shape: &str,
    ) -> Result<Operation, Error> {
        let arguments = message::read(self.name, shape, self.payload)?;
        Ok(Operation::Query(make(arguments)))
    }

    fn change<T: Deserialize<'a>>(
        &self,
        make: fn(T) -> Change,
        shape: &str,
    ) -> Result<Operation, Error> {
        let arguments = message::read(self.name, shape, self.payload)?;
        Ok(Operation::Change(make(arguments)))
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) enum Reply {
    Nothing,
    Yes(bool),
    Number(i32),
    Count(u32),
    Value(Option<String>),
    Items(Vec<String>),
}

#[derive(Serialize)]
struct Value {
    value: String,
    exists: bool,
}

impl Reply {
    /// As the guest reads it.
    pub(crate) fn write(self) -> Result<Bytes, Error> {
        match self {
            Self::Nothing => Ok(Bytes::new()),
            Self::Yes(yes) => message::write(&yes),
            Self::Number(number) => message::write(&number),
            Self::Count(count) => message::write(&count),
            Self::Items(items) => message::write(&items),
            Self::Value(value) => message::write(&Value {
                exists: value.is_some(),
                value: value.unwrap_or_default(),
            }),
        }
    }
}
