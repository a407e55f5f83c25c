//! A semaphore for a scarce resource, with a limit in total and a limit per actor.
//!
//! A caller first waits for one of its own turns, and then for one of all. In this order, a caller
//! that waits for its own blocks nobody else. The map of callers forgets those without turns.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// A scarce resource. Clones share it.
#[derive(Clone)]
pub(crate) struct Turns {
    /// The turns of all callers.
    all: Arc<Semaphore>,
    /// The limit for one caller.
    share: usize,
    /// The turns of each caller that has or waits for one.
    callers: Arc<Mutex<HashMap<Box<str>, Weak<Semaphore>>>>,
}

/// A turn, until it is dropped.
pub(crate) struct Turn {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    _of_caller: Arc<Semaphore>,
}

impl Turns {
    /// Turns with a limit in total, and one per caller.
    pub(crate) fn new(all: usize, share: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            share,
            callers: Arc::default(),
        }
    }

    /// Waits for a turn.
    pub(crate) async fn take(&self, caller: &str) -> Result<Turn, AcquireError> {
        self.take_or_free(caller, |_| pending()).await
    }

    /// Waits for a turn. While there is none, runs `free` with the caller, or with `None` for the
    /// limit of all.
    pub(crate) async fn take_or_free<'a, F>(
        &self,
        caller: &'a str,
        free: impl Fn(Option<&'a str>) -> F,
    ) -> Result<Turn, AcquireError>
    where
        F: Future<Output = Infallible>,
    {
        let of_caller = self.of(caller);
        Ok(Turn {
            _own: acquire(&of_caller, free(Some(caller))).await?,
            _all: acquire(&self.all, free(None)).await?,
            _of_caller: of_caller,
        })
    }

    /// The turns of a caller.
    fn of(&self, caller: &str) -> Arc<Semaphore> {
        let mut callers = self.callers.lock();
        if let Some(own) = callers.get(caller).and_then(Weak::upgrade) {
            return own;
        }
        callers.retain(|_caller, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.share));
        callers.insert(caller.into(), Arc::downgrade(&own));
        own
    }
}

/// A permit at once, or after `free` has made one free.
async fn acquire(
    turns: &Arc<Semaphore>,
    free: impl Future<Output = Infallible>,
) -> Result<OwnedSemaphorePermit, AcquireError> {
    tokio::select! {
        biased;
        turn = Arc::clone(turns).acquire_owned() => turn,
        never = free => match never {},
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_there(turns: &Turns, caller: &str) -> Option<Turn> {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(turns.take(caller)).poll(&mut context) {
            Poll::Ready(turn) => turn.ok(),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_that_wants_many_has_its_share_and_leaves_the_rest() {
        let turns = Turns::new(5, 3);
        let held: Vec<_> = (0..5).filter_map(|_| is_there(&turns, "a")).collect();
        assert_eq!(held.len(), 3);
        let other = is_there(&turns, "b").expect("of the rest");
        assert!(is_there(&turns, "b").is_some(), "and given back");
        drop(held);
        assert!(is_there(&turns, "a").is_some());
        drop(other);
        assert!(is_there(&turns, "c").is_some());
        assert_eq!(turns.callers.lock().len(), 1, "who has gone is forgotten");
    }
}
