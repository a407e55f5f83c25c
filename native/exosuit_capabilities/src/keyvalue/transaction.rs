//! All or nothing, within the bytes that the store may take.

use exosuit_core::{Code, Error};

use super::layout::{self, USAGE};
use super::records::{Read, Visit, Write};

/// What a record takes besides its bytes, about, in memory and in a tree on disk.
const RECORD_BYTES: usize = 64;

/// Changes that are taken back unless all of them go well.
///
/// Several of these share one commit of the file, so that taking one back cannot be left to it.
pub(crate) struct Transaction<'a> {
    records: &'a mut dyn Write,
    undo: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    growth: i64,
}

/// Runs `job`; an error, or growth past `max_bytes`, leaves the records as they were.
pub(crate) fn transact<T>(
    records: &mut dyn Write,
    max_bytes: u64,
    job: impl FnOnce(&mut Transaction<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut transaction = Transaction {
        records,
        undo: Vec::new(),
        growth: 0,
    };
    let done = job(&mut transaction).and_then(|done| {
        transaction.account(max_bytes)?;
        Ok(done)
    });
    if done.is_err() {
        transaction.roll_back()?;
    }
    done
}

/// The error of a store that has no room.
pub(crate) fn full(max_bytes: u64) -> Error {
    let detail = format!("the key-value store is full: max_bytes is {max_bytes}");
    Error::new(Code::Provider, detail)
}

impl Transaction<'_> {
    fn account(&mut self, max_bytes: u64) -> Result<(), Error> {
        if self.growth == 0 {
            return Ok(());
        }
        let before = match self.records.get(USAGE)? {
            Some(record) => layout::number(&record)?,
            None => 0,
        };
        let after = before.saturating_add_signed(self.growth);
        if self.growth > 0 && after > max_bytes {
            return Err(full(max_bytes));
        }
        self.records.put(USAGE, &after.to_be_bytes()).map(drop)
    }

    fn roll_back(&mut self) -> Result<(), Error> {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(value) => self.records.put(&key, &value)?,
                None => self.records.remove(&key)?,
            };
        }
        Ok(())
    }

    fn changed(&mut self, key: &[u8], before: Option<Vec<u8>>, after: Option<&[u8]>) {
        let size = |value: &[u8]| (key.len() + value.len() + RECORD_BYTES).cast_signed() as i64;
        self.growth += after.map_or(0, size) - before.as_deref().map_or(0, size);
        self.undo.push((key.to_vec(), before));
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

impl Write for Transaction<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let before = self.records.put(key, value)?;
        self.changed(key, before.clone(), Some(value));
        Ok(before)
    }

    fn remove(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let before = self.records.remove(key)?;
        if before.is_some() {
            self.changed(key, before.clone(), None);
        }
        Ok(before)
    }
}
