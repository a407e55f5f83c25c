//! The operations of the store and their outcomes, independent of any contract.
//!
//! Both contracts decode to these types, so a rule is written once. `Query` and `Change` are two
//! types, because backends run them on different threads.

use std::collections::BTreeSet;

/// An operation with its arguments.
#[derive(Debug)]
pub(crate) enum Operation {
    /// One that only reads.
    Query(Query),
    /// One that may change something.
    Change(Change),
}

/// An operation that only reads.
#[derive(Debug)]
pub(crate) enum Query {
    Contains(String),
    Get(String),
    GetMany(Vec<String>),
    /// A page of keys: after this cursor, or the first one.
    Keys(Option<u64>),
    ListRange(ListRange),
    SetIntersection(BTreeSet<String>),
    SetMembers(String),
    SetUnion(BTreeSet<String>),
}

/// An operation that may change something.
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

/// The numbers that a contract knows. The same entry may be counted by several contracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// Those of `wasmcloud:keyvalue`.
    I32,
    /// Counts of the first draft of `wasi:keyvalue`, without a sign.
    U64,
    /// Counts of its second draft, with a sign.
    I64,
}

/// Sets a value, if the present one is still the one that was seen.
#[derive(Debug, Clone)]
pub(crate) struct Swap {
    pub(crate) key: String,
    /// The SHA-256 of the value that was seen; `None` if there was none.
    pub(crate) seen: Option<Vec<u8>>,
    pub(crate) value: Vec<u8>,
}

/// Sets a value that expires after this many seconds, or never for 0.
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

/// A part of a list, both ends included. Negative positions count from the end, −1 is the last
/// item.
#[derive(Debug)]
pub(crate) struct ListRange {
    pub(crate) key: String,
    pub(crate) start: i32,
    pub(crate) stop: i32,
}

/// The outcome of an operation.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The operation has no result.
    Nothing,
    /// Whether it was there, or was changed.
    Yes(bool),
    /// A sum, or the number of items.
    Number(i128),
    /// A value, if the key has one.
    Value(Option<Vec<u8>>),
    /// Whether the value was set; if not, the value that is there.
    Swapped(bool, Option<Vec<u8>>),
    /// The keys with their values, in the order in which they were asked for. `None` for a key
    /// without a value.
    Entries(Vec<Option<KeyValuePair>>),
    /// Keys, and the cursor of the next page, if there may be one.
    Keys(Vec<String>, Option<u64>),
    /// The items of a list, or the members of sets.
    Items(Vec<String>),
}

impl Width {
    /// The least and the greatest number.
    pub(crate) fn bounds(self) -> (i128, i128) {
        match self {
            Self::I32 => (i32::MIN.into(), i32::MAX.into()),
            Self::U64 => (0, u64::MAX.into()),
            Self::I64 => (i64::MIN.into(), i64::MAX.into()),
        }
    }

    /// The number, if it is within the bounds.
    pub(crate) fn check(self, number: i128) -> Option<i128> {
        let (least, most) = self.bounds();
        (least..=most).contains(&number).then_some(number)
    }
}
