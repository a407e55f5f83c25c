//! The limits of an actor: of the calls that run in it, of those that wait, and of their time.
//!
//! A call that waits for its client's bytes lends its slot to other calls, so that slow clients do not delay
//! fast ones. At most half of the instances, and at least one, are lent at a time. When the client sends again,
//! the call continues at once. For that time, more calls run than there are instances; the surplus slot is
//! removed with the next call that ends.
//!
//! # The arithmetic
//!
//! The semaphore has one permit for each slot that is neither used nor removed. A running call
//! holds no permit object: its permit is forgotten, and `Permit::drop` adds one again. So the
//! number of slots can change while calls run.
//!
//! - `current.instances`: the slots that there should be.
//! - `debt`: calls that run beyond that. The limit shrank, or the slot of a call was lent and taken
//!   back.
//! - `lent`: calls that wait for their clients. Their slots are in the semaphore for others.
//!
//! A call that ends pays a debt first, and frees a slot only if there is none. `running` is
//! `instances + debt − available permits`.
//!
//! | event | `debt` | `lent` | permits |
//! |---|---|---|---|
//! | a call enters | | | −1 |
//! | a call ends | −1 if there is any | | +1 if there was no debt |
//! | a call lends its slot | −1 if there is any | +1 | +1 if there was no debt |
//! | it continues, and a slot is free | | −1 | −1 |
//! | it continues, and no slot is free | +1 | −1 | |
//! | it ends while its slot is lent | | −1 | |
//! | the limit grows by n | up to −n | | + the rest of n |
//! | the limit shrinks by n | + the rest of n | | up to −n |
//!
//! A nested call never queues (see `queue` in `router`): calls that wait for each other in a circle
//! would hold their slots until their deadlines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use exosuit_core::Lend;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use crate::ActorLimits;
use crate::count::{Count, Counted};

/// The slots of one actor. Its limits may grow and shrink while calls run.
#[derive(Debug)]
pub(crate) struct Admission {
    /// The free slots. It is fair: the first to wait gets the first slot.
    semaphore: Semaphore,
    /// Held for a few instructions, and never across an await.
    limits: Mutex<AdmissionLimits>,
    /// The calls in the queue.
    waiting: Count,
    /// The deadline of the limits in milliseconds, or `NO_DEADLINE`. Every call reads it, without a
    /// lock.
    deadline_ms: AtomicU64,
    /// Notified when a lent slot is taken back, when its call ends, or when an owed slot is
    /// removed.
    returned: Notify,
}

/// A deadline of `u64::MAX` milliseconds is past the end of any clock, so it can mean "none".
const NO_DEADLINE: u64 = u64::MAX;

/// The limits, and the slots that differ from them.
#[derive(Debug)]
struct AdmissionLimits {
    /// The limits as they were set last.
    current: ActorLimits,
    /// Slots that no longer exist but still have a call: the limit shrank, or their slot was lent.
    /// Each is removed when its call ends.
    debt: usize,
    /// Slots of calls that wait for their clients, which other calls use.
    lent: usize,
}

/// A slot in an actor, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    /// The actor whose slot it is.
    admission: Arc<Admission>,
    /// Whether another call may use the slot now. Only the body of one request changes it, so
    /// relaxed order is enough: the count itself changes under the lock.
    is_lent: AtomicBool,
}

/// A position in the queue for a slot.
pub(crate) struct Queued<'a> {
    admission: &'a Arc<Admission>,
    _waiting: Counted<'a>,
}

impl Admission {
    /// All slots are free.
    pub(crate) fn new(limits: ActorLimits) -> Arc<Self> {
        Arc::new(Self {
            semaphore: Semaphore::new(limits.instances as usize),
            limits: Mutex::new(AdmissionLimits {
                current: limits,
                debt: 0,
                lent: 0,
            }),
            waiting: Count::default(),
            deadline_ms: AtomicU64::new(milliseconds(limits.deadline)),
            returned: Notify::new(),
        })
    }

