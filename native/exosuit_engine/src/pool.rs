//! Warm instances: those of an actor that rest until its next call.
//!
//! - [`Pool`]: the resting instances of one actor. A call takes the one that came last, so that surplus ones grow old
//!   and are swept out.
//! - [`PoolSlot`]: the slot of one call. The instance that the call leaves there serves later calls.
//! - [`Reserve`]: all pools of an engine with resting instances, for when the slots of the engine run out.
//!
//! # The life of a warm instance
//!
//! ```text
//!             acquire: none rests                leave
//! fresh ────────────────────────► serves a call ───────► rests ──┐ acquire: the last one that came
//!                                      ▲                         │
//!                                      └─────────────────────────┘
//! ```
//!
//! It ends when the first of these happens:
//!
//! | what | where |
//! |---|---|
//! | its call traps, exits, reaches a limit or is dropped | the call drops it |
//! | it has served `calls` calls | [`PoolSlot::leave`] drops it |
//! | `size` others rest already | [`Pool::keep`] drops it |
//! | it has rested for `idle` | the sweep drops it, a task of Tokio |
//! | the engine has hardly a slot left | [`Reserve::give_up`] drops it |
//! | its actor ends | the drop of [`Pool`] |
//!
//! # What may rest
//!
//! An instance comes to rest only after a call that returned. Whatever else happened (a trap, an exit, a reached
//! limit, a deadline, a dropped future), the instance is dropped: its memory may be in the middle of something.
//! `component` and `wasmbus` decide that; the pool takes what is left in a slot.
//!
//! # Why a resting instance has no permit
//!
//! A permit of the actor's share ([`SharePermit`]) is for instances at work. If resting ones had permits, an actor
//! with a large pool could lock itself out. So they have none, and give up their slots to whoever needs them. That is
//! why a full engine drops the oldest resting instances of any actor before it refuses a call.
//!
//! # Locks
//!
//! A pool locks itself, and may lock the reserve while it does. Nothing is dropped under either lock: dropping an
//! instance unmaps memory, and its output may write to the log. The reserve never locks a pool while it is locked
//! itself: it copies its list first.

use std::ptr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::Instances;
use crate::share::SharePermit;

/// The longest idle time, a year: longer ones would overflow the clock.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// How many instances are dropped at once when slots run out: enough room for a component of several core
/// instances, and done within microseconds.
const GIVEN_UP: usize = 16;

/// The resting instances of one actor. Dropped, it drops them all.
///
/// `T` is the kind of instance: `abi::guest::Guest`, and a stand-in in the tests below.
pub(crate) struct Pool<T> {
    /// The maximum number of idle instances. More may serve at once.
    size: usize,
    /// The number of calls after which an instance is dropped.
    calls: u32,
    /// The idle time after which an instance is dropped.
    idle: Duration,
    /// A lock of threads: it is held to push or pop one entry, never across an await.
    resting: Mutex<Resting<T>>,
    reserve: Arc<Reserve>,
}

/// The instances that rest, behind the lock of their pool.
struct Resting<T> {
    /// The oldest first. Calls take from the end, the sweep and the reserve from the beginning. At most `size`.
    guests: Vec<Rested<T>>,
    /// The task that drops old instances. None while nothing rests. It is `Some` exactly while the pool is in the
    /// reserve's list.
    sweep: Option<AbortHandle>,
}

/// A resting instance, the number of calls that it has served, and the time of its last one.
struct Rested<T> {
    guest: T,
    served: u32,
    since: Instant,
}

impl<T: Send + 'static> Pool<T> {
    /// A pool, if the actor keeps instances.
    pub(crate) fn new(instances: Instances, reserve: &Arc<Reserve>) -> Option<Arc<Self>> {
        match instances {
            Instances::Ephemeral => None,
            Instances::Warm { pool, calls, idle } => Some(Arc::new(Self {
                size: pool,
                calls,
                idle: idle.min(LONGEST),
                resting: Mutex::new(Resting {
                    guests: Vec::new(),
                    sweep: None,
                }),
                reserve: Arc::clone(reserve),
            })),
        }
    }

    /// Keeps the guest, if there is room. Panics outside of a Tokio context, where no sweep can be started. The first
    /// guest starts the sweep; the sweep ends when nothing rests, so that an idle actor has no timer.
    ///
    /// A guest without room is dropped on return, after the lock: parameters are dropped after the guard, which is a
    /// local.
    fn keep(self: &Arc<Self>, guest: T, served: u32) {
        let since = Instant::now();
        let mut resting = self.resting.lock();
        if resting.guests.len() >= self.size {
            return;
        }
        resting.guests.push(Rested {
            guest,
            served,
            since,
        });
        if resting.sweep.is_none() {
            self.reserve.add(self);
            let sweeping = sweep(Arc::downgrade(self), since + self.idle);
            resting.sweep = Some(tokio::spawn(sweeping).abort_handle());
        }
    }

    /// Drops the instances that have rested for too long. Returns when the next one will have.
    ///
    /// If nothing rests any more, the sweep ends: it says so in [`Resting::sweep`] under the lock, so that a guest
    /// that comes a moment later starts another one.
    fn sweep(&self, now: Instant) -> Option<Instant> {
        let mut resting = self.resting.lock();
        let old = |rested: &Rested<T>| rested.since + self.idle <= now;
        let count = resting.guests.partition_point(old);
        let swept: Vec<_> = resting.guests.drain(..count).collect();
        let next = resting.guests.first();
        let next = next.map(|rested| rested.since + self.idle);
        if next.is_none() {
            resting.sweep = None;
            self.reserve.remove(self);
        }
        // Calls need not wait until they are gone.
        drop(resting);
        drop(swept);
        next
    }
}

