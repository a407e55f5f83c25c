//! The limit of the memory of calls, and bytes that count against it.
//!
//! One permit of a semaphore is one byte. Nobody waits for memory: a call that finds none is
//! refused, because waiting calls would hold the memory of their messages.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// The memory of all calls of one direction, in bytes.
pub(super) struct Memory(Arc<Semaphore>);

/// Memory that is taken, until it is dropped.
pub(super) type Room = OwnedSemaphorePermit;

/// Bytes, together with the memory that they take. It is passed on until the bytes are no longer
/// used.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The bytes themselves. A clone of them does not keep the room.
    pub(super) bytes: Bytes,
    /// `None` for bytes that are counted elsewhere, such as a part of a message.
    room: Option<Room>,
}

impl Memory {
    /// All of it is free.
    pub(super) fn new(bytes: u32) -> Self {
        let permits = (bytes as usize).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(permits)))
    }

    /// Takes memory, if there is enough.
    ///
    /// # Errors
    ///
    /// `Overloaded`, at once.
    pub(super) fn reserve(&self, bytes: usize) -> Result<Room, Error> {
        let bytes = u32::try_from(bytes).map_err(|_| Error::Overloaded)?;
        let room = Arc::clone(&self.0).try_acquire_many_owned(bytes);
        room.map_err(|_| Error::Overloaded)
    }
}

impl Held {
    /// Adds room, which must be of the same memory: merging permits of two semaphores panics.
    pub(super) fn and(mut self, room: Room) -> Self {
        match &mut self.room {
            Some(held) => held.merge(room),
            None => self.room = Some(room),
        }
        self
    }

    /// Other bytes in the same room: the encoding of the first ones.
    pub(super) fn with(self, bytes: Bytes) -> Self {
        Self { bytes, ..self }
    }
}

impl From<Bytes> for Held {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, room: None }
    }
}
