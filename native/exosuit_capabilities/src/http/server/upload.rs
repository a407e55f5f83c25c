//! The body of a request on its way to an actor, within limits.
//!
//! Reads a small body, or the beginning of a larger one, before the actor is called, so that no instance waits for
//! a slow client. A client that does not declare the size of its body may expect an answer before it continues; then
//! only the first bytes are awaited.
//!
//! # Reading ahead
//!
//! | the client | read before the call |
//! |---|---|
//! | declares up to 64 KiB | the whole body |
//! | declares more | 64 KiB |
//! | declares nothing | one byte |
//! | expects `100 Continue` | nothing |
//!
//! The bytes that were read ahead count in the budget of the client until the guest takes them. The
//! rest is never buffered here: it stays in the connection until the guest reads.
//!
//! # Faults
//!
//! | fault | status | raised by |
//! |---|---|---|
//! | more than `max_body_bytes` | 413 | `too_large` |
//! | below the minimum rate, or no first byte in time | 408 | `too_slow` |
//! | the connection or the stream broke | 400 | `broken_off` |

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use exosuit_core::{ClientWait, Code, Error};
use http::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio_util::sync::CancellationToken;

use super::budget::{Budget, Held};
use super::drain_body::drain_body;
use super::limits::AddressLimits;
use super::pace::{Pace, Tempo};
use super::refusal::Refusal;

/// The bytes that are read before the actor is called.
const READ_AHEAD: u64 = 64 << 10;

/// The body of a request as it comes: read when the actor reads.
pub(crate) struct Upload {
    /// `None` after the end or a failure.
    body: Option<Incoming>,
    /// The bytes that may still come.
    left: u64,
    /// The largest body, for the error.
    most: u64,
    /// Watches the client while the guest waits.
    pace: Pace,
    /// The minimum rate after the first byte.
    tempo: Tempo,
    has_begun: bool,
    /// Reports whether the call waits for its client. The router then lends its slot to another
    /// call.
    waits: Arc<ClientWait>,
    /// Whether reading is allowed. Reading a body makes hyper send `100 Continue`, which only the
    /// guest may cause.
    welcome: bool,
    /// Shared with the call and its answer.
    fault: Arc<Fault>,
    ahead: Ahead,
}

/// The bytes that were read before the actor asked for them.
#[derive(Default)]
struct Ahead {
    /// One buffer for all parts: many small buffers would take more memory than the budget counts.
    data: BytesMut,
    trailers: Option<Frame<Bytes>>,
    held: Held,
}

impl Ahead {
    /// The bytes that were read ahead.
    fn length(&self) -> u64 {
        self.data.len() as u64
    }

    /// Whether nothing is left of what was read ahead.
    fn is_empty(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }
}

/// A fault of a request that shows while its body is read. The call is then given up.
#[derive(Default)]
pub(crate) struct Fault {
    status: OnceLock<StatusCode>,
    raised: CancellationToken,
}

impl Fault {
    /// The refusal, if the request is at fault by now.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.status.get().copied().map(Refusal::Request)
    }

    /// Waits until the request is at fault.
    pub(crate) async fn raised(&self) -> Refusal {
        self.raised.cancelled().await;
        self.bad()
    }

    /// The refusal of a request at fault; 400 if the status is not known.
    fn bad(&self) -> Refusal {
        let bad = Refusal::Request(StatusCode::BAD_REQUEST);
        self.refusal().unwrap_or(bad)
    }

    /// Cancelled when the request is at fault.
    pub(crate) fn token(&self) -> CancellationToken {
        self.raised.clone()
    }

    /// Notes the first fault.
    fn raise(&self, status: StatusCode) {
        let _ = self.status.set(status);
        self.raised.cancel();
    }
}

impl Upload {
    /// A body of at most `most` bytes, of a client that must keep the pace of these limits.
    pub(crate) fn new(body: Incoming, expects: bool, most: u64, limits: &AddressLimits) -> Self {
        Self {
            body: Some(body),
            left: most,
            most,
            pace: Pace::new(limits.first_byte()),
            tempo: limits.upload(),
            has_begun: false,
            waits: Arc::default(),
            welcome: !expects,
            fault: Arc::default(),
            ahead: Ahead::default(),
        }
    }

    /// The place where faults are noted.
    pub(crate) fn fault(&self) -> Arc<Fault> {
        self.fault.clone()
    }

