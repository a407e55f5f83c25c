//! What a payload may be and take.

use crate::Error;
use crate::rpc::memory::{Held, Memory};

/// How large a payload may be, and whose memory it takes.
#[derive(Clone, Copy)]
pub(in crate::rpc) struct Terms<'a> {
    /// How many bytes it may have on the wire.
    pub(in crate::rpc) largest: u32,
    /// Where the room for what is gathered or unpacked comes from.
    pub(in crate::rpc) memory: &'a Memory,
}

impl Terms<'_> {
    pub(super) fn check(&self, held: Held) -> Result<Held, Error> {
        self.fits(held.bytes.len())?;
        Ok(held)
    }

    pub(super) fn fits(&self, size: usize) -> Result<(), Error> {
        let (size, limit) = (size as u64, u64::from(self.largest));
        if size <= limit {
            return Ok(());
        }
        let what = "payload";
        Err(Error::TooLarge { what, size, limit })
    }
}
