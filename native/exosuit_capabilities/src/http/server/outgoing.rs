//! The body of a response on its way to a client.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, SizeHint};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::budget::{Held, Waiting};
use super::connection::Running;
use super::streamed::Streamed;
use super::streams::Reading;

/// What hyper is given of a body at a time: what it has not written yet is in no budget.
pub(crate) const PIECE: usize = 64 << 10;

/// Smaller bodies are in no budget: a connection takes more than that.
pub(crate) const SMALL: u64 = 8 << 10;

/// What a body that streams is counted as, unless one of its parts is larger: what hyper and the
/// operating system may hold of it.
pub(crate) const STREAMED: u64 = 128 << 10;

type Failure = Box<dyn Error + Send + Sync>;

/// The body of a response, whole or as it comes. Until it has been handed over, or given up, its
/// request counts as one that runs, and its bytes are in the budget.
pub(crate) struct Outgoing {
    content: Either<Full<Bytes>, Streamed>,
    /// The rest of a large part.
    rest: Bytes,
    /// A part that the budget has no room for yet.
    waiting: Option<(Bytes, Waiting)>,
    held: Held,
    running: Option<Running>,
    /// The client of an HTTP/2 request.
    reading: Option<Arc<Reading>>,
    _runs: Option<TaskTrackerToken>,
}

impl Outgoing {
    pub(crate) fn new(
        content: Either<Full<Bytes>, Streamed>,
        held: Held,
        runs: TaskTrackerToken,
    ) -> Self {
        Self {
            held,
            _runs: Some(runs),
            ..Self::of(content)
        }
    }

    fn of(content: Either<Full<Bytes>, Streamed>) -> Self {
        Self {
            content,
            rest: Bytes::new(),
            waiting: None,
            held: Held::default(),
            running: None,
            reading: None,
            _runs: None,
        }
    }

    /// Says which request it answers.
    pub(crate) fn belongs_to(&mut self, mut running: Running) {
        self.reading = running.answered();
        self.running = Some(running);
    }

    /// Has a large part of a body that streams wait for its place in the budget.
    fn admit(&mut self, part: Bytes) {
        let size = part.len() as u64;
        let budget = self.running.as_ref().map(Running::budget);
        let is_streamed = matches!(self.content, Either::Right(_));
        if let Some(budget) = budget.filter(|_| is_streamed && size > STREAMED)
            && !budget.count(&mut self.held, size)
            && let Some(waiting) = budget.wait(&self.held, size)
        {
            self.waiting = Some((part, waiting));
        } else {
            self.rest = part;
        }
    }

    fn poll_admitted(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Some((part, waiting)) = &mut self.waiting {
            let held = ready!(waiting.as_mut().poll(context))?;
            self.rest = std::mem::take(part);
            self.held.add(held);
            self.waiting = None;
        }
        Poll::Ready(Ok(()))
    }

    /// The next piece of what is left, or of what comes.
    fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        loop {
            ready!(self.poll_admitted(context))?;
            if !self.rest.is_empty() {
                let length = self.rest.len().min(PIECE);
                return Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))));
            }
            let Some(frame) = ready!(Pin::new(&mut self.content).poll_frame(context)?) else {
                return Poll::Ready(None);
            };
            match frame.into_data() {
                Ok(part) if part.len() > PIECE => self.admit(part),
                Ok(part) => return Poll::Ready(Some(Ok(Frame::data(part)))),
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
    }
}

impl From<Full<Bytes>> for Outgoing {
    fn from(content: Full<Bytes>) -> Self {
        Self::of(Either::Left(content))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        if let Some(reading) = &this.reading {
            reading.taken();
        }
        let polled = this.poll_piece(context);
        if let (Some(reading), Poll::Ready(Some(Ok(frame)))) = (&this.reading, &polled) {
            reading.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.waiting.is_none() && self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let waiting = self.waiting.as_ref().map_or(0, |(part, _)| part.len());
        let own = (self.rest.len() + waiting) as u64;
        let coming = self.content.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(own + coming.lower());
        if let Some(upper) = coming.upper() {
            hint.set_upper(own + upper);
        }
        hint
    }
}
