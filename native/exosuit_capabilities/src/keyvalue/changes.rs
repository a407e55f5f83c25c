//! The operations that change entries of a bucket.
//!
//! Each works in a transaction, so an error in the middle leaves nothing behind. An operation on another kind of
//! entry is an error, except `put`, which replaces whatever is there.
//!
//! Expired values are removed by other changes, a few at a time ([`purge`]), by an index that is ordered by time. No
//! timer does it: a store that nobody changes does not grow.
//!
//! | operation | value | list | set | nothing |
//! |---|---|---|---|---|
//! | `put`, `put_all` | replaces | replaces | replaces | creates |
//! | `increment` | adds, keeps the expiry | error | error | creates, from 0 |
//! | `swap` | compares | error | error | compares with nothing |
//! | `list_add` | error | appends | error | creates |
//! | `set_add` | error | error | adds | creates |
//! | `delete` | removes | removes | removes | nothing |
//! | `list_clear`, `set_clear` | error | their own kind | their own kind | nothing |

use std::ops::ControlFlow;

use exosuit_core::{Code, Error};
use sha2::{Digest as _, Sha256};

use super::layout::{self, EXPIRY, Head};
use super::limits::StoreLimits;
use super::operation::{Increment, KeyValuePair, Outcome, Swap, Width};
use super::records::Read;
use super::space::{Space, conflict, too_long};
use super::transaction::Transaction;

/// The longest member of a set in bytes. It is part of a record's key.
const MAX_MEMBER: usize = 65_536;

/// The number of expired entries that one change removes.
const PURGE: usize = 8;

impl Space<&mut Transaction<'_>> {
    /// Removes an entry of any kind. Returns whether it was there.
    pub(crate) fn delete(&mut self, key: &str) -> Result<bool, Error> {
        let there = self.contains(key)?;
        self.clear(key)?;
        Ok(there)
    }

    /// Removes several entries. Absent ones are not an error.
    pub(crate) fn delete_all(&mut self, keys: &[String]) -> Result<(), Error> {
        keys.iter().try_for_each(|key| self.clear(key))
    }

    /// Adds to a number. Numbers are stored as text, so that each contract can read what another has counted.
    pub(crate) fn increment(&mut self, by: &Increment) -> Result<i128, Error> {
        let Increment { key, by, width } = by;
        let (expires, before) = match self.head(key)? {
            None => (0, 0),
            Some(Head::Value { expires, value }) => (expires, number(&value, *width)?),
            Some(other) => return Err(conflict(&other, "value")),
        };
        let after = width
            .check(before + by)
            .ok_or_else(|| outside(*width, "the sum is outside"))?;
        let value = after.to_string().into_bytes();
        self.check_value(&value)?;
        self.replace(key, &Head::Value { expires, value })?;
        Ok(after)
    }

    /// Sets a value that does not expire, if the current value is still the one that was seen.
    ///
    /// The comparison and the write are one step of the backend, so `cas` of a component holds
    /// between hosts, too.
    pub(crate) fn swap(&mut self, swap: Swap) -> Result<Outcome, Error> {
        let Swap { key, seen, value } = swap;
        let now = self.value(&key)?;
        let digest = now.as_ref().map(|value| Sha256::digest(value).to_vec());
        if digest != seen {
            return Ok(Outcome::Swapped(false, now));
        }
        self.put(&key, value, 0)?;
        Ok(Outcome::Swapped(true, None))
    }

    /// Sets a value that expires after so many seconds, or never for 0.
    pub(crate) fn put(&mut self, key: &str, value: Vec<u8>, seconds: u32) -> Result<(), Error> {
        self.check_value(&value)?;
        let expires = match seconds {
            0 => 0,
            seconds => self.now.saturating_add(u64::from(seconds) * 1_000),
        };
        self.clear(key)?;
        self.replace(key, &Head::Value { expires, value })
    }

    /// Sets several values that do not expire. Of equal keys the last one counts.
    pub(crate) fn put_all(&mut self, entries: Vec<KeyValuePair>) -> Result<(), Error> {
        let mut entries = entries.into_iter();
        entries.try_for_each(|(key, value)| self.put(&key, value, 0))
    }

    /// Adds an item at the end of a list, which is made if it is absent. Returns its length.
    pub(crate) fn list_add(&mut self, key: &str, value: &str) -> Result<u32, Error> {
        self.check_value(value.as_bytes())?;
        let (next, count) = self.list(key)?.unwrap_or((0, 0));
        self.check_count(count)?;
        let item = layout::item_key(&self.bucket, key, &next.to_be_bytes());
        self.records.put(&item, value.as_bytes())?;
        let (next, count) = (next + 1, count + 1);
        self.replace(key, &Head::List { next, count })?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Removes the first item with this text. Reads the list up to it.
    ///
    /// It costs the items before it, as a list is not indexed by text.
    pub(crate) fn list_delete(&mut self, key: &str, value: &str) -> Result<bool, Error> {
        let Some((next, count)) = self.list(key)? else {
            return Ok(false);
        };
        let mut found = None;
        self.each_item(key, &mut |number, item| {
            if item != value.as_bytes() {
                return Ok(ControlFlow::Continue(()));
            }
            found = Some(number.to_vec());
            Ok(ControlFlow::Break(()))
        })?;
        let Some(number) = found else {
            return Ok(false);
        };
        let count = count.saturating_sub(1);
        self.remove_item(key, &number, &Head::List { next, count }, count)?;
        Ok(true)
    }

    /// Removes a list. Returns whether it was there.
    pub(crate) fn list_clear(&mut self, key: &str) -> Result<bool, Error> {
        let there = self.list(key)?.is_some();
        self.clear(key)?;
        Ok(there)
    }

    /// Adds a member to a set, which is made if it is absent. Returns 1, or 0 for a member that it has.
    pub(crate) fn set_add(&mut self, key: &str, member: &str) -> Result<u32, Error> {
        if member.len() > MAX_MEMBER {
            return Err(too_long("a member of a set", MAX_MEMBER));
        }
        let count = self.set(key)?.unwrap_or(0);
        if self.is_member(key, member.as_bytes())? {
            return Ok(0);
        }
        self.check_count(count)?;
        let record = layout::item_key(&self.bucket, key, member.as_bytes());
        self.records.put(&record, &[])?;
        self.replace(key, &Head::Set { count: count + 1 })?;
        Ok(1)
    }

    /// Removes a member. Returns 1, or 0 if there was none.
    pub(crate) fn set_delete(&mut self, key: &str, member: &str) -> Result<u32, Error> {
        let Some(count) = self.set(key)? else {
            return Ok(0);
        };
        if !self.is_member(key, member.as_bytes())? {
            return Ok(0);
        }
        let count = count.saturating_sub(1);
        self.remove_item(key, member.as_bytes(), &Head::Set { count }, count)?;
        Ok(1)
    }

    /// Removes a set. Returns whether it was there.
    pub(crate) fn set_clear(&mut self, key: &str) -> Result<bool, Error> {
        let there = self.set(key)?.is_some();
        self.clear(key)?;
        Ok(there)
    }

    /// Removes the record of an item, and counts it in the head.
    fn remove_item(&mut self, key: &str, item: &[u8], head: &Head, left: u64) -> Result<(), Error> {
        let record = layout::item_key(&self.bucket, key, item);
        self.records.remove(&record)?;
        // As in Redis, an empty list or set is none at all.
        if left == 0 {
            self.clear(key)
        } else {
            self.replace(key, head)
        }
    }

    /// Writes a head in place of the present one, and moves its entry in the expiry index.
    fn replace(&mut self, key: &str, head: &Head) -> Result<(), Error> {
        let head_key = layout::head_key(&self.bucket, key);
        let before = self.records.put(&head_key, &head.encode())?;
        let before = before.map(Head::expiry).transpose()?;
        if let Some(index) = before.and_then(|expires| index_of(expires, &head_key)) {
            self.records.remove(&index)?;
        }
        if let Some(index) = index_of(head.expires(), &head_key) {
            self.records.put(&index, &[])?;
        }
        Ok(())
    }

    /// Removes an entry with its items and its place in the expiry index. It costs the number of
    /// items.
    fn clear(&mut self, key: &str) -> Result<(), Error> {
        let Some(head) = self.stored(key)? else {
            return Ok(());
        };
        let head_key = layout::head_key(&self.bucket, key);
        let mut records: Vec<_> = index_of(head.expires(), &head_key).into_iter().collect();
        if !matches!(head, Head::Value { .. }) {
            self.each_item(key, &mut |item, _| {
                records.push(layout::item_key(&self.bucket, key, item));
                Ok(ControlFlow::Continue(()))
            })?;
        }
        records.push(head_key);
        for record in &records {
            self.records.remove(record)?;
        }
        Ok(())
    }

    /// Refuses a value that is too long.
    fn check_value(&self, value: &[u8]) -> Result<(), Error> {
        check_value(&self.limits, value)
    }

    /// Refuses one more item of a list or set that is full.
    fn check_count(&self, count: u64) -> Result<(), Error> {
        let most = self.limits.items;
        if count >= most {
            let detail = format!("a list or set may have {most} items (max_items)");
            return Err(Error::new(Code::Provider, detail));
        }
        Ok(())
    }
}

