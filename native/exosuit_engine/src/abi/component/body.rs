//! Converts HTTP bodies between guests and the rest of the host.
//!
//! Bodies stream in both directions: nothing here collects one. Each conversion changes only errors and, for what a
//! guest reads, adds the bound on pauses that the guest asked for. Frames keep their trailers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use exosuit_core::{Body, Code, Error};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::time::{Sleep, sleep};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

/// Makes a body `Sync`, as the bodies of `exosuit_core` are. A guest's body is not, and only one thread at a time ever
/// polls it. A poll has the body mutably, so it needs no lock; only the two questions below take it.
struct SyncBody<B>(Mutex<B>);

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for SyncBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(self.0.get_mut()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().size_hint()
    }
}

/// A body that a guest writes, for readers outside. Errors become those of Exosuit.
pub(super) fn from_guest(body: WasiBody) -> Body {
    let to_error = |error: HttpError| {
        let detail = format!("the guest did not send its whole body: {error}");
        Error::new(Code::Guest, detail)
    };
    SyncBody(Mutex::new(body)).map_err(to_error).boxed()
}

/// A body that a guest reads. With `pause`, the body ends with an error if it brings nothing for that long.
///
/// Deadlines become the timeout of `wasi:http`, and all other failures an internal error with their text.
pub(super) fn to_guest(body: Body, pause: Option<Duration>) -> WasiBody {
    let to_error = |error: Error| match error.code {
        Code::Deadline => HttpError::ConnectionReadTimeout,
        _ => HttpError::InternalError(Some(error.detail)),
    };
    let paused = Paused {
        body,
        pause,
        waiting: None,
    };
    paused.map_err(to_error).boxed_unsync()
}

/// A body that fails if it pauses for too long while its reader waits.
struct Paused {
    body: Body,
    pause: Option<Duration>,
    /// Runs since the reader found nothing. Time without a reader does not count as a pause.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Paused {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let Some(pause) = self.pause else {
            return frame;
        };
        if frame.is_ready() {
            self.waiting = None;
            return frame;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(pause)));
        ready!(waiting.as_mut().poll(context));
        let detail = format!("the response paused for more than {pause:?}");
        Poll::Ready(Some(Err(Error::new(Code::Deadline, detail))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep_until};

    use super::*;

    /// A part that is there when it is asked for again.
    struct Hesitant(bool);

    impl HttpBody for Hesitant {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            if std::mem::replace(&mut self.0, true) {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"part")))));
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }

    /// Nothing, for ever.
    struct Silent;

    impl HttpBody for Silent {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn the_pause_of_a_body_is_not_that_of_its_reader() {
        let pause = Duration::from_millis(20);
        let mut body = to_guest(Hesitant(false).boxed(), Some(pause));
        sleep_until(Instant::now() + 2 * pause).await;
        assert!(matches!(body.frame().await, Some(Ok(_))));

        let mut body = to_guest(Silent.boxed(), Some(pause));
        let error = body.frame().await.and_then(Result::err);
        assert!(matches!(error, Some(HttpError::ConnectionReadTimeout)));
    }
}
