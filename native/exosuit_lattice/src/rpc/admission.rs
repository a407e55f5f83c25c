//! How many calls from the lattice run and wait on this host, and how much memory they may take.
//!
//! Two semaphores: `present` for calls that run or wait, `running` for those that run. A call takes
//! `present` without waiting, and waits for `running`. So the queue has a length, and a flood is
//! refused by one atomic operation.
//!
//! Calls that are nested in others take no turn of `running`. A host whose 256 calls each call
//! another actor over the lattice, and back, would otherwise wait for itself.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::CallOptions;
use super::memory::{Memory, Room};
use crate::Error;

/// The slots of calls from outside. One for a host, whatever it serves.
pub(super) struct Admission {
    running: Arc<Semaphore>,
    /// As many permits as calls may run and wait.
    present: Arc<Semaphore>,
    /// Of messages and of payloads that were fetched or unpacked.
    memory: Memory,
}

/// The slot of a call that runs or waits, with the memory of its message.
pub(super) struct CallSlot {
    _present: OwnedSemaphorePermit,
    _memory: Room,
    running: Arc<Semaphore>,
}

impl Admission {
    /// All slots are free.
    pub(super) fn new(options: &CallOptions) -> Self {
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            running: semaphore(options.concurrency),
            present: semaphore(options.concurrency.saturating_add(options.queue)),
            memory: Memory::new(options.memory),
        }
    }

    /// Takes a slot for a call of this size, if there is one.
    ///
    /// # Errors
    ///
    /// `Overloaded`, if there is no slot, or no memory for the message.
    pub(super) fn enter(&self, bytes: usize) -> Result<CallSlot, Error> {
        let present = Arc::clone(&self.present)
            .try_acquire_owned()
            .map_err(|_| Error::Overloaded)?;
        Ok(CallSlot {
            _present: present,
            _memory: self.memory.reserve(bytes)?,
            running: Arc::clone(&self.running),
        })
    }

    /// The memory of payloads beside their messages.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }
}

impl CallSlot {
    /// Waits until the call may run. The first to wait runs first.
    ///
    /// The deadline of the call bounds the wait, see `bounded` in `serving`.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        let turn = Arc::clone(&self.running).acquire_owned().await;
        turn.expect("the semaphore is never closed")
    }
}
