//! The memory that the bodies of requests and answers may take on one address, with a share for each client.
//!
//! Waiting cannot deadlock: a task that waits for bytes holds none, and takes all of them at once when they are
//! free. Smaller requests are served in the meantime, and every wait ends at its timeout.
//!
//! ```text
//! whole budget of the address          max_buffered_bytes
//! ├── share of client A                half of it, or the largest body
//! └── share of client B
//! ```
//!
//! Taking bytes from a share takes them from the whole as well, under one lock, so nobody holds
//! only one of the two. Bytes are counted in KiB. A body that is announced takes nothing: only
//! bytes in memory count.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{error::Elapsed, timeout};

/// The unit of the budget: a semaphore counts up to 2⁶¹, and a permit is taken in 32 bits.
const UNIT: u64 = 1_024;

/// The bytes that an address, or one of its clients, may hold at a time.
#[derive(Clone)]
pub(crate) struct Budget {
    /// The units that are free.
    free: Arc<Semaphore>,
    /// All units of this budget.
    units: usize,
    /// The parent budget: bytes that this share takes are taken there as well.
    whole: Option<Arc<Budget>>,
    changes: Arc<Changes>,
}

/// The common part of a budget and its shares.
#[derive(Default)]
struct Changes {
    /// Locked while bytes are taken from a share and from the whole, so that a task gets both or none.
    taking: Mutex<()>,
    /// Notified whenever bytes become free.
    freed: Notify,
}

/// Bytes taken from the budget, until they are dropped. None by default.
///
/// Dropping it notifies those who wait.
#[derive(Default)]
pub(crate) struct Held {
    own: Option<OwnedSemaphorePermit>,
    /// The same number of bytes, taken from the whole budget.
    whole: Option<OwnedSemaphorePermit>,
    changes: Option<Arc<Changes>>,
}

/// Bytes that are waited for.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Result<Held, Elapsed>> + Send>>;

impl Budget {
    /// A budget of its own.
    pub(crate) fn new(bytes: u64) -> Self {
        let units = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(Semaphore::MAX_PERMITS);
        let units = units.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(units)),
            units,
            whole: None,
            changes: Arc::default(),
        }
    }

    /// The budget of one client: at most so many bytes, which also count in the whole.
    pub(crate) fn share(self: &Arc<Self>, bytes: u64) -> Self {
        Self {
            whole: Some(Arc::clone(self)),
            changes: Arc::clone(&self.changes),
            ..Self::new(bytes)
        }
    }

    /// Raises the held bytes to `bytes` in total. If that many are not free, changes nothing and returns false.
    pub(crate) fn raise(&self, held: &mut Held, bytes: u64) -> bool {
        let Some(missing) = missing(held, bytes) else {
            return true;
        };
        let Some(more) = self.try_take(missing) else {
            return false;
        };
        held.add(more);
        true
    }

    /// Counts bytes that are in memory already. If they are more than the whole budget, they take all of it:
    /// otherwise such an answer could never be sent.
    pub(crate) fn count(&self, held: &mut Held, bytes: u64) -> bool {
        self.raise(held, self.at_most(bytes))
    }

    /// Waits until that many bytes are free, at most for `longest`. The caller must hold none, or
    /// two that wait could wait for each other.
    pub(crate) fn wait(&self, bytes: u64, longest: Duration) -> Waiting {
        let wanted = missing(&Held::default(), self.at_most(bytes));
        let budget = self.clone();
        Box::pin(timeout(longest, async move {
            match wanted {
                Some(units) => budget.take(units).await,
                None => Held::default(),
            }
        }))
    }

    /// Takes units as soon as all of them are free.
    async fn take(&self, units: u32) -> Held {
        loop {
            // Registered before the check, so that no bytes freed in between are missed.
            let freed = self.changes.freed.notified();
            if let Some(held) = self.try_take(units) {
                return held;
            }
            freed.await;
        }
    }

    /// As many bytes as the budget has at all.
    fn at_most(&self, bytes: u64) -> u64 {
        bytes.min(self.units as u64 * UNIT)
    }

    /// Takes units from the share and from the whole, or from neither.
    fn try_take(&self, units: u32) -> Option<Held> {
        let take = |budget: &Self| Arc::clone(&budget.free).try_acquire_many_owned(units).ok();
        let _taking = self.changes.taking.lock();
        let own = Some(take(self)?);
        let whole = match &self.whole {
            Some(whole) => Some(take(whole)?),
            None => None,
        };
        Some(Held {
            own,
            whole,
            changes: Some(Arc::clone(&self.changes)),
        })
    }
}

