//! The trait of a backend: records that are ordered by key.

use std::ops::ControlFlow;

use exosuit_core::Error;

/// Sees a record, and says whether to go on.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Error> + 'a;

/// Records to read.
pub(crate) trait Read {
    /// The record of this key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Visits the records whose keys begin so, in order, `first` or what follows it first.
    fn scan_from(&self, first: &[u8], prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error>;

    /// Visits the records whose keys begin so, in order.
    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.scan_from(prefix, prefix, visit)
    }
}

/// Records to change. Both functions return the former value.
pub(crate) trait Write: Read {
    /// Puts a record.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Takes a record away.
    fn remove(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;
}

impl<R: Read + ?Sized> Read for &R {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        (**self).get(key)
    }

    fn scan_from(&self, first: &[u8], prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        (**self).scan_from(first, prefix, visit)
    }
}

impl<R: Read + ?Sized> Read for &mut R {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        (**self).get(key)
    }

    fn scan_from(&self, first: &[u8], prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        (**self).scan_from(first, prefix, visit)
    }
}
