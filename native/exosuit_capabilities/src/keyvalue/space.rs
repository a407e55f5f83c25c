//! The operations that read entries of a bucket.
//!
//! An entry is a head (`layout`), and records for its items if it is a list or a set. A value that has expired is
//! not there for any operation, whether its records were removed yet or not. Reads run under one snapshot, so that
//! an entry and its items belong together. Every answer is bounded before it is built: a guest must not have the
//! host collect more than the guest itself could hold.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use exosuit_core::{Code, Error};

use super::layout::{self, Head};
use super::limits::StoreLimits;
use super::operation::KeyValuePair;
use super::records::{Read, Visit};

/// The longest key in bytes.
const MAX_KEY: usize = 4_096;

/// The largest answer in bytes. A guest must not be sent more than it can hold.
const MAX_ANSWER: usize = 16 << 20;

/// The number of keys in a page.
const PAGE: usize = 1_000;

/// The number of keys that are read for one page. Some of them may have expired.
pub(crate) const MAX_SEEN: usize = 4 * PAGE;

/// The entries of one bucket, as they are at one moment.
pub(crate) struct Space<R> {
    /// A snapshot to read, or a transaction to change.
    pub(crate) records: R,
    pub(crate) bucket: Box<str>,
    pub(crate) limits: StoreLimits,
    /// The moment by which entries expire.
    pub(crate) now: u64,
}

impl<R: Read> Space<R> {
    /// Whether anything is under a key: a value, a list or a set.
    pub(crate) fn contains(&self, key: &str) -> Result<bool, Error> {
        Ok(self.head(key)?.is_some())
    }

    /// The value of a key. A list or a set there is an error, not an absent value.
    pub(crate) fn value(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.head(key)? {
            None => Ok(None),
            Some(Head::Value { value, .. }) => Ok(Some(value)),
            Some(other) => Err(conflict(&other, "value")),
        }
    }

    /// The values of several keys, in their order.
    ///
    /// # Errors
    ///
    /// `provider` if the answer would be larger than 16 MiB, or if a key has a list or set.
    pub(crate) fn entries(&self, keys: Vec<String>) -> Result<Vec<Option<KeyValuePair>>, Error> {
        let mut bytes = 0;
        let entry = |key: String| {
            let value = self.value(&key)?;
            bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            check_answer(bytes)?;
            Ok(value.map(|value| (key, value)))
        };
        keys.into_iter().map(entry).collect()
    }

    /// A page of keys, in order: those after this key, or the first ones. Values, lists and sets
    /// count.
    pub(crate) fn keys(&self, after: Option<&str>) -> Result<Page, Error> {
        let prefix = layout::heads_key(&self.bucket);
        let after = after.map(|key| layout::head_key(&self.bucket, key));
        let first = after.as_deref().unwrap_or(&prefix);
        let mut page = Page::default();
        self.records.scan_from(first, &prefix, &mut |key, head| {
            if after.as_deref() == Some(key) {
                return Ok(ControlFlow::Continue(()));
            }
            let key = layout::text(&key[prefix.len()..])?;
            Ok(page.see(key, Head::lives(head, self.now)?))
        })?;
        Ok(page)
    }

