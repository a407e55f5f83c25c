//! The calls under way, and the end of them when the host stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts calls. All its atomics are in one order, so that of a call that ends and one who waits
/// for that, one sees the other.
#[derive(Default)]
pub(crate) struct Flights {
    count: AtomicUsize,
    draining: AtomicBool,
    /// The other hosts are to send no more.
    withdrawn: AtomicBool,
    /// How many wait for the last call; most of the time none, and then no call pays for them.
    watchers: AtomicUsize,
    idle: Notify,
}

/// A call under way, until it is dropped.
pub(crate) struct Flight<'a>(&'a Flights);

/// A call whose response is still coming, until it is dropped.
pub(crate) struct LongFlight(Arc<Flights>);

struct Watcher<'a>(&'a Flights);

impl Flights {
    /// Counted before it is known whether it is refused: none slips through between the two.
    pub(crate) fn enter(&self) -> Flight<'_> {
        self.count.fetch_add(1, Ordering::SeqCst);
        Flight(self)
    }

    /// For a call that goes on when the one who carried it has its answer.
    pub(crate) fn enter_long(self: &Arc<Self>) -> LongFlight {
        self.count.fetch_add(1, Ordering::SeqCst);
        LongFlight(Arc::clone(self))
    }

    fn leave(&self) {
        let last = self.count.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.watchers.load(Ordering::SeqCst) > 0 {
            self.idle.notify_waiters();
        }
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    pub(crate) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::SeqCst)
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until there is none.
    pub(crate) async fn idle(&self) {
        self.watchers.fetch_add(1, Ordering::SeqCst);
        let _watcher = Watcher(self);
        loop {
            let idle = self.idle.notified();
            if self.count() == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Drop for LongFlight {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        self.0.watchers.fetch_sub(1, Ordering::SeqCst);
    }
}
