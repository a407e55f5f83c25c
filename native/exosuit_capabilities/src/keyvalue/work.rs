//! Carries out an operation on records, wherever these are.
//!
//! `ask` and `change` are the only functions that know what an operation does. A backend gives them
//! records and decides on which thread they run.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use exosuit_core::{Error, Origin};

use super::bookmarks::Bookmarks;
use super::changes::{self, check_value};
use super::limits::StoreLimits;
use super::operation::{Change, ListRange, Operation, Outcome, Query, Set};
use super::records::{Read, Write};
use super::space::{Page, Space, check_key};
use super::transaction::{Transaction, transact};

/// The time of day in milliseconds since 1970. Expiry must outlive the process, so it cannot use a
/// monotonic clock.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The bucket of an operation, its limits, and its caller.
pub(crate) struct WorkContext {
    /// The bucket of the link, perhaps with one inside of it after a slash.
    pub(crate) bucket: Box<str>,
    /// The limits that hold for the link.
    pub(crate) limits: StoreLimits,
    pub(crate) clock: Clock,
    pub(crate) bookmarks: Arc<Bookmarks>,
    /// The actor that calls. Its cursors belong to it alone.
    pub(crate) caller: Origin,
}

/// An operation with everything that it needs.
pub(crate) struct Work {
    pub(crate) operation: Operation,
    pub(crate) context: WorkContext,
}

/// The operating system's time.
pub(crate) fn system_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

impl WorkContext {
    /// Carries out a query. The records must be one snapshot.
    pub(crate) fn ask(&self, query: Query, records: &dyn Read) -> Result<Outcome, Error> {
        let space = self.space(records);
        match query {
            Query::Contains(key) => space.contains(&key).map(Outcome::Yes),
            Query::Get(key) => space.value(&key).map(Outcome::Value),
            Query::GetMany(keys) => space.entries(keys).map(Outcome::Entries),
            Query::Keys(cursor) => self.keys(cursor, &space),
            Query::ListRange(ListRange { key, start, stop }) => {
                space.list_range(&key, start, stop).map(Outcome::Items)
            }
            Query::SetIntersection(keys) => space.set_intersection(&keys).map(Outcome::Items),
            Query::SetMembers(key) => space.set_members(&key).map(Outcome::Items),
            Query::SetUnion(keys) => space.set_union(&keys).map(Outcome::Items),
        }
    }

    /// Carries out a change, and removes a few expired entries.
    ///
    /// At most eight expired entries are removed, of any bucket.
    pub(crate) fn change(&self, change: Change, records: &mut dyn Write) -> Result<Outcome, Error> {
        let (limits, now) = (&self.limits, (self.clock)());
        // A transaction of its own: a full store must lose its expired entries even if the change fails.
        transact(records, limits, |records| changes::purge(records, now))?;
        transact(records, limits, |records| {
            apply(change, &mut self.space(records))
        })
    }

    /// Refuses a change that must fail whatever its entry holds. In a lattice, several entries are
    /// checked before the first one is written.
    pub(crate) fn check(&self, change: &Change) -> Result<(), Error> {
        let check = |key: &str, value: &[u8]| {
            check_key(key)?;
            check_value(&self.limits, value)
        };
        match change {
            Change::Set(set) => check(&set.key, &set.value),
            Change::Swap(swap) => check(&swap.key, &swap.value),
            Change::SetMany(entries) => entries
                .iter()
                .try_for_each(|(key, value)| check(key, value)),
            Change::DeleteMany(keys) => keys.iter().try_for_each(|key| check_key(key)),
            _ => Ok(()),
        }
    }

    /// The key after which a page begins. `invalid_input` for a cursor that is not known.
    pub(crate) fn after(&self, cursor: Option<u64>) -> Result<Option<String>, Error> {
        cursor
            .map(|cursor| self.bookmarks.get(&self.caller, &self.bucket, cursor))
            .transpose()
    }

    /// A page of keys, with a cursor if there may be more.
    fn keys(&self, cursor: Option<u64>, space: &Space<impl Read>) -> Result<Outcome, Error> {
        let after = self.after(cursor)?;
        let Page {
            keys, more, last, ..
        } = space.keys(after.as_deref())?;
        let next = more.then(|| self.bookmarks.put(&self.caller, &self.bucket, last));
        Ok(Outcome::Keys(keys, next))
    }

    /// The entries of the bucket at this moment.
    fn space<R>(&self, records: R) -> Space<R> {
        Space {
            records,
            bucket: self.bucket.clone(),
            limits: self.limits,
            now: (self.clock)(),
        }
    }
}

/// Carries out a change within its transaction.
fn apply(change: Change, space: &mut Space<&mut Transaction<'_>>) -> Result<Outcome, Error> {
    match change {
        Change::Delete(key) => space.delete(&key).map(Outcome::Yes),
        Change::DeleteMany(keys) => space.delete_all(&keys).map(nothing),
        Change::Increment(by) => space.increment(&by).map(Outcome::Number),
        Change::ListAdd(item) => space.list_add(&item.key, &item.value).map(count),
        Change::ListClear(key) => space.list_clear(&key).map(Outcome::Yes),
        Change::ListDelete(item) => space.list_delete(&item.key, &item.value).map(Outcome::Yes),
        Change::Set(Set {
            key,
            value,
            seconds,
        }) => space.put(&key, value, seconds).map(nothing),
        Change::SetMany(entries) => space.put_all(entries).map(nothing),
        Change::SetAdd(item) => space.set_add(&item.key, &item.value).map(count),
        Change::SetClear(key) => space.set_clear(&key).map(Outcome::Yes),
        Change::SetDelete(item) => space.set_delete(&item.key, &item.value).map(count),
        Change::Swap(swap) => space.swap(swap),
    }
}

/// No result.
fn nothing((): ()) -> Outcome {
    Outcome::Nothing
}

/// A count as a result.
fn count(count: u32) -> Outcome {
    Outcome::Number(count.into())
}