/// A pool, whatever rests in it. The reserve has pools of any kind of instance, and needs this alone of them.
trait GiveUp: Send + Sync {
    /// Drops the oldest, up to `count`, and says how many that were.
    fn give_up(&self, count: usize) -> usize;
}

impl<T: Send + 'static> GiveUp for Pool<T> {
    fn give_up(&self, count: usize) -> usize {
        let mut resting = self.resting.lock();
        let count = count.min(resting.guests.len());
        let given_up: Vec<_> = resting.guests.drain(..count).collect();
        drop(resting);
        given_up.len()
    }
}

impl<T> Drop for Pool<T> {
    fn drop(&mut self) {
        if let Some(sweep) = self.resting.get_mut().sweep.take() {
            sweep.abort();
            self.reserve.remove(self);
        }
    }
}

/// Drops old instances until nothing rests. One timer serves all instances of a pool: the oldest is due first. A call
/// that takes the oldest makes the timer early, which costs one look.
///
/// The pool is held weakly: the task must not keep the instances of an actor that has ended.
async fn sweep<T: Send + 'static>(pool: Weak<Pool<T>>, mut next: Instant) {
    loop {
        sleep_until(next).await;
        let Some(pool) = pool.upgrade() else { return };
        match pool.sweep(Instant::now()) {
            Some(then) => next = then,
            None => return,
        }
    }
}

/// The slot of one call in the pool, with its permit. Dropped without an instance, it only releases the permit: that
/// is how a call ends whose instance must not serve again.
pub(crate) struct PoolSlot<T> {
    /// Weak: resting instances go with the actor, not with its last call.
    pool: Weak<Pool<T>>,
    /// How many calls the instance of this call has served before.
    served: u32,
    /// Released when the call ends: resting instances hold none.
    _permit: SharePermit,
}

impl<T: Send + 'static> PoolSlot<T> {
    /// Takes a slot, with the instance that came last, if one rests. Also works if the pool is gone, or there is none.
    pub(crate) fn acquire(pool: &Weak<Pool<T>>, permit: SharePermit) -> (Self, Option<T>) {
        let rested = pool
            .upgrade()
            .and_then(|pool| pool.resting.lock().guests.pop());
        let (served, guest) = match rested {
            Some(Rested { guest, served, .. }) => (served, Some(guest)),
            None => (0, None),
        };
        let slot = Self {
            pool: Weak::clone(pool),
            served,
            _permit: permit,
        };
        (slot, guest)
    }

    /// Whether an instance that is left here will serve again, as far as that is known now. The actor may end, or the
    /// pool be full, before it is left.
    pub(crate) fn is_kept(&self) -> bool {
        let pool = self.pool.upgrade();
        pool.is_some_and(|pool| self.served.saturating_add(1) < pool.calls)
    }

    /// Leaves the instance for later calls. It must have returned without a trap. Call it inside a Tokio
    /// context.
    pub(crate) fn leave(self, guest: T) {
        if let Some(pool) = self.pool.upgrade() {
            let served = self.served.saturating_add(1);
            if served < pool.calls {
                pool.keep(guest, served);
            }
        }
    }
}

/// The pools of an engine in which something rests, in the order in which they began to have something.
pub(crate) struct Reserve(Mutex<Vec<Weak<dyn GiveUp>>>);

impl Reserve {
    /// A reserve without pools.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    /// Drops some resting instances, of any actor: the oldest ones of the pools that began to rest first. At most
    /// [`GIVEN_UP`], because the caller is a call that waits for its instance.
    pub(crate) fn give_up(&self) {
        // A pool takes its own lock before this one.
        let pools: Vec<_> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        let mut left = GIVEN_UP;
        for pool in pools {
            left -= pool.give_up(left);
        }
    }

