//! Keeps work that takes long away from the schedulers of the BEAM.
//!
//! A call from Elixir is polled once on the scheduler that makes it. The epoch ends the guest's slice
//! there, but nothing ends an operation of the host, or a `memory.fill`, once it has begun. So before
//! one that may take longer than a slice, the call leaves the scheduler: it is pending, and goes on
//! in a task of Tokio.

use tokio::task::{try_id, yield_now};

/// Goes on in a task of Tokio: at once where the call runs in one already.
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
