//! Schedules compiles: a bounded number at a time, with tenants in turn.
//!
//! Turns rotate over the tenants that wait. A tenant with a hundred compiles therefore delays another's by one. A
//! tenant is the issuer of the code; all unsigned code is one tenant.
//!
//! ```text
//! waiting: a a a a   b   c        order of turns: a b c a a a
//! ```
//!
//! # How a turn goes on
//!
//! 1. [`Turns::acquire`] takes a free turn, or joins the queue with a channel.
//! 2. A [`Turn`] that is dropped looks for the next waiter under the lock, and sends itself outside of it.
//! 3. If nobody waits, the turn is free. If the waiter has gone by then, the send fails, and drops the turn again:
//!    back to step 2.
//!
//! Nothing here waits under the lock. A waiter that gives up is passed over when its turn comes, and counts no more
//! when the next one joins. A turn is a value that passes itself on when it is dropped, so that a compile that fails,
//! panics or is cancelled gives it back like one that ends.
//!
//! Why not a semaphore: it serves in the order of arrival, and the first tenant's hundred compiles would all come
//! first.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::Error;

/// The number of waiting compiles of all tenants together. Each holds the bytes of its module, so the queue
/// must have an end.
const MAX_WAITING: usize = 10_000;

/// The turns of one compiler. The lock is held for a search of the queue, which has at most [`MAX_WAITING`] entries.
pub(crate) struct Turns(Mutex<Queue>);

/// Free turns, and those who wait for one. If there is a free turn, nobody waits.
struct Queue {
    /// The free turns. Above zero only if no task waits.
    free: usize,
    /// The waiting tenants, the next one first, each with its waiting compiles.
    tenants: VecDeque<(String, VecDeque<Waiter>)>,
}

/// Receives the turn of a waiting compile. Closed if that has given up: its future, which has the receiver, was
/// dropped.
type Waiter = oneshot::Sender<Turn>;

/// The right to compile, until it is dropped. The drop passes it on to the next tenant.
pub(crate) struct Turn(Arc<Turns>);

impl Turns {
    /// Turns for this number of concurrent compiles, one at least.
    pub(crate) fn new(at_once: usize) -> Arc<Self> {
        let queue = Queue {
            free: at_once.max(1),
            tenants: VecDeque::new(),
        };
        Arc::new(Self(Mutex::new(queue)))
    }

    /// Waits for a turn. Dropping the future leaves the queue. The error `overloaded` if too many wait.
    ///
    /// A turn that was sent and not received yet is dropped with the channel, and passes itself on: none is lost
    /// between the two.
    pub(crate) async fn acquire(self: &Arc<Self>, tenant: &str) -> Result<Turn, Error> {
        let waiting = {
            let mut queue = self.0.lock();
            if queue.free > 0 {
                queue.free -= 1;
                return Ok(Turn(Arc::clone(self)));
            }
            queue.wait(tenant)?
        };
        waiting.await.map_err(|_| Error::Compiler)
    }
}

impl Queue {
    /// Adds a waiter behind those of its tenant. Removes those that have given up first, so that they do not keep
    /// others out. That takes time in proportion to the queue, and happens only if all turns are taken.
    fn wait(&mut self, tenant: &str) -> Result<oneshot::Receiver<Turn>, Error> {
        for (_, waiters) in &mut self.tenants {
            waiters.retain(|waiter| !waiter.is_closed());
        }
        self.tenants.retain(|(_, waiters)| !waiters.is_empty());
        let waiting: usize = self.tenants.iter().map(|(_, waiters)| waiters.len()).sum();
        if waiting >= MAX_WAITING {
            let why = format!("{waiting} modules wait to be compiled already");
            return Err(Error::Overloaded(why));
        }
        let (waiter, turn) = oneshot::channel();
        match self.tenants.iter_mut().find(|(name, _)| name == tenant) {
            Some((_, waiters)) => waiters.push_back(waiter),
            None => self.tenants.push_back((tenant.to_owned(), [waiter].into())),
        }
        Ok(turn)
    }

    /// The next waiter. Its tenant moves to the end of the queue. `None` if no task waits: the turn is then free.
    fn next(&mut self) -> Option<Waiter> {
        while let Some((tenant, mut waiters)) = self.tenants.pop_front() {
            let waiter = waiters.pop_front();
            if !waiters.is_empty() {
                self.tenants.push_back((tenant, waiters));
            }
            if let Some(waiter) = waiter.filter(|waiter| !waiter.is_closed()) {
                return Some(waiter);
            }
        }
        self.free += 1;
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // A statement of its own: a failed send drops a turn, which takes the lock again.
        let next = self.0.0.lock().next();
        if let Some(waiter) = next {
            // A waiter that has just gone drops the turn, which passes it on.
            let _ = waiter.send(Self(Arc::clone(&self.0)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Waiting = Pin<Box<dyn Future<Output = Result<Turn, Error>>>>;

    fn ask(turns: &Arc<Turns>, tenant: &'static str) -> Waiting {
        let turns = Arc::clone(turns);
        let mut waiting: Waiting = Box::pin(async move { turns.acquire(tenant).await });
        assert!(poll(&mut waiting).is_none(), "{tenant} did not wait");
        waiting
    }

    fn poll(waiting: &mut Waiting) -> Option<Turn> {
        match waiting
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(turn) => Some(turn.expect("there is room")),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn tenants_take_turns() -> Result<(), Error> {
        let turns = Turns::new(1);
        let mut turn = Some(turns.acquire("greedy").await?);
        let mut waiting: Vec<_> = ["greedy", "greedy", "greedy", "modest", "third"]
            .map(|tenant| (tenant, ask(&turns, tenant)))
            .into();

        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(turn.take());
            let next = waiting
                .iter_mut()
                .enumerate()
                .find_map(|(place, (_, waiting))| poll(waiting).map(|turn| (place, turn)));
            let (place, next) = next.expect("somebody's turn");
            order.push(waiting.remove(place).0);
            turn = Some(next);
        }

        assert_eq!(order, ["greedy", "modest", "third", "greedy", "greedy"]);
        Ok(())
    }

    #[tokio::test]
    async fn one_that_waits_no_more_is_passed_over() -> Result<(), Error> {
        let turns = Turns::new(1);
        let turn = turns.acquire("a").await?;
        let gone = ask(&turns, "b");
        let mut patient = ask(&turns, "c");
        drop(gone);
        drop(turn);
        let turn = poll(&mut patient).expect("its turn");
        drop(turn);
        // If the waiter is gone, the turn is free again.
        let turn = turns.acquire("a").await?;
        let gone = ask(&turns, "b");
        drop(turn);
        drop(gone);
        drop(turns.acquire("a").await?);
        Ok(())
    }

    #[tokio::test]
    async fn so_many_wait_and_no_more() -> Result<(), Error> {
        let turns = Turns::new(1);
        let _turn = turns.acquire("a").await?;
        let _waiting: Vec<_> = (0..MAX_WAITING).map(|_| ask(&turns, "b")).collect();
        assert!(matches!(
            turns.acquire("c").await,
            Err(Error::Overloaded(_))
        ));
        Ok(())
    }
}