/// The units that are missing to this many bytes; `None` if none are.
fn missing(held: &Held, bytes: u64) -> Option<u32> {
    let units = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(usize::MAX);
    let missing = units.saturating_sub(held.units());
    (missing > 0).then(|| u32::try_from(missing).unwrap_or(u32::MAX))
}

impl Held {
    /// The units that it holds.
    fn units(&self) -> usize {
        self.own
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Holds what the other held as well.
    fn add(&mut self, mut other: Self) {
        merge(&mut self.own, other.own.take());
        merge(&mut self.whole, other.whole.take());
        self.changes = self.changes.take().or(other.changes.take());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.own = None;
        self.whole = None;
        if let Some(changes) = &self.changes {
            changes.freed.notify_waiters();
        }
    }
}

/// Adds a permit to another.
fn merge(held: &mut Option<OwnedSemaphorePermit>, more: Option<OwnedSemaphorePermit>) {
    match (held, more) {
        (Some(held), Some(more)) => held.merge(more),
        (none, more @ Some(_)) => *none = more,
        (_, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn one_client_leaves_room_for_others() {
        let whole = Arc::new(Budget::new(100 << 10));
        let (one, other) = (whole.share(60 << 10), whole.share(60 << 10));
        let mut held = Held::default();
        assert!(one.raise(&mut held, 50 << 10));
        assert!(!one.raise(&mut held, 70 << 10), "more than its share");
        assert!(
            one.count(&mut held, 70 << 10),
            "and all of it, once it is there"
        );

        let mut others = Held::default();
        assert!(!other.raise(&mut others, 50 << 10), "more than is left");
        assert!(other.raise(&mut others, 40 << 10));
        drop(held);
        assert!(other.raise(&mut others, 60 << 10));
        drop(others);
        assert_eq!(whole.free.available_permits(), 100);
    }

    const LONG: Duration = Duration::from_mins(1);

    fn begin(waiting: &mut Waiting) {
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
    }

    #[tokio::test]
    async fn who_waits_takes_nothing_from_others() {
        let whole = Arc::new(Budget::new(100 << 10));
        let shares = [(); 3].map(|()| whole.share(60 << 10));
        let [one, two, three] = &shares;
        let (mut first, mut second) = (Held::default(), Held::default());
        assert!(one.raise(&mut first, 50 << 10));
        let mut waiting = two.wait(60 << 10, LONG);
        begin(&mut waiting);
        assert!(two.raise(&mut second, 25 << 10), "its own share is free");
        drop(second);
        let mut others = Held::default();
        assert!(three.raise(&mut others, 40 << 10), "the whole is free");
        drop(first);
        let held = waiting.await.expect("room");
        assert_eq!(held.units(), 60);
    }

    #[tokio::test]
    async fn those_who_wait_for_all_of_it_have_it_one_after_the_other() {
        let whole = Arc::new(Budget::new(100 << 10));
        let share = whole.share(60 << 10);
        let mut held = Held::default();
        assert!(share.raise(&mut held, 1));
        let (mut one, mut other) = (share.wait(1 << 20, LONG), share.wait(1 << 20, LONG));
        begin(&mut one);
        begin(&mut other);
        drop(held);
        let held = one.await.expect("room");
        begin(&mut other);
        drop(held);
        assert_eq!(other.await.expect("room").units(), 60);
    }

    #[tokio::test]
    async fn a_wait_has_an_end() {
        let whole = Arc::new(Budget::new(100 << 10));
        let mut held = Held::default();
        assert!(whole.raise(&mut held, 100 << 10));
        let waiting = whole.wait(1, Duration::from_millis(10));
        assert!(waiting.await.is_err());
    }
}
