//! Atomic changes, within the byte limits of the store and of each bucket.
//!
//! Every backend changes its records through this. Usage is counted in records of their own, so that it survives a
//! restart, and is updated in the same step as the data. A limit that was lowered below the usage refuses growth, and
//! lets everything shrink: a full store can always be emptied.
//!
//! The size of a record is that of its key and value, and 64 bytes. A change adds up the sizes of
//! what it wrote and removed, per bucket, and compares once, at its end. So an operation may grow
//! in one place and shrink in another.

use std::collections::BTreeMap;

use exosuit_core::{Code, Error};

use super::layout::{self, USAGE};
use super::limits::StoreLimits;
use super::records::{Read, Visit, Write};

/// The rough overhead of a record, in memory and on disk.
const RECORD_BYTES: usize = 64;

/// Changes that are undone unless all of them succeed.
///
/// Several transactions share one commit of the file. So the file cannot undo a single one, and this does.
pub(crate) struct Transaction<'a> {
    records: &'a mut dyn Write,
    /// The former value of each record that was changed, in order.
    undo: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The bytes that were added or removed, by the bucket of a link.
    growth: BTreeMap<Vec<u8>, i64>,
}

/// Runs `job`; an error, or growth past the limits, leaves the records as they were.
///
/// # Errors
///
/// That of `job`, or `provider` if the store or a bucket is full.
pub(crate) fn transact<T>(
    records: &mut dyn Write,
    limits: &StoreLimits,
    job: impl FnOnce(&mut Transaction<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut transaction = Transaction {
        records,
        undo: Vec::new(),
        growth: BTreeMap::new(),
    };
    let done = job(&mut transaction).and_then(|done| {
        transaction.account(limits)?;
        Ok(done)
    });
    if done.is_err() {
        transaction.roll_back()?;
    }
    done
}

/// The store is full.
pub(crate) fn full(max_bytes: u64) -> Error {
    let detail = format!("the key-value store is full: max_bytes is {max_bytes}");
    Error::new(Code::Provider, detail)
}

/// A bucket is full, although the store may have room.
fn bucket_full(bucket: &[u8], most: u64) -> Error {
    let bucket = String::from_utf8_lossy(bucket);
    let detail = format!("the bucket {bucket} is full: max_bucket_bytes is {most}");
    Error::new(Code::Provider, detail)
}

impl Transaction<'_> {
    /// Puts a record. Returns the one that was there, which may be large and is not copied.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Option<&[u8]>, Error> {
        let before = self.records.put(key, value)?;
        self.changed(key, before, Some(value))?;
        Ok(self.undo.last().and_then(|(_, before)| before.as_deref()))
    }

    /// Takes a record away.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Result<(), Error> {
        match self.records.remove(key)? {
            None => Ok(()),
            before => self.changed(key, before, None),
        }
    }

    /// Growth must stay within the limits. Shrinking is always allowed, also beyond the current limits.
    fn account(&mut self, limits: &StoreLimits) -> Result<(), Error> {
        let total: i64 = self.growth.values().sum();
        let after = self.usage(USAGE)?.saturating_add_signed(total);
        if total > 0 && after > limits.bytes {
            return Err(full(limits.bytes));
        }
        let mut counts = vec![(USAGE.to_vec(), after)];
        for (bucket, growth) in &self.growth {
            let key = layout::usage_key(bucket);
            let after = self.usage(&key)?.saturating_add_signed(*growth);
            if *growth > 0 && after > limits.bucket_bytes {
                return Err(bucket_full(bucket, limits.bucket_bytes));
            }
            counts.push((key, after));
        }
        if self.growth.values().any(|growth| *growth != 0) {
            for (key, count) in counts {
                self.records.put(&key, &count.to_be_bytes())?;
            }
        }
        Ok(())
    }

    /// A count of bytes in use; 0 if nothing was counted yet.
    fn usage(&self, key: &[u8]) -> Result<u64, Error> {
        let record = self.records.get(key)?;
        record.map_or(Ok(0), |record| layout::number(&record))
    }

    /// Restores the former records, the last change first. This can fail only if the disk fails. Then the commit
    /// of the whole batch fails as well.
    fn roll_back(&mut self) -> Result<(), Error> {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(value) => self.records.put(&key, &value)?,
                None => self.records.remove(&key)?,
            };
        }
        Ok(())
    }

    /// Notes a change: for the undo, and for the usage.
    fn changed(
        &mut self,
        key: &[u8],
        before: Option<Vec<u8>>,
        after: Option<&[u8]>,
    ) -> Result<(), Error> {
        let size = |value: &[u8]| (key.len() + value.len() + RECORD_BYTES).cast_signed() as i64;
        let bucket = layout::bucket_of(key)?.to_vec();
        let growth = after.map_or(0, size) - before.as_deref().map_or(0, size);
        self.undo.push((key.to_vec(), before));
        *self.growth.entry(bucket).or_default() += growth;
        Ok(())
    }
}

impl Read for Transaction<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.records.get(key)
    }

    fn scan_from(&self, first: &[u8], prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.records.scan_from(first, prefix, visit)
    }
}