    /// The items of a list between two positions, both included. An absent list is empty. Positions beyond the ends
    /// are not an error.
    ///
    /// It costs the items up to `stop`.
    pub(crate) fn list_range(
        &self,
        key: &str,
        start: i32,
        stop: i32,
    ) -> Result<Vec<String>, Error> {
        let Some((_, count)) = self.list(key)? else {
            return Ok(Vec::new());
        };
        let (start, stop) = (from_end(start, count), from_end(stop, count));
        let mut items = Items::default();
        let mut at = 0;
        self.each_item(key, &mut |_, item| {
            if at > stop {
                return Ok(ControlFlow::Break(()));
            }
            if at >= start {
                items.push(item)?;
            }
            at += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(items.texts)
    }

    /// The members of a set, in their order as bytes.
    pub(crate) fn set_members(&self, key: &str) -> Result<Vec<String>, Error> {
        let mut items = Items::default();
        self.each_member(key, &mut |member| items.push(member))?;
        Ok(items.texts)
    }

    /// The members that all sets have. Walks through the smallest set, and looks each member up in the others.
    pub(crate) fn set_intersection<'a>(
        &self,
        keys: &'a BTreeSet<String>,
    ) -> Result<Vec<String>, Error> {
        let counted = |key: &'a String| Ok((self.set(key)?.unwrap_or(0), key));
        let counts = keys
            .iter()
            .map(counted)
            .collect::<Result<Vec<_>, Error>>()?;
        let (_, smallest) = counts.into_iter().min().ok_or_else(no_sets)?;
        let mut items = Items::default();
        self.each_member(smallest, &mut |member| {
            let mut in_all = true;
            for key in keys.iter().filter(|key| *key != smallest) {
                in_all = in_all && self.is_member(key, member)?;
            }
            if in_all { items.push(member) } else { Ok(()) }
        })?;
        Ok(items.texts)
    }

    /// The members of any of the sets, each once.
    pub(crate) fn set_union(&self, keys: &BTreeSet<String>) -> Result<Vec<String>, Error> {
        if keys.is_empty() {
            return Err(no_sets());
        }
        let mut seen = BTreeSet::new();
        let mut items = Items::default();
        for key in keys {
            self.each_member(key, &mut |member| {
                if seen.contains(member) {
                    return Ok(());
                }
                items.push(member)?;
                seen.insert(member.to_vec());
                Ok(())
            })?;
        }
        items.texts.sort_unstable();
        Ok(items.texts)
    }

    /// The head of an entry that has not expired.
    pub(super) fn head(&self, key: &str) -> Result<Option<Head>, Error> {
        Ok(self.stored(key)?.filter(|head| match head {
            Head::Value { expires, .. } => layout::unexpired(*expires, self.now),
            _ => true,
        }))
    }

    /// The head of an entry, expired or not.
    pub(super) fn stored(&self, key: &str) -> Result<Option<Head>, Error> {
        check_key(key)?;
        let record = self.records.get(&layout::head_key(&self.bucket, key))?;
        record.as_deref().map(Head::decode).transpose()
    }

    /// The next number and the count of a list.
    pub(super) fn list(&self, key: &str) -> Result<Option<(u64, u64)>, Error> {
        match self.head(key)? {
            None => Ok(None),
            Some(Head::List { next, count }) => Ok(Some((next, count))),
            Some(other) => Err(conflict(&other, "list")),
        }
    }

    /// The count of a set.
    pub(super) fn set(&self, key: &str) -> Result<Option<u64>, Error> {
        match self.head(key)? {
            None => Ok(None),
            Some(Head::Set { count }) => Ok(Some(count)),
            Some(other) => Err(conflict(&other, "set")),
        }
    }

    /// Whether a set has a member. False for any other key.
    pub(super) fn is_member(&self, key: &str, member: &[u8]) -> Result<bool, Error> {
        let record = layout::item_key(&self.bucket, key, member);
        Ok(self.records.get(&record)?.is_some())
    }

    /// Visits the members of a set; none if it is absent.
    fn each_member(
        &self,
        key: &str,
        visit: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.set(key)?.is_none() {
            return Ok(());
        }
        self.each_item(key, &mut |member, _| {
            visit(member)?;
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Visits the items of an entry: the part of the record's key that is the item's own, and the
    /// record's value.
    pub(super) fn each_item(&self, key: &str, visit: &mut Visit<'_>) -> Result<(), Error> {
        let prefix = layout::items_key(&self.bucket, key);
        self.records.scan(&prefix, &mut |record_key, record| {
            visit(&record_key[prefix.len()..], record)
        })
    }
}

/// A page of keys.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) keys: Vec<String>,
    /// Whether more may follow.
    pub(crate) more: bool,
    /// The last key that was read, expired or not. The next page begins after it.
    pub(crate) last: String,
    /// The number of keys that were read.
    seen: usize,
}

impl Page {
    /// Adds a key that was read. Ends the page when it is full, or when too many expired keys were
    /// read.
    fn see(&mut self, key: String, lives: bool) -> ControlFlow<()> {
        if self.keys.len() == PAGE || self.seen == MAX_SEEN {
            self.more = true;
            return ControlFlow::Break(());
        }
        self.seen += 1;
        self.last.clone_from(&key);
        if lives {
            self.keys.push(key);
        }
        ControlFlow::Continue(())
    }
}

/// The texts of one answer, with their size.
#[derive(Default)]
struct Items {
    texts: Vec<String>,
    bytes: usize,
}

impl Items {
    /// Adds a text. An error if the answer becomes too large.
    fn push(&mut self, item: &[u8]) -> Result<(), Error> {
        self.bytes += item.len() + size_of::<u32>();
        check_answer(self.bytes)?;
        self.texts.push(layout::text(item)?);
        Ok(())
    }
}

/// Refuses a key that is too long.
pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    if key.len() > MAX_KEY {
        return Err(too_long("a key", MAX_KEY));
    }
    Ok(())
}

/// Refuses an answer that would be too large.
fn check_answer(bytes: usize) -> Result<(), Error> {
    if bytes > MAX_ANSWER {
        let detail = format!("the answer would be longer than {MAX_ANSWER} bytes: ask for less");
        return Err(Error::new(Code::Provider, detail));
    }
    Ok(())
}

/// A position from the start: negative ones count from the end, -1 is the last item.
fn from_end(index: i32, count: u64) -> i64 {
    let index = i64::from(index);
    if index < 0 {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        count + index
    } else {
        index
    }
}

/// The error for an operation on another kind of entry.
pub(super) fn conflict(found: &Head, expected: &str) -> Error {
    let found = found.kind();
    Error::new(
        Code::Provider,
        format!("the key holds a {found}, and the operation is for a {expected}"),
    )
}

/// The error for a text that is too long.
pub(super) fn too_long(what: &str, most: usize) -> Error {
    Error::new(
        Code::InvalidInput,
        format!("{what} may have at most {most} bytes"),
    )
}

/// The error for a union or intersection of no sets.
fn no_sets() -> Error {
    Error::new(Code::InvalidInput, "at least one set must be named")
}
