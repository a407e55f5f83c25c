//! Ends a call at its deadline, or with the target that serves it.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::{Code, Error};

/// Runs `call` until `deadline`, or until `cancel` is cancelled. Both drop the call.
///
/// Timer and cancellation are set up when the call first has to wait, so a call that finishes in
/// its first poll pays for neither. The call is polled once in each poll: a guest that yields at
/// the end of its slice gets no second one. It needs a Tokio context.
pub async fn bounded<T>(
    call: impl Future<Output = Result<T, Error>>,
    deadline: Instant,
    cancel: Option<&CancellationToken>,
) -> Result<T, Error> {
    let mut call = pin!(call);
    let mut bound = None;

    poll_fn(|context| {
        if let Poll::Ready(answer) = call.as_mut().poll(context) {
            return Poll::Ready(answer);
        }
        let bound = bound.get_or_insert_with(|| Box::pin(first_bound(deadline, cancel)));
        bound.as_mut().poll(context).map(Err)
    })
    .await
}

async fn first_bound(deadline: Instant, cancel: Option<&CancellationToken>) -> Error {
    let cancelled = async {
        match cancel {
            Some(token) => token.cancelled().await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = cancelled => Error::new(Code::Dropped, "the target of the call was stopped"),
        () = tokio::time::sleep_until(deadline.into()) => {
            Error::new(Code::Deadline, "the deadline of the call passed before it was answered")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[tokio::test]
    async fn an_answer_in_time_is_passed_on() {
        let answer = bounded(async { Ok::<_, Error>(1) }, soon(), None).await;
        assert_eq!(answer, Ok(1));
    }

    #[tokio::test]
    async fn the_deadline_ends_a_call_that_waits() {
        let answer = bounded(pending::<Result<(), Error>>(), soon(), None).await;
        assert_eq!(answer.map_err(|error| error.code), Err(Code::Deadline));
    }

    #[tokio::test]
    async fn cancelling_ends_a_call_that_waits() {
        let token = CancellationToken::new();
        let far = Instant::now() + Duration::from_hours(1);
        let call = bounded(pending::<Result<(), Error>>(), far, Some(&token));
        let (answer, ()) = tokio::join!(call, async { token.cancel() });
        assert_eq!(answer.map_err(|error| error.code), Err(Code::Dropped));
    }

    #[test]
    fn a_call_that_does_not_wait_needs_no_runtime() {
        let mut call = pin!(bounded(async { Ok::<_, Error>(1) }, soon(), None));
        let polled = call
            .as_mut()
            .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert_eq!(polled, Poll::Ready(Ok(1)));
    }
}
