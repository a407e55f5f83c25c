//! How many calls from the lattice run and wait on this host, and how much memory they may take.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::CallOptions;
use super::memory::{Memory, Room};
use crate::Error;

/// The places of calls. What has no place is refused at once: nothing waits outside.
pub(super) struct Admission {
    running: Arc<Semaphore>,
    present: Arc<Semaphore>,
    memory: Memory,
}

/// A call that runs or waits, with the memory of its message.
pub(super) struct Entry {
    _present: OwnedSemaphorePermit,
    _memory: Room,
    running: Arc<Semaphore>,
}

impl Admission {
    pub(super) fn new(options: &CallOptions) -> Self {
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            running: semaphore(options.concurrency),
            present: semaphore(options.concurrency.saturating_add(options.queue)),
            memory: Memory::new(options.memory),
        }
    }

    /// A place for a call of so many bytes, if there is one.
    pub(super) fn enter(&self, bytes: usize) -> Result<Entry, Error> {
        let present = Arc::clone(&self.present)
            .try_acquire_owned()
            .map_err(|_| Error::Overloaded)?;
        Ok(Entry {
            _present: present,
            _memory: self.memory.reserve(bytes)?,
            running: Arc::clone(&self.running),
        })
    }

    /// What payloads may take beside their messages.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }
}

impl Entry {
    /// Waits until the call may run, first come, first served.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        let turn = Arc::clone(&self.running).acquire_owned().await;
        turn.expect("the semaphore is never closed")
    }
}
