//! Closes idle connections when an address has reached its limit of connections, so that a new client gets in.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::Notify;

/// Whether a new connection waits for room. All connections of an address share it.
#[derive(Default)]
pub(crate) struct Crowd {
    /// Whether a connection waits. Only the accepting task sets it.
    waits: AtomicBool,
    /// Notified when a connection waits, and when one becomes idle in that time.
    told: Notify,
}

/// A connection that waits for room, until this is dropped.
pub(crate) struct Waits<'a>(&'a Crowd);

impl Crowd {
    /// Asks idle connections to close. Several may do so, though one would be enough.
    pub(crate) fn wait(&self) -> Waits<'_> {
        self.waits.store(true, Relaxed);
        self.told.notify_waiters();
        Waits(self)
    }

    /// Says that a connection has become idle: it may be the one that closes.
    pub(crate) fn idle(&self) {
        if self.waits.load(Relaxed) {
            self.told.notify_waiters();
        }
    }

    /// Ends when room is asked for and the calling connection is idle.
    pub(crate) async fn asks(&self, is_idle: impl Fn() -> bool) {
        loop {
            // Registered before the check, so that no request for room in between is missed.
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
