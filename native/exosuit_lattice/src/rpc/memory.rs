//! How much memory calls may take, and bytes that take their part of it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// So many bytes for all calls of one direction.
pub(super) struct Memory(Arc<Semaphore>);

/// Room that is taken, until it is dropped.
pub(super) type Room = OwnedSemaphorePermit;

/// Bytes, with the room that they and what becomes of them take.
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

    /// Room for so many bytes more, if there is any.
    pub(super) fn reserve(&self, bytes: usize) -> Result<Room, Error> {
        let bytes = u32::try_from(bytes).map_err(|_| Error::Overloaded)?;
        let room = Arc::clone(&self.0).try_acquire_many_owned(bytes);
        room.map_err(|_| Error::Overloaded)
    }
}

impl Held {
    /// The same, with more room, which must be of the same memory.
    pub(super) fn and(mut self, room: Room) -> Self {
        match &mut self.room {
            Some(held) => held.merge(room),
            None => self.room = Some(room),
        }
        self
    }

    /// Other bytes in the same room.
    pub(super) fn with(self, bytes: Bytes) -> Self {
        Self { bytes, ..self }
    }
}

impl From<Bytes> for Held {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, room: None }
    }
}