    /// Enters a pool. It is called under the lock of that pool.
    fn add<T: Send + 'static>(&self, pool: &Arc<Pool<T>>) {
        let pool: Weak<Pool<T>> = Arc::downgrade(pool);
        self.0.lock().push(pool);
    }

    /// Removes a pool, under its lock or when it is dropped. Compares addresses alone: a `Weak` of a pool that is
    /// being dropped cannot be upgraded any more.
    fn remove<T>(&self, pool: &Pool<T>) {
        let others = |other: &Weak<dyn GiveUp>| !ptr::addr_eq(other.as_ptr(), pool);
        self.0.lock().retain(others);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    /// Tells its number when it goes.
    struct Guest(u8, UnboundedSender<u8>);

    impl Drop for Guest {
        fn drop(&mut self) {
            let _ = self.1.send(self.0);
        }
    }

    struct World {
        reserve: Arc<Reserve>,
        gone: UnboundedReceiver<u8>,
        goes: UnboundedSender<u8>,
    }

    impl World {
        fn new() -> Self {
            let (goes, gone) = unbounded_channel();
            let reserve = Reserve::new();
            Self {
                reserve,
                gone,
                goes,
            }
        }

        fn pool(&self, pool: usize, calls: u32, idle: Duration) -> Arc<Pool<Guest>> {
            let warm = Instances::Warm { pool, calls, idle };
            Pool::new(warm, &self.reserve).expect("a pool")
        }

        /// Calls that run at once, each with a new guest.
        fn rest(&self, pool: &Arc<Pool<Guest>>, numbers: impl IntoIterator<Item = u8>) {
            for number in numbers {
                let slot = PoolSlot {
                    pool: Arc::downgrade(pool),
                    served: 0,
                    _permit: None,
                };
                slot.leave(Guest(number, self.goes.clone()));
            }
        }

        fn gone(&mut self) -> Vec<u8> {
            std::iter::from_fn(|| self.gone.try_recv().ok()).collect()
        }
    }

    fn take(pool: &Arc<Pool<Guest>>) -> Option<u8> {
        let (_slot, guest) = PoolSlot::acquire(&Arc::downgrade(pool), None);
        guest.map(|guest| guest.0)
    }

    #[tokio::test]
    async fn what_came_last_is_taken_first_and_the_pool_has_an_end() {
        let mut world = World::new();
        let pool = world.pool(2, 9, HOUR);
        world.rest(&pool, [1, 2, 3]);
        assert_eq!(world.gone(), [3]);
        assert_eq!(
            [take(&pool), take(&pool), take(&pool)],
            [Some(2), Some(1), None]
        );
    }

    #[tokio::test]
    async fn a_guest_serves_so_many_calls() {
        let world = World::new();
        let pool = world.pool(1, 3, HOUR);
        world.rest(&pool, [1]);
        let weak = Arc::downgrade(&pool);
        let kept: Vec<bool> = std::iter::from_fn(|| {
            let (slot, guest) = PoolSlot::acquire(&weak, None);
            let kept = slot.is_kept();
            guest.map(|guest| slot.leave(guest)).map(|()| kept)
        })
        .collect();
        assert_eq!(kept, [true, false]);
    }

    #[tokio::test]
    async fn what_rests_goes_with_the_pool_and_what_is_left_later_goes_at_once() {
        let mut world = World::new();
        let pool = world.pool(3, 9, HOUR);
        world.rest(&pool, [1, 2, 3]);
        let (slot, guest) = PoolSlot::acquire(&Arc::downgrade(&pool), None);
        drop(pool);
        assert_eq!(world.gone(), [1, 2]);
        assert!(!slot.is_kept());
        slot.leave(guest.expect("one rested"));
        assert_eq!(world.gone(), [3]);
        assert!(world.reserve.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_sweep_takes_the_old_and_waits_for_the_next() {
        let mut world = World::new();
        let pool = world.pool(3, 9, HOUR);
        let start = Instant::now();
        world.rest(&pool, [1, 2]);
        let hours = |hours: u32| start + hours * HOUR;
        for (hour, rested) in (0..).zip(&mut pool.resting.lock().guests) {
            rested.since = hours(hour);
        }
        let minute = Duration::from_mins(1);
        assert_eq!(pool.sweep(hours(1) - minute), Some(hours(1)));
        assert!(world.gone().is_empty());
        assert_eq!(pool.sweep(hours(2) - minute), Some(hours(2)));
        assert_eq!(world.gone(), [1]);
        assert_eq!(pool.sweep(hours(2)), None);
        assert_eq!(world.gone(), [2]);
    }

    #[tokio::test]
    async fn the_sweep_ends_when_nothing_rests_and_begins_anew() {
        let mut world = World::new();
        let pool = world.pool(3, 9, Duration::from_millis(1));
        for number in 1..4 {
            world.rest(&pool, [number]);
            assert_eq!(world.gone.recv().await, Some(number));
            while pool.resting.lock().sweep.is_some() {
                tokio::task::yield_now().await;
            }
            assert_eq!(world.reserve.0.lock().len(), 0);
        }
    }

    #[tokio::test]
    async fn a_reserve_gives_up_the_oldest_of_all_pools_up_to_a_bound() {
        let mut world = World::new();
        let pools = [world.pool(3, 9, HOUR), world.pool(100, 9, HOUR)];
        world.rest(&pools[0], 0..3);
        world.rest(&pools[1], 10..50);
        world.reserve.give_up();
        assert_eq!(world.gone(), (0..3).chain(10..23).collect::<Vec<_>>());
        world.reserve.give_up();
        world.reserve.give_up();
        assert_eq!(world.gone().len(), 27);
        assert_eq!(take(&pools[1]), None);
    }
}
