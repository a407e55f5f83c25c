//! Keeps long work off the schedulers of the BEAM.
//!
//! A call from Elixir is polled once on the calling scheduler. The epoch ends the guest's slice there, but nothing
//! interrupts an operation of the host, or a `memory.fill`. Before an operation that may exceed a slice, a call
//! therefore leaves the scheduler: it returns pending once, and continues in a Tokio task.
//!
//! | operation | when | where |
//! |---|---|---|
//! | random numbers | more than 64 KiB are asked for | `random` |
//! | a call of a guest with much memory | it has or gets more than 8 MiB | `limiter` |
//! | an access to granted directories | always | `sandbox` |
//! | a conversion of values | they are large: `exosuit_core::are_heavy` | `component::function`, `component::bridge` |
//!
//! A call that runs in a task does not leave it, because Tokio's threads may be busy for longer.
//!
//! `exosuit_core::Pace` predicts from earlier calls whether a call ends within its slice. The checks here bound the
//! cost of a wrong prediction: the scheduler loses one slice.

use tokio::task::{try_id, yield_now};

/// Returns pending once if this is not a Tokio task, so that the rest of the call runs in one.
///
/// The poll on a scheduler has no task, which is how it is recognized. `yield_now` wakes the waker of the poll; that
/// one does nothing, and `exosuit_nif` moves every call that is not ready to Tokio.
///
/// In `Runtime::block_on`, which tests use, there is no task either: it returns pending once there, too.
pub(crate) async fn leave_scheduler() {
    if try_id().is_none() {
        yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn a_call_outside_of_tasks_is_pending_once_and_one_in_a_task_is_not() {
        let mut context = Context::from_waker(Waker::noop());
        let mut outside = pin!(leave_scheduler());
        assert!(outside.as_mut().poll(&mut context).is_pending());
        assert!(outside.as_mut().poll(&mut context).is_ready());

        let inside = async {
            let mut context = Context::from_waker(Waker::noop());
            pin!(leave_scheduler()).poll(&mut context).is_ready()
        };
        assert!(tokio::spawn(inside).await.expect("no panic"));
    }
}
