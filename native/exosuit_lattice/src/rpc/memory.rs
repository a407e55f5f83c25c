//! The limit of the memory of calls, and bytes that count against it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// The memory of all calls of one direction.
pub(super) struct Memory(Arc<Semaphore>);

/// Reserved memory, until this is dropped.
pub(super) type Room = OwnedSemaphorePermit;

/// Bytes, with the memory that is reserved for them and for the values made of them.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    room: Option<Room>,
}

impl Memory {
    pub(super) fn new(bytes: u32) -> Self {
        let permits = (bytes as usize).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(permits)))
    }

    /// Reserves memory for this number of bytes, if there is enough.
    pub(super) fn reserve(&self, bytes: usize) -> Result<Room, Error> {
        let bytes = u32::try_from(bytes).map_err(|_| Error::Overloaded)?;
        let room = Arc::clone(&self.0).try_acquire_many_owned(bytes);
        room.map_err(|_| Error::Overloaded)
    }
}

impl Held {
    /// The same bytes with more reserved memory, which must be of the same `Memory`.
    pub(super) fn and(mut self, room: Room) -> Self {
        match &mut self.room {
            Some(held) => held.merge(room),
            None => self.room = Some(room),
        }
        self
    }

    /// Other bytes with the same reserved memory.
    pub(super) fn with(self, bytes: Bytes) -> Self {
        Self { bytes, ..self }
    }
}

impl From<Bytes> for Held {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, room: None }
    }
}