/// Refuses a value that is too long.
pub(crate) fn check_value(limits: &StoreLimits, value: &[u8]) -> Result<(), Error> {
    let most = usize::try_from(limits.value_bytes).unwrap_or(usize::MAX);
    if value.len() > most {
        return Err(too_long("a value", most));
    }
    Ok(())
}

/// Removes a few expired entries, of any bucket.
pub(crate) fn purge(records: &mut Transaction<'_>, now: u64) -> Result<(), Error> {
    let mut expired = Vec::new();
    each_expired(records, now, &mut |key, head_key| {
        expired.extend([key.to_vec(), head_key.to_vec()]);
    })?;
    for key in &expired {
        records.remove(key)?;
    }
    Ok(())
}

/// Visits the entries that `purge` would remove: the key in the expiry index, and the key of the
/// head. The index is ordered by time, so only expired entries are read.
pub(crate) fn each_expired(
    records: &impl Read,
    now: u64,
    visit: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<(), Error> {
    let mut count = 0;
    records.scan(EXPIRY, &mut |key, _| {
        let (at, head_key) = layout::split_expiry_key(key)?;
        if at > now || count == PURGE {
            return Ok(ControlFlow::Break(()));
        }
        count += 1;
        visit(key, head_key);
        Ok(ControlFlow::Continue(()))
    })
}

/// The key of the expiry index for an entry, if it expires.
fn index_of(expires: u64, head_key: &[u8]) -> Option<Vec<u8>> {
    (expires > 0).then(|| layout::expiry_key(expires, head_key))
}

/// The number in a value, as text, within the bounds of the contract.
fn number(value: &[u8], width: Width) -> Result<i128, Error> {
    let number = std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok());
    number
        .and_then(|number| width.check(number))
        .ok_or_else(|| outside(width, "the value is not a whole number within"))
}

/// The error for a number outside of a contract's bounds.
fn outside(width: Width, what: &str) -> Error {
    let (least, most) = width.bounds();
    let detail = format!("{what} the bounds of this contract, {least} to {most}");
    Error::new(Code::Provider, detail)
}