    /// The limits as they were set last.
    pub(crate) fn limits(&self) -> ActorLimits {
        self.limits.lock().current
    }

    /// The longest that a call may take.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match self.deadline_ms.load(Relaxed) {
            NO_DEADLINE => None,
            milliseconds => Some(Duration::from_millis(milliseconds)),
        }
    }

    /// The number of used slots.
    ///
    /// It may be more than the limit, as long as there is a debt.
    pub(crate) fn running(&self) -> usize {
        let limits = self.limits.lock();
        let places = limits.current.instances as usize + limits.debt;
        places.saturating_sub(self.semaphore.available_permits())
    }

    /// The number of calls in the queue. It may change before the caller uses it.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.get()
    }

    /// Takes a slot if one is free and no call waits for it.
    ///
    /// The semaphore gives a freed permit to the first waiting call at once, so this function does
    /// not overtake the queue.
    pub(crate) fn try_enter(self: &Arc<Self>) -> Option<Permit> {
        self.semaphore.try_acquire().ok()?.forget();
        Some(Permit::new(self))
    }

    /// Takes a position in the queue, if it is not full.
    ///
    /// The position is given back when the result is dropped, so a caller that gives up leaves no
    /// trace.
    pub(crate) fn try_queue(self: &Arc<Self>) -> Option<Queued<'_>> {
        let waiting = self.waiting.enter(self.limits().queue as usize)?;
        Some(Queued {
            admission: self,
            _waiting: waiting,
        })
    }

    /// Sets other limits at once. New slots go to waiting calls; removed ones disappear as their
    /// calls end.
    ///
    /// A queue that shrank keeps the calls that are in it already.
    pub(crate) fn change(&self, limits: ActorLimits) {
        let mut held = self.limits.lock();
        let (old, new) = (held.current.instances as usize, limits.instances as usize);
        held.current = limits;
        let deadline_ms = milliseconds(limits.deadline);
        self.deadline_ms.store(deadline_ms, Relaxed);
        if new >= old {
            let paid = held.debt.min(new - old);
            held.debt -= paid;
            self.semaphore.add_permits(new - old - paid);
        } else {
            held.debt += old - new - self.semaphore.forget_permits(old - new);
        }
    }

    /// Waits until no call runs: all slots are free, none is lent, and none is owed. Only for an
    /// actor that takes no more calls.
    ///
    /// It takes all permits to see that all slots are free, and gives them back at once. A slot
    /// that is lent is in the semaphore and its call still runs. So the state is checked under the
    /// lock as well, and the function waits for the next change if it is not settled. `returned` is
    /// subscribed before the check, so no change is missed between the two.
    pub(crate) async fn idle(&self) {
        loop {
            let returned = self.returned.notified();
            let places = self.limits().instances;
            // It fails only if the semaphore is closed, which never happens.
            let all = self.semaphore.acquire_many(places).await;
            if self.limits.lock().is_settled() {
                return;
            }
            drop(all);
            returned.await;
        }
    }

    /// Ends a call that holds its slot.
    fn leave(&self) {
        let mut limits = self.limits.lock();
        self.free(&mut limits);
    }

    /// Pays a debt with the slot, or offers the slot to the next call.
    fn free(&self, limits: &mut AdmissionLimits) {
        if limits.debt == 0 {
            self.semaphore.add_permits(1);
        } else {
            limits.debt -= 1;
            self.returned.notify_waiters();
        }
    }

    /// Lends a slot, unless the maximum number is lent already.
    ///
    /// Returns whether it was lent. If not, the call keeps its slot while it waits.
    fn lend(&self) -> bool {
        let mut limits = self.limits.lock();
        if limits.lent >= lendable(limits.current.instances) {
            return false;
        }
        limits.lent += 1;
        self.free(&mut limits);
        true
    }

    /// Takes a lent slot back, even if another call uses it.
    ///
    /// If no slot is free, one call more than the limit runs, and the next call that ends pays for
    /// it. Waiting for a free slot instead could last as long as another call runs, while the
    /// client sends.
    fn take_back(&self) {
        let mut limits = self.limits.lock();
        limits.lent -= 1;
        limits.debt += 1 - self.semaphore.forget_permits(1);
        self.returned.notify_waiters();
    }

    /// Ends the call of a lent slot.
    ///
    /// Its slot stays with the others, so none is freed.
    fn forget_lent(&self) {
        self.limits.lock().lent -= 1;
        self.returned.notify_waiters();
    }
}

