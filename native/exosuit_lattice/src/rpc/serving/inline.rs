//! Runs calls in the task that receives them, as long as they do not wait.
//!
//! A task for each call costs more than most calls, because it wakes other threads. Therefore the receiver polls
//! a call once, and spawns a task only if the call is not finished. Long calls would delay the next ones: if
//! calls are long on average, each gets a task at once, so that they run on all cores.
//!
//! The times are measured for each subscription, that is for each target. A guest in a loop holds the receiver for
//! one slice of the epoch (1 ms) at most; its average then keeps the next calls away.
//!
//! | state | the next call |
//! |---|---|
//! | average up to 20 µs | is polled once by the receiver |
//! | average above 20 µs, fewer than 65 tasks since | becomes a task |
//! | average above 20 µs, 64 tasks have passed | is polled once, to measure again |
//!
//! Only the first poll is measured. A call that waits for a store is short by that measure, and
//! that is right: what matters is how long it holds the receiver.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio_util::task::TaskTracker;

/// An accepted call. It is finished when it is answered.
pub(super) type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The average time up to which calls run inline: several times the cost of a task.
const LONGEST: Duration = Duration::from_micros(20);

/// How many calls become tasks before one runs inline again, to measure the time.
const TASKS: u32 = 64;

/// How long the calls of one target take, measured on those that ran inline.
#[derive(Debug, Default)]
pub(super) struct InlineStats {
    /// The moving average of the first poll.
    average: Duration,
    /// How many calls have become tasks since the last measurement.
    tasks: u32,
}

impl InlineStats {
    /// Runs a call inline, or spawns a task for it.
    ///
    /// A panic while the call is polled here is caught and ends that call: its caller times out,
    /// and the receiver goes on.
    pub(super) async fn run(&mut self, call: Call, tasks: &TaskTracker) {
        if !self.is_inline() {
            tasks.spawn(call);
            return;
        }
        let begun = Instant::now();
        // A panic affects only its own call, as in a separate task.
        let mut call = Box::pin(AssertUnwindSafe(call).catch_unwind());
        let polled = poll_fn(|context| Poll::Ready(call.poll_unpin(context))).await;
        self.took(begun.elapsed());
        if polled.is_pending() {
            tasks.spawn(call);
        }
    }

    /// Whether the next call runs inline: calls are short, or it is time to measure again.
    fn is_inline(&mut self) -> bool {
        if self.average <= LONGEST {
            return true;
        }
        self.tasks += 1;
        self.tasks > TASKS
    }

    /// Notes the time of a call that ran inline, in a moving average over about eight calls.
    fn took(&mut self, time: Duration) {
        self.tasks = 0;
        self.average = (self.average * 7 + time) / 8;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn what_does_not_wait_becomes_no_task_and_what_waits_does() {
        let (mut stats, tasks) = (InlineStats::default(), TaskTracker::new());
        let (done, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let counted = Arc::clone(&done);
        stats
            .run(
                Box::pin(async move { _ = counted.fetch_add(1, Ordering::SeqCst) }),
                &tasks,
            )
            .await;
        assert_eq!((done.load(Ordering::SeqCst), tasks.len()), (1, 0));

        let (counted, wait) = (Arc::clone(&done), Arc::clone(&gate));
        let waits = async move {
            wait.notified().await;
            counted.fetch_add(1, Ordering::SeqCst);
        };
        stats.run(Box::pin(waits), &tasks).await;
        assert_eq!((done.load(Ordering::SeqCst), tasks.len()), (1, 1));
        gate.notify_one();
        tasks.close();
        tasks.wait().await;
        assert_eq!(done.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_panic_costs_one_call() {
        let (mut stats, tasks) = (InlineStats::default(), TaskTracker::new());
        stats
            .run(Box::pin(async { panic!("of a guest") }), &tasks)
            .await;
        assert!(tasks.is_empty());
        let (done, next) = tokio::sync::oneshot::channel();
        let call = async move { done.send(()).expect("it is awaited") };
        stats.run(Box::pin(call), &tasks).await;
        assert_eq!(next.await, Ok(()));
    }

    #[test]
    fn calls_that_take_long_become_tasks_until_one_does_not() {
        let mut stats = InlineStats::default();
        for _ in 0..20 {
            stats.took(Duration::from_micros(100));
        }
        let inline = |stats: &mut InlineStats| {
            (0..130)
                .filter(|_| {
                    let is_inline = stats.is_inline();
                    if is_inline {
                        stats.took(Duration::from_micros(100));
                    }
                    is_inline
                })
                .count()
        };
        assert_eq!(inline(&mut stats), 2);
        for _ in 0..20 {
            stats.took(Duration::from_micros(1));
        }
        assert!(stats.is_inline());
    }
}
