//! The body of a request on its way to an actor, within bounds.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use exosuit_core::{Code, Error};
use http::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::refusal::Refusal;
use super::unread::linger;

/// The body of a request as it comes: read when the actor reads.
pub(crate) struct Upload {
    /// None when it has ended, well or not.
    body: Option<Incoming>,
    /// How many bytes may still come.
    left: u64,
    most: u64,
    /// How long the client may pause.
    pause: Duration,
    /// Runs while the client is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    /// The client sends, or has been told to.
    welcome: bool,
    fault: Arc<Fault>,
}

/// What is wrong with a request, as it turns out while its body is read.
#[derive(Default)]
pub(crate) struct Fault {
    status: OnceLock<StatusCode>,
    raised: CancellationToken,
}

impl Fault {
    /// What is wrong, if anything is by now.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.status.get().copied().map(Refusal::Request)
    }

    /// Waits until something is wrong.
    pub(crate) async fn raised(&self) -> Refusal {
        self.raised.cancelled().await;
        let bad = Refusal::Request(StatusCode::BAD_REQUEST);
        self.refusal().unwrap_or(bad)
    }

    /// Cancelled when something is wrong.
    pub(crate) fn token(&self) -> CancellationToken {
        self.raised.clone()
    }

    fn raise(&self, status: StatusCode) {
        let _ = self.status.set(status);
        self.raised.cancel();
    }
}

impl Upload {
    /// A body of at most so many bytes, of a client that pauses no longer than this.
    pub(crate) fn new(body: Incoming, expects: bool, most: u64, pause: Duration) -> Self {
        Self {
            body: Some(body),
            left: most,
            most,
            pause,
            timer: None,
            waiting: false,
            welcome: !expects,
            fault: Arc::default(),
        }
    }

    /// Where it tells what is wrong.
    pub(crate) fn fault(&self) -> Arc<Fault> {
        self.fault.clone()
    }

    /// Waits for the client, for as long as that may pause.
    fn poll_pause(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let pause = self.pause;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(pause)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(Instant::now() + pause);
        }
        timer.as_mut().poll(context)
    }

    /// Counts what came.
    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        let length = frame.data_ref().map_or(0, |part| part.len() as u64);
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                Ok(frame)
            }
            None => Err(self.too_large()),
        }
    }

    fn too_large(&mut self) -> Error {
        self.fault.raise(StatusCode::PAYLOAD_TOO_LARGE);
        if let Some(body) = self.body.take() {
            linger(body);
        }
        let detail = format!(
            "the body of the request is larger than max_body_bytes, {}",
            self.most
        );
        Error::new(Code::InvalidInput, detail)
    }

    fn too_slow(&mut self) -> Error {
        self.fault.raise(StatusCode::REQUEST_TIMEOUT);
        self.body = None;
        let pause = self.pause;
        let detail = format!("the client sent nothing more of the request's body for {pause:?}");
        Error::new(Code::Deadline, detail)
    }

    fn broken_off(&mut self) -> Error {
        self.fault.raise(StatusCode::BAD_REQUEST);
        self.body = None;
        Error::new(Code::Io, "the client broke off the body of the request")
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        this.welcome = true;
        let Poll::Ready(frame) = Pin::new(body).poll_frame(context) else {
            ready!(this.poll_pause(context));
            return Poll::Ready(Some(Err(this.too_slow())));
        };
        this.waiting = false;
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(this.take(frame)),
            Some(Err(_)) => Some(Err(this.broken_off())),
            None => {
                this.body = None;
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Nobody reads the rest of it.
        if let Some(body) = self.body.take().filter(|_| self.welcome) {
            linger(body);
        }
    }
}