impl AdmissionLimits {
    /// Whether each running call holds a permit of the semaphore.
    fn is_settled(&self) -> bool {
        self.lent == 0 && self.debt == 0
    }
}

/// How many places may be lent at a time.
///
/// At least one, so that an actor with a single instance is not blocked by one slow client.
fn lendable(instances: u32) -> usize {
    (instances as usize / 2).max(1)
}

/// For the atomic: a time that does not fit means no deadline.
fn milliseconds(deadline: Option<Duration>) -> u64 {
    let milliseconds = deadline.map(|deadline| u64::try_from(deadline.as_millis()).ok());
    milliseconds.flatten().unwrap_or(NO_DEADLINE)
}

impl Queued<'_> {
    /// Waits for a slot; the first to wait gets the first one.
    ///
    /// If the future is dropped while it waits, the semaphore forgets it, and the position in the
    /// queue is given back.
    pub(crate) async fn enter(self) -> Permit {
        self.admission
            .semaphore
            .acquire()
            .await
            .expect("the semaphore is never closed")
            .forget();
        Permit::new(self.admission)
    }
}

impl Permit {
    /// A slot whose permit the semaphore has forgotten.
    fn new(admission: &Arc<Admission>) -> Self {
        Self {
            admission: Arc::clone(admission),
            is_lent: AtomicBool::new(false),
        }
    }

    /// Whether this is a slot of this actor.
    ///
    /// A call keeps the slot of an earlier decision only for the same actor.
    pub(crate) fn is_of(&self, admission: &Arc<Admission>) -> bool {
        Arc::ptr_eq(&self.admission, admission)
    }
}

impl Lend for Permit {
    fn lend(&self) {
        self.is_lent.store(self.admission.lend(), Relaxed);
    }

