//! The bounds of a payload.

use crate::Error;
use crate::rpc::memory::{Held, Memory};

/// The largest payload, and the memory that it is gathered in.
#[derive(Clone, Copy)]
pub(in crate::rpc) struct PayloadLimits<'a> {
    /// The largest payload in bytes on the wire.
    pub(in crate::rpc) largest: u32,
    /// The memory that bodies are gathered in, and values unpacked in.
    pub(in crate::rpc) memory: &'a Memory,
}

impl PayloadLimits<'_> {
    /// Passes an encoded payload on, if it is not too large.
    pub(super) fn check(&self, held: Held) -> Result<Held, Error> {
        self.fits(held.bytes.len())?;
        Ok(held)
    }

    /// `TooLarge` past the limit.
    pub(super) fn fits(&self, size: usize) -> Result<(), Error> {
        let (size, limit) = (size as u64, u64::from(self.largest));
        if size <= limit {
            return Ok(());
        }
        let what = "payload";
        Err(Error::TooLarge { what, size, limit })
    }
}
