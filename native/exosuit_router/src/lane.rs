//! Lanes: what is done to one provider or link is done in order, and one thing at a time.

use std::collections::HashMap;
use std::sync::Arc;

use exosuit_core::Id;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// The lanes in use, one for each id.
#[derive(Default)]
pub(crate) struct Lanes(Mutex<HashMap<Id, Arc<AsyncMutex<()>>>>);

/// The lanes of some ids, taken until this is dropped.
pub(crate) struct Lane<'a>(#[expect(dead_code, reason = "held for its drop")] Vec<Stop<'a>>);

/// A place in one lane: waiting until it holds the guard.
struct Stop<'a> {
    lanes: &'a Lanes,
    id: Id,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Lanes {
    /// Waits for the lanes of these ids, in the order of the ids whoever asks: two that want the
    /// same lanes cannot each hold the one that the other waits for.
    pub(crate) async fn enter<const N: usize>(&self, mut ids: [&Id; N]) -> Lane<'_> {
        ids.sort_unstable();
        let mut stops: Vec<Stop<'_>> = Vec::with_capacity(N);
        for id in ids {
            if stops.last().is_none_or(|last| last.id != *id) {
                stops.push(self.enter_one(id.clone()).await);
            }
        }
        Lane(stops)
    }

    async fn enter_one(&self, id: Id) -> Stop<'_> {
        let mutex = Arc::clone(self.0.lock().entry(id.clone()).or_default());
        // Made before the wait, so that one who gives up waiting cleans up as well.
        let mut stop = Stop {
            lanes: self,
            id,
            guard: None,
        };
        stop.guard = Some(mutex.lock_owned().await);
        stop
    }
}

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut lanes = self.lanes.0.lock();
        // Whoever else waits or holds has an Arc of its own, and got it under this lock.
        if lanes
            .get(&self.id)
            .is_some_and(|mutex| Arc::strong_count(mutex) == 1)
        {
            lanes.remove(&self.id);
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
    async fn a_lane_is_taken_until_it_is_left_and_then_gone() {
        let lanes = Lanes::default();
        let (a, b) = (id("a"), id("b"));
        let held = lanes.enter([&b, &a, &b]).await;
        {
            let mut second = std::pin::pin!(lanes.enter([&a]));
            tokio::select! {
                biased;
                _ = &mut second => panic!("two in one lane"),
                () = std::future::ready(()) => {}
            }
            drop(held);
            drop(second.await);
        }
        assert!(lanes.0.lock().is_empty());
    }

    #[tokio::test]
    async fn one_that_gives_up_waiting_leaves_nothing_behind() {
        let lanes = Lanes::default();
        let a = id("a");
        let held = lanes.enter([&a]).await;
        tokio::select! {
            biased;
            _ = lanes.enter([&a]) => panic!("two in one lane"),
            () = std::future::ready(()) => {}
        }
        drop(held);
        assert!(lanes.0.lock().is_empty());
    }
}
