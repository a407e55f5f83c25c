//! Bodies that end with their call: at its deadline, or when the actor that made it is stopped.
//!
//! A call has two bodies: that of the request, which hyper reads, and that of the response, which
//! the guest reads. Both hold the `Term`, and with it the lease of the call. So the call counts as
//! running until both are done.
//!
//! The timer is made when a body first has to wait. A body that is always ready costs no timer, and
//! checks the clock at each frame.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use exosuit_core::{Code, Error, Lease};
use hyper::body::{Body, Frame, SizeHint};

/// The end of a call, shared by its bodies. The lease is given back when the last of them has
/// ended.
pub(crate) struct Term {
    pub(crate) lease: Lease,
    pub(crate) deadline: Instant,
}

/// A body of a call.
pub(crate) struct Leased<B> {
    /// `None` when it has ended, with or without an error.
    body: Option<B>,
    term: Option<Arc<Term>>,
    /// Set up when the body is first waited for.
    end: Option<Pin<Box<dyn Future<Output = Error> + Send + Sync>>>,
}

impl Term {
    /// The error, if the call has ended.
    fn end_by_now(&self) -> Option<Error> {
        if self.lease.withdrawn.is_cancelled() {
            Some(stopped())
        } else if self.deadline <= Instant::now() {
            Some(late())
        } else {
            None
        }
    }

    /// Waits for the end of the call.
    async fn end(self: Arc<Self>) -> Error {
        tokio::select! {
            () = self.lease.withdrawn.cancelled() => stopped(),
            () = tokio::time::sleep_until(self.deadline.into()) => late(),
        }
    }
}

/// The caller was stopped.
fn stopped() -> Error {
    Error::new(Code::Dropped, "the HTTP client was stopped during the call")
}

/// The deadline of the call passed.
fn late() -> Error {
    let detail = "the deadline of the call passed before the exchange was over";
    Error::new(Code::Deadline, detail)
}

impl<B> Leased<B> {
    /// A body that ends with the term.
    pub(crate) fn new(body: B, term: &Arc<Term>) -> Self {
        Self {
            body: Some(body),
            term: Some(term.clone()),
            end: None,
        }
    }

    /// Drops the body, the timer and the lease.
    fn close(&mut self) {
        self.body = None;
        self.end = None;
        self.term = None;
    }

    /// Ready with the error when the call has ended.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Error> {
        let Some(term) = &self.term else {
            return Poll::Pending;
        };
        let end = self.end.get_or_insert_with(|| Box::pin(term.clone().end()));
        end.as_mut().poll(context)
    }
}

impl<B> Body for Leased<B>
where
    B: Body<Data = Bytes, Error = Error> + Unpin,
{
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
        let ended = this.term.as_ref().and_then(|term| term.end_by_now());
        let frame = match ended {
            Some(error) => Some(Err(error)),
            None => match Pin::new(body).poll_frame(context) {
                Poll::Ready(frame) => frame,
                Poll::Pending => match this.poll_end(context) {
                    Poll::Ready(error) => Some(Err(error)),
                    Poll::Pending => return Poll::Pending,
                },
            },
        };
        if !matches!(frame, Some(Ok(_))) {
            this.close();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.as_ref().map(Body::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}
