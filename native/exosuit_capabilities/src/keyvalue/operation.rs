//! The operations of the store and their outcomes, independent of any contract.

use std::collections::BTreeSet;

/// An operation with its arguments.
#[derive(Debug)]
pub(crate) enum Operation {
    /// One that only reads.
    Query(Query),
    /// One that may change something.
    Change(Change),
}

/// Operations that only read.
#[derive(Debug)]
pub(crate) enum Query {
    Contains(String),
    Get(String),
    GetMany(Vec<String>),
    /// The keys from a bookmark on, or from the first.
    Keys(Option<u64>),
    ListRange(ListRange),
    SetIntersection(BTreeSet<String>),
    SetMembers(String),
    SetUnion(BTreeSet<String>),
}

/// Operations that may change something.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Delete(String),
    DeleteMany(Vec<String>),
    Increment(Increment),
    ListAdd(Item),
    ListClear(String),
    ListDelete(Item),
    Set(Set),
    SetMany(Vec<KeyValuePair>),
    SetAdd(Item),
    SetClear(String),
    SetDelete(Item),
    Swap(Swap),
}

/// A key and its value.
pub(crate) type KeyValuePair = (String, Vec<u8>);

/// Adds to the number under a key.
#[derive(Debug, Clone)]
pub(crate) struct Increment {
    pub(crate) key: String,
    pub(crate) by: i128,
    pub(crate) width: Width,
}

/// Which numbers a contract knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// Those of `wasmcloud:keyvalue`.
    I32,
    /// Counts of the first draft of `wasi:keyvalue`, without a sign.
    U64,
    /// Counts of its second draft, with a sign.
    I64,
}

/// Sets a value, if the one that is there is still the one that was seen.
#[derive(Debug, Clone)]
pub(crate) struct Swap {
    pub(crate) key: String,
    /// Its SHA-256; none where there was no value.
    pub(crate) seen: Option<Vec<u8>>,
    pub(crate) value: Vec<u8>,
}

/// Sets a value, for so many seconds, or 0 for ever.
#[derive(Debug, Clone)]
pub(crate) struct Set {
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) seconds: u32,
}

/// An item of a list, or a member of a set, under a key.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// A part of a list, both ends included; negative numbers count from its end.
#[derive(Debug)]
pub(crate) struct ListRange {
    pub(crate) key: String,
    pub(crate) start: i32,
    pub(crate) stop: i32,
}

/// The outcome of an operation.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Nothing,
    Yes(bool),
    Number(i128),
    Value(Option<Vec<u8>>),
    /// Whether the value was set, or else which one is there.
    Swapped(bool, Option<Vec<u8>>),
    /// Keys that were there, with their values, in the order in which they were asked for.
    Entries(Vec<Option<KeyValuePair>>),
    /// Keys, and the bookmark from which on there may be more.
    Keys(Vec<String>, Option<u64>),
    Items(Vec<String>),
}

impl Width {
    /// The least and the greatest.
    pub(crate) fn bounds(self) -> (i128, i128) {
        match self {
            Self::I32 => (i32::MIN.into(), i32::MAX.into()),
            Self::U64 => (0, u64::MAX.into()),
            Self::I64 => (i64::MIN.into(), i64::MAX.into()),
        }
    }

    /// The number, if it is one of these.
    pub(crate) fn check(self, number: i128) -> Option<i128> {
        let (least, most) = self.bounds();
        (least..=most).contains(&number).then_some(number)
    }
}
