//! Asynchronous locks by id: changes of one provider or link happen one at a time, in the order of
//! their requests.
//!
//! A lock exists only while somebody holds it or waits for it.
//!
//! They are held across awaits, while a provider takes or releases a link, for 30 seconds at most. Calls never take
//! one. The inner map has an ordinary lock, which is held for a look-up.
//!
//! # The life of a lock
//!
//! 1. `acquire_one` finds or creates the entry and clones its `Arc`, under the lock of the map.
//! 2. It waits on the clone. A `KeyGuard` exists already, so giving up is noticed.
//! 3. The guard's drop releases the lock first, and then removes the entry if nobody else has a
//!    clone.
//!
//! The count of the `Arc` is exact, because it only grows under the lock of the map. A task that is
//! about to wait has its clone before it releases that lock, so its lock is never removed from
//! under it. The queue of a lock is fair: changes happen in the order in which they asked.

use std::collections::HashMap;
use std::sync::Arc;

use exosuit_core::Id;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// The locks of some ids, until this is dropped.
#[derive(Default)]
pub(crate) struct KeyedLocks(Mutex<HashMap<Id, Arc<AsyncMutex<()>>>>);

/// The locks of some ids, taken until this is dropped.
pub(crate) struct KeyedLock<'a>(
    #[expect(dead_code, reason = "held for its drop")] Vec<KeyGuard<'a>>,
);

/// The lock of one id. It has no guard while it waits.
struct KeyGuard<'a> {
    /// The map that the entry is removed from.
    locks: &'a KeyedLocks,
    /// The key of the entry.
    id: Id,
    /// `None` while it waits. It must be dropped before the count is read, as it holds a clone,
    /// too.
    guard: Option<OwnedMutexGuard<()>>,
}

impl KeyedLocks {
    /// Waits for the locks of these ids. They are taken in the order of the ids, so that two tasks
    /// never wait for each other.
    ///
    /// An id that occurs twice is locked once. If the future is dropped, the locks that it has are
    /// released.
    pub(crate) async fn acquire<const N: usize>(&self, mut ids: [&Id; N]) -> KeyedLock<'_> {
        ids.sort_unstable();
        let mut guards: Vec<KeyGuard<'_>> = Vec::with_capacity(N);
        for id in ids {
            if guards.last().is_none_or(|last| last.id != *id) {
                guards.push(self.acquire_one(id.clone()).await);
            }
        }
        KeyedLock(guards)
    }

    /// Waits for the lock of one id.
    async fn acquire_one(&self, id: Id) -> KeyGuard<'_> {
        let mutex = Arc::clone(self.0.lock().entry(id.clone()).or_default());
        // Created before the wait, so that a task that gives up waiting removes an unused lock,
        // too.
        let mut guard = KeyGuard {
            locks: self,
            id,
            guard: None,
        };
        guard.guard = Some(mutex.lock_owned().await);
        guard
    }
}

impl Drop for KeyGuard<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut locks = self.locks.0.lock();
        // Each holder and each waiting task got its own `Arc` under this lock, so a count of 1
        // means nobody.
        if locks
            .get(&self.id)
            .is_some_and(|mutex| Arc::strong_count(mutex) == 1)
        {
            locks.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        Id::parse(text).expect("an id")
    }

    #[tokio::test]
    async fn a_lock_is_removed_when_nobody_holds_it() {
        let locks = KeyedLocks::default();
        let (a, b) = (id("a"), id("b"));
        let held = locks.acquire([&b, &a, &b]).await;
        {
            let mut second = std::pin::pin!(locks.acquire([&a]));
            tokio::select! {
                biased;
                _ = &mut second => panic!("two hold one lock"),
                () = std::future::ready(()) => {}
            }
            drop(held);
            drop(second.await);
        }
        assert!(locks.0.lock().is_empty());
    }

    #[tokio::test]
    async fn one_that_gives_up_waiting_leaves_nothing_behind() {
        let locks = KeyedLocks::default();
        let a = id("a");
        let held = locks.acquire([&a]).await;
        tokio::select! {
            biased;
            _ = locks.acquire([&a]) => panic!("two hold one lock"),
            () = std::future::ready(()) => {}
        }
        drop(held);
        assert!(locks.0.lock().is_empty());
    }
}
