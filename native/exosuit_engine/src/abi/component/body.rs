//! Bodies on their way between a guest and the world.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use exosuit_core::{Body, Code, Error};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

/// A body that only one thread at a time looks at, as all may.
struct Shared<B>(Mutex<B>);

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Shared<B> {
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

/// What a guest sends.
pub(super) fn from_guest(body: WasiBody) -> Body {
    let told = |error: HttpError| {
        let detail = format!("the guest did not send its whole body: {error}");
        Error::new(Code::Guest, detail)
    };
    Shared(Mutex::new(body)).map_err(told).boxed()
}

/// What a guest receives, with a bound on how long it may pause.
pub(super) fn to_guest(body: Body, pause: Option<Duration>) -> WasiBody {
    let told = |error: Error| match error.code {
        Code::Deadline => HttpError::ConnectionReadTimeout,
        _ => HttpError::InternalError(Some(error.detail)),
    };
    let paused = Paused {
        body,
        bound: pause.map(|pause| (pause, Box::pin(sleep(pause)))),
    };
    paused.map_err(told).boxed_unsync()
}

/// A body that may not pause for longer than that between its parts.
struct Paused {
    body: Body,
    bound: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl HttpBody for Paused {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let Some((pause, sleep)) = &mut self.bound else {
            return frame;
        };
        if frame.is_ready() {
            sleep.as_mut().reset(Instant::now() + *pause);
            return frame;
        }
        ready!(sleep.as_mut().poll(context));
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