    /// The channel that reports that the call waits for its client.
    pub(crate) fn waits(&self) -> Arc<ClientWait> {
        self.waits.clone()
    }

    /// Reads the beginning of the body. If the client waits for `100 Continue`, it reads nothing: the actor
    /// decides whether it wants the body.
    pub(crate) async fn read_ahead(&mut self, budget: &Budget) -> Result<(), Refusal> {
        if !self.welcome {
            return Ok(());
        }
        let wanted = match self.size_hint().exact() {
            Some(size) => size.min(READ_AHEAD),
            None => 1,
        };
        while self.ahead.length() < wanted && self.body.is_some() {
            match poll_fn(|context| self.poll_next(context)).await {
                Some(Ok(frame)) => self.keep(frame, budget)?,
                Some(Err(_)) => return Err(self.fault.bad()),
                None => break,
            }
        }
        Ok(())
    }

    /// Buffers a frame, if the budget of the client has room.
    fn keep(&mut self, frame: Frame<Bytes>, budget: &Budget) -> Result<(), Refusal> {
        let ahead = &mut self.ahead;
        match frame.into_data() {
            Ok(part) => {
                let length = ahead.length() + part.len() as u64;
                if !budget.raise(&mut ahead.held, length) {
                    return Err(Refusal::Full);
                }
                ahead.data.extend_from_slice(&part);
            }
            Err(trailers) => ahead.trailers = Some(trailers),
        }
        Ok(())
    }

    /// What was read ahead, as one frame, and then its trailers. Returns its bytes to the budget.
    fn take_kept(&mut self) -> Option<Frame<Bytes>> {
        let Ahead { data, trailers, .. } = &mut self.ahead;
        if data.is_empty() {
            return trailers.take();
        }
        let data = std::mem::take(data).freeze();
        self.ahead.held = Held::default();
        Some(Frame::data(data))
    }

    /// The next frame from the client. The pace counts only while this waits.
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(body).poll_frame(context) else {
            if self.pace.poll_slow(context).is_pending() {
                return Poll::Pending;
            }
            return Poll::Ready(Some(Err(self.too_slow())));
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(self.take(frame)),
            Some(Err(_)) => Some(Err(self.broken_off())),
            None => {
                self.body = None;
                None
            }
        })
    }

    /// Counts a frame against the largest body, and against the pace.
    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        let length = frame.data_ref().map_or(0, Bytes::len);
        if !std::mem::replace(&mut self.has_begun, true) {
            self.pace.change(self.tempo);
        }
        self.pace.passed(length);
        match self.left.checked_sub(length as u64) {
            Some(left) => {
                self.left = left;
                Ok(frame)
            }
            None => Err(self.too_large()),
        }
    }

    /// The fault of a body that is too large. What is left of it is read and dropped.
    fn too_large(&mut self) -> Error {
        self.fault.raise(StatusCode::PAYLOAD_TOO_LARGE);
        if let Some(body) = self.body.take() {
            drain_body(body);
        }
        let detail = format!(
            "the body of the request is larger than max_body_bytes, {}",
            self.most
        );
        Error::new(Code::InvalidInput, detail)
    }

    /// The fault of a client that is too slow.
    fn too_slow(&mut self) -> Error {
        self.fault.raise(StatusCode::REQUEST_TIMEOUT);
        self.body = None;
        let detail = "the client sends the body of the request too slowly, see min_rate and \
                      first_byte_timeout_ms";
        Error::new(Code::Deadline, detail)
    }

    /// The fault of a body that ended early.
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
        if let Some(frame) = this.take_kept() {
            return Poll::Ready(Some(Ok(frame)));
        }
        this.welcome = true;
        let polled = this.poll_next(context);
        this.waits.set(polled.is_pending());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let coming = self.body.as_ref().map(Body::size_hint);
        let coming = coming.unwrap_or_else(|| SizeHint::with_exact(0));
        let mut hint = SizeHint::new();
        hint.set_lower(self.ahead.length() + coming.lower());
        if let Some(upper) = coming.upper() {
            hint.set_upper(self.ahead.length() + upper);
        }
        hint
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.waits.set(false);
        // The actor does not read the rest.
        if let Some(body) = self.body.take().filter(|_| self.welcome) {
            drain_body(body);
        }
    }
}
