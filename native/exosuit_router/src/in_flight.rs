//! Counts the running calls, so that a host that stops can wait for the last one.
//!
//! A stop has two steps. `withdraw` tells the other hosts to send no more; calls that were on their way still run.
//! `drain` then refuses new calls from outside. Nested calls pass in both: a running request may need its store to
//! finish. Neither step can be undone.
//!
//! | state | entered by | other hosts | new calls from outside | nested calls |
//! |---|---|---|---|---|
//! | serving | | may call | pass | pass |
//! | withdrawn | `Router::withdraw` | are told to stop | pass | pass |
//! | draining | `Router::drain` | are told to stop | are refused | pass |

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The number of running calls, and whether the host stops.
///
/// All atomics have sequential order. Otherwise a call that ends could miss the task that waits,
/// while the task still counts the call.
#[derive(Default)]
pub(crate) struct InFlightCalls {
    /// Calls and streamed responses.
    count: AtomicUsize,
    /// New calls from outside are refused.
    draining: AtomicBool,
    /// Other hosts should send no more calls.
    withdrawn: AtomicBool,
    /// How many tasks wait for the last call. Usually none does, and then a call notifies nobody.
    watchers: AtomicUsize,
    idle: Notify,
}

/// A running call, until it is dropped.
pub(crate) struct InFlight<'a>(&'a InFlightCalls);

/// A call whose response still streams, until it is dropped.
pub(crate) struct InFlightResponse(Arc<InFlightCalls>);

/// A task that waits for the last call, until it is dropped.
///
/// A future that is dropped while it waits must not leave the number of watchers raised: each later
/// call would notify for nothing.
struct IdleWatcher<'a>(&'a InFlightCalls);

impl InFlightCalls {
    /// Counts a call. A call is counted before it may be refused, so that none starts unseen after
    /// a drain.
    ///
    /// If the check came first, a call could pass it, the drain could find a count of zero, and the
    /// call would start after that.
    pub(crate) fn enter(&self) -> InFlight<'_> {
        self.count.fetch_add(1, Ordering::SeqCst);
        InFlight(self)
    }

    /// Counts a call that continues after its carrier has got the answer.
    pub(crate) fn enter_long(self: &Arc<Self>) -> InFlightResponse {
        self.count.fetch_add(1, Ordering::SeqCst);
        InFlightResponse(Arc::clone(self))
    }

    /// Ends a call, and notifies the tasks that wait if it was the last one.
    ///
    /// The load of `watchers` comes after the decrement. A watcher raises `watchers` before it
    /// reads the count. So at least one of the two sees the other, as all of it has one order.
    fn leave(&self) {
        let last = self.count.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.watchers.load(Ordering::SeqCst) > 0 {
            self.idle.notify_waiters();
        }
    }

    /// Refuses new calls from outside.
    ///
    /// It cannot be undone.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether new calls from outside are refused.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Marks that other hosts should send no more.
    pub(crate) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::SeqCst);
    }

    /// Whether this host announces nothing to the others any more.
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::SeqCst)
    }

    /// The number of running calls.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until no call runs.
    ///
    /// The notification is subscribed before the count is read. `notify_waiters` stores nothing for
    /// later, and wakes those that were subscribed.
    pub(crate) async fn idle(&self) {
        self.watchers.fetch_add(1, Ordering::SeqCst);
        let _watcher = IdleWatcher(self);
        loop {
            let idle = self.idle.notified();
            if self.count() == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Drop for InFlightResponse {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Drop for IdleWatcher<'_> {
    fn drop(&mut self) {
        self.0.watchers.fetch_sub(1, Ordering::SeqCst);
    }
}
