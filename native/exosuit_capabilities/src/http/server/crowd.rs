//! Closes idle connections when an address has reached its limit of connections.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::Notify;

/// Whether a connection waits for room.
#[derive(Default)]
pub(crate) struct Crowd {
    waits: AtomicBool,
    told: Notify,
}

/// A connection that waits, until it is dropped.
pub(crate) struct Waits<'a>(&'a Crowd);

impl Crowd {
    /// Asks for room.
    pub(crate) fn wait(&self) -> Waits<'_> {
        self.waits.store(true, Relaxed);
        self.told.notify_waiters();
        Waits(self)
    }

    /// A connection is used no more: it may be the one that goes.
    pub(crate) fn idle(&self) {
        if self.waits.load(Relaxed) {
            self.told.notify_waiters();
        }
    }

    /// Waits until room is asked for while a connection is idle.
    pub(crate) async fn asks(&self, is_idle: impl Fn() -> bool) {
        loop {
            let told = self.told.notified();
            if self.waits.load(Relaxed) && is_idle() {
                return;
            }
            told.await;
        }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waits.store(false, Relaxed);
    }
}
