//! The trait of a backend: records that are ordered by key.
//!
//! Backends of memory and file implement it directly. The backend of a lattice implements it by a
//! copy of single entries.

use std::ops::ControlFlow;

use exosuit_core::Error;

/// Called with the key and the value of each record. Returns whether to continue.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Error> + 'a;

/// Records that can be read, all as of one moment.
pub(crate) trait Read {
    /// The record of this key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Visits the records whose keys begin with `prefix`, in order, from `first` on.
    fn scan_from(&self, first: &[u8], prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error>;

    /// Visits all records whose keys begin with `prefix`, in order.
    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.scan_from(prefix, prefix, visit)
    }
}

/// Records that can be changed. Both functions return the former value.
pub(crate) trait Write: Read {
    /// Writes a record.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Removes a record.
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
