//! An operation with all that it needs, to be carried out wherever the records are.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use exosuit_core::Error;

use super::changes;
use super::contract::{Change, ListRange, Operation, Query, Reply, Set};
use super::records::{Read, Write};
use super::space::Space;
use super::transaction::transact;

/// The time in milliseconds since 1970: expiry outlives the process.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a store may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bytes: u64,
    pub(crate) value_bytes: u64,
    pub(crate) items: u64,
}

/// Where an operation takes place.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) bucket: Box<str>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
}

/// An operation and its place.
pub(crate) struct Work {
    pub(crate) operation: Operation,
    pub(crate) place: Place,
}

/// The operating system's time.
pub(crate) fn system_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

impl Place {
    /// Carries out what only reads.
    pub(crate) fn ask(&self, query: Query, records: &dyn Read) -> Result<Bytes, Error> {
        let space = self.space(records);
        match query {
            Query::Contains(key) => space.contains(&key).map(Reply::Yes),
            Query::Get(key) => space.text(&key).map(Reply::Value),
            Query::ListRange(ListRange { list, start, stop }) => {
                space.list_range(&list, start, stop).map(Reply::Items)
            }
            Query::SetIntersection(keys) => space.set_intersection(&keys.0).map(Reply::Items),
            Query::SetMembers(key) => space.set_members(&key).map(Reply::Items),
            Query::SetUnion(keys) => space.set_union(&keys.0).map(Reply::Items),
        }
        .and_then(Reply::write)
    }

    /// Carries out what may change something, and clears away a little of what has expired.
    pub(crate) fn change(&self, change: Change, records: &mut dyn Write) -> Result<Bytes, Error> {
        let (max_bytes, now) = (self.limits.bytes, (self.clock)());
        // Apart from the change: a full store must get rid of what expired though the change fails.
        transact(records, max_bytes, |records| changes::purge(records, now))?;
        transact(records, max_bytes, |records| {
            apply(change, &mut self.space(records))
        })
        .and_then(Reply::write)
    }

    fn space<R>(&self, records: R) -> Space<R> {
        Space {
            records,
            bucket: self.bucket.clone(),
            limits: self.limits,
            now: (self.clock)(),
        }
    }
}

fn apply(change: Change, space: &mut Space<impl Write>) -> Result<Reply, Error> {
    match change {
        Change::Del(key) => space.delete(&key).map(Reply::Yes),
        Change::Increment(by) => space.increment(&by.key, by.value).map(Reply::Number),
        Change::ListAdd(item) => space.list_add(&item.list, &item.value).map(Reply::Count),
        Change::ListClear(key) => space.list_clear(&key).map(Reply::Yes),
        Change::ListDel(item) => space.list_delete(&item.list, &item.value).map(Reply::Yes),
        Change::Set(Set {
            key,
            value,
            expires,
        }) => space
            .set_text(&key, &value, expires)
            .map(|()| Reply::Nothing),
        Change::SetAdd(item) => space.set_add(&item.set, &item.value).map(Reply::Count),
        Change::SetClear(key) => space.set_clear(&key).map(Reply::Yes),
        Change::SetDel(item) => space.set_delete(&item.set, &item.value).map(Reply::Count),
    }
}
