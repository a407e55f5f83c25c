//! The share of the engine's pool that one actor may use.
//!
//! An instance that serves a call holds a permit of its actor's [`Share`]; a call without one waits until its
//! deadline. Therefore no actor can take all slots, however many calls it gets. Warm instances that rest hold no
//! permit: they give up their slots when calls need them (`pool.rs`).
//!
//! This is not the number of `instances` of an actor: the router holds calls to that before they come here. All
//! hosts of a VM have one pool, so an actor whose `instances` exceed its share waits here.
//!
//! # Two bounds, one after the other
//!
//! | | bound | unit | who waits | until |
//! |---|---|---|---|---|
//! | 1 | `instances` of an actor | calls, on one host | the call, in the router's queue | its turn, or its deadline |
//! | 2 | the share of an actor | instances at work, of one publication | the call here | a permit, or its deadline |
//!
//! The second one is reached if `instances` exceeds the share, if pinned instances keep their permits between calls
//! (`abi/component/pin.rs`), or if the router lends the slots of guests that wait for the body of a request.
//!
//! A semaphore of Tokio and not a counter: callers wait in their order, and a call that is dropped while it waits
//! leaves the queue by itself.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;
use wasmtime::{PoolingAllocatorMetrics, ResourcesRequired};

use crate::configuration::shared_parts;
use crate::{EngineOptions, Error};

/// The slots of the pool, and how many of them are in use. One for an engine.
pub(crate) struct Slots {
    /// Counters of wasmtime, which it updates itself. Reading one takes no lock.
    used: PoolingAllocatorMetrics,
    /// The instances for which the pool was made.
    all: u32,
    /// The part of them that one actor may have, in percent.
    share: u32,
}

impl Slots {
    /// The slots of an engine. None if it has no pool.
    pub(crate) fn of(engine: &wasmtime::Engine, options: &EngineOptions) -> Option<Self> {
        Some(Self {
            used: engine.pooling_allocator_metrics()?,
            all: options.pool_slots,
            share: options.actor_share.clamp(1, 100),
        })
    }

    /// Whether hardly a slot is left. A margin of 1/64, since other threads may take slots before this caller does.
    /// With fewer than 64 slots there is no margin: the pool then counts as full when it is full.
    pub(crate) fn are_scarce(&self) -> bool {
        let nearly = |all: u32| (all - all / 64) as usize;
        let (memories, tables) = shared_parts(self.all);
        // Each instance has one stack.
        self.used.stacks() >= nearly(self.all)
            || self.used.memories() >= nearly(memories)
            || self.used.tables() >= nearly(tables)
    }

    /// How many instances with such needs the pool has room for: stacks, memories and tables are counted apart, and
    /// the scarcest decides.
    fn room(&self, needs: &ResourcesRequired) -> u32 {
        let (memories, tables) = shared_parts(self.all);
        self.all
            .min(memories / needs.num_memories.max(1))
            .min(tables / needs.num_tables.max(1))
    }
}

/// The permits of one actor. Without a pool there is no bound.
///
/// A number of permits that is fixed when the actor is made: neither slots nor the needs of its module change later.
pub(crate) struct Share(Option<SharePermits>);

/// The permits, and for the error: how many they are, and of how many percent of the pool.
struct SharePermits {
    free: Arc<Semaphore>,
    all: u32,
    percent: u32,
}

/// The right to one running instance, until it is dropped. None without a pool.
///
/// Owned, because it moves with the instance: into the body of a response, or into a pinned instance.
pub(crate) type SharePermit = Option<OwnedSemaphorePermit>;

impl Share {
    /// The share of an actor whose instances have such needs: one instance at the least.
    pub(crate) fn of(slots: Option<&Slots>, needs: &ResourcesRequired) -> Self {
        Self(slots.map(|slots| {
            let percent = slots.share;
            let all = u64::from(slots.room(needs)) * u64::from(percent) / 100;
            let all = u32::try_from(all).unwrap_or(u32::MAX).max(1);
            SharePermits {
                free: Arc::new(Semaphore::new(all as usize)),
                all,
                percent,
            }
        }))
    }

    /// Half of it, and one instance at the least: how many instances may keep their permits between calls. The other
    /// half is left to calls, which would otherwise wait for processes to drop their resources.
    pub(crate) fn half(&self) -> usize {
        let all = self.0.as_ref().map(|permits| permits.all as usize);
        all.map_or(usize::MAX, |all| (all / 2).max(1))
    }

    /// Gets a permit, or waits for one until `deadline`, first come first served. The error is `overloaded`, and says
    /// which settings to change.
    ///
    /// The first try takes a free permit without a timer: most calls find one. It overtakes nobody, since Tokio hands
    /// released permits to those that wait, first.
    pub(crate) async fn acquire(&self, deadline: Instant) -> Result<SharePermit, Error> {
        let Some(permits) = &self.0 else {
            return Ok(None);
        };
        if let Ok(permit) = Arc::clone(&permits.free).try_acquire_owned() {
            return Ok(Some(permit));
        }
        let waiting = Arc::clone(&permits.free).acquire_owned();
        match timeout_at(deadline.into(), waiting).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(permits.refused()),
        }
    }
}

impl SharePermits {
    /// The error for a call that got no permit in time. Its detail has the number and the percentage, for the
    /// operator.
    fn refused(&self) -> Error {
        let Self { all, percent, .. } = self;
        Error::Overloaded(format!(
            "the actor had {all} instances at work until the deadline of the call, which is its share \
             of the pool ({percent} %): raise `pool_slots` or `actor_share` of the engine, or give the \
             actor fewer `instances`, so that calls wait in its queue"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn share(all: usize) -> Share {
        Share(Some(SharePermits {
            free: Arc::new(Semaphore::new(all)),
            all: u32::try_from(all).expect("few"),
            percent: 75,
        }))
    }

    #[tokio::test]
    async fn a_call_waits_for_a_permit_until_its_deadline_and_is_told_why() {
        let share = share(1);
        let soon = || Instant::now() + Duration::from_millis(20);
        let permit = share.acquire(soon()).await.expect("a free permit");
        let error = share.acquire(soon()).await.expect_err("no permit is free");
        assert!(error.to_string().contains("1 instances"), "{error}");
        assert!(error.to_string().contains("`actor_share`"), "{error}");

        let hour = Instant::now() + Duration::from_hours(1);
        let (next, ()) = tokio::join!(share.acquire(hour), async { drop(permit) });
        assert!(next.is_ok());
    }

    #[tokio::test]
    async fn without_a_pool_there_is_no_bound() {
        let now = Instant::now();
        assert!(matches!(Share(None).acquire(now).await, Ok(None)));
    }
}