    /// Does nothing if the slot was not lent, because as many were lent as may be.
    fn take_back(&self) {
        if self.is_lent.swap(false, Relaxed) {
            self.admission.take_back();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if *self.is_lent.get_mut() {
            self.admission.forget_lent();
        } else {
            self.admission.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn admission(instances: u32, queue: u32) -> Arc<Admission> {
        Admission::new(limits(instances, queue))
    }

    fn limits(instances: u32, queue: u32) -> ActorLimits {
        ActorLimits {
            instances,
            queue,
            deadline: None,
        }
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn as_many_enter_as_there_are_places() {
        let admission = admission(2, 0);
        let first = admission.try_enter().expect("a place");
        let _second = admission.try_enter().expect("a second place");
        assert!(admission.try_enter().is_none());

        drop(first);
        assert!(admission.try_enter().is_some());
    }

    #[test]
    fn the_queue_is_bounded_and_served_in_order() {
        let admission = admission(1, 2);
        let running = admission.try_enter().expect("a place");
        let mut first = pin!(admission.try_queue().expect("room").enter());
        let mut second = pin!(admission.try_queue().expect("room").enter());
        assert!(poll(first.as_mut()).is_pending());
        assert!(poll(second.as_mut()).is_pending());
        assert!(admission.try_queue().is_none());

        drop(running);
        assert!(admission.try_enter().is_none(), "nobody overtakes");
        assert!(poll(second.as_mut()).is_pending());
        assert!(poll(first.as_mut()).is_ready());
        assert!(poll(second.as_mut()).is_ready());
    }

    #[test]
    fn one_that_stops_waiting_leaves_the_queue() {
        let admission = admission(1, 1);
        let _running = admission.try_enter().expect("a place");
        drop(admission.try_queue().expect("room"));
        assert!(admission.try_queue().is_some());
    }

    #[test]
    fn more_places_serve_those_who_wait() {
        let admission = admission(1, 1);
        let _running = admission.try_enter().expect("a place");
        let mut waiting = pin!(admission.try_queue().expect("room").enter());
        assert!(poll(waiting.as_mut()).is_pending());

        admission.change(limits(2, 1));
        assert!(poll(waiting.as_mut()).is_ready());
    }

    #[test]
    fn fewer_places_hold_once_enough_have_left() {
        let admission = admission(3, 0);
        let set = |instances| admission.change(limits(instances, 0));
        let mut running: Vec<_> = (0..3).map_while(|_| admission.try_enter()).collect();
        set(1);
        running.truncate(1);
        assert!(admission.try_enter().is_none(), "one runs, one may");
        running.clear();
        let one = admission.try_enter().expect("the one place");
        assert!(admission.try_enter().is_none());

        // Down and up again while it is held: the debt is paid before places are added.
        set(0);
        set(2);
        let two = admission.try_enter().expect("the second place");
        assert!(admission.try_enter().is_none());
        drop((one, two));
        assert_eq!(admission.running(), 0);
    }

    #[test]
    fn a_call_that_waits_for_its_client_lends_its_place() {
        let admission = admission(1, 0);
        let slow = admission.try_enter().expect("the place");
        assert!(admission.try_enter().is_none());

        slow.lend();
        let quick = admission.try_enter().expect("the place that is lent");
        assert!(admission.try_enter().is_none());
        // A share is lent, and no more.
        quick.lend();
        assert!(admission.try_enter().is_none());
        quick.take_back();

        // It goes on at once, and the next that ends leaves no place behind.
        slow.take_back();
        assert_eq!(admission.running(), 2);
        drop(quick);
        assert!(admission.try_enter().is_none());
        drop(slow);
        assert_eq!(admission.running(), 0);
        assert!(admission.try_enter().is_some());
    }

    #[test]
    fn a_call_that_ends_while_it_waits_takes_nothing_along() {
        let admission = admission(4, 0);
        let slow: Vec<_> = (0..4).map_while(|_| admission.try_enter()).collect();
        slow.iter().for_each(Lend::lend);
        let quick: Vec<_> = (0..9).map_while(|_| admission.try_enter()).collect();
        assert_eq!(quick.len(), 2, "half of the places are lent");
        drop(slow);
        drop(quick);
        assert_eq!(admission.running(), 0);
        let all: Vec<_> = (0..9).map_while(|_| admission.try_enter()).collect();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn an_actor_is_not_idle_while_a_call_waits_for_its_client() {
        let admission = admission(1, 0);
        let slow = admission.try_enter().expect("the place");
        slow.lend();
        let mut idle = pin!(admission.idle());
        assert!(poll(idle.as_mut()).is_pending());
        slow.take_back();
        assert!(poll(idle.as_mut()).is_pending());
        drop(slow);
        assert!(poll(idle.as_mut()).is_ready());
    }

    #[test]
    fn an_actor_is_not_idle_while_a_call_goes_on_whose_place_was_lent() {
        let admission = admission(1, 0);
        let slow = admission.try_enter().expect("the place");
        let mut idle = pin!(admission.idle());
        assert!(poll(idle.as_mut()).is_pending());
        // The place that is lent goes to who waits for all of them, before it looks.
        slow.lend();
        slow.take_back();
        assert!(poll(idle.as_mut()).is_pending());
        assert!(poll(idle.as_mut()).is_pending());
        drop(slow);
        assert!(poll(idle.as_mut()).is_ready());
        assert_eq!(admission.running(), 0);
    }
}
