//! The body of a response on its way to a client.
//!
//! Bodies go to hyper in small pieces: the bytes that hyper or h2 holds are in no budget, so they must be few.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, SizeHint};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::budget::{Held, Waiting};
use super::connection_state::Running;
use super::piece::{Piece, Pieces};
use super::streamed::Streamed;
use super::streams::Reading;

/// The size of a piece. hyper holds one piece, which is in no budget.
pub(crate) const PIECE: usize = 64 << 10;

/// The size of a piece on HTTP/2. The last piece of each stream waits in h2 until the client opens a window, in
/// no budget. [`Pieces`] bounds for how long.
const HTTP2_PIECE: usize = 8 << 10;

/// Smaller bodies are not counted: the connection itself takes more memory.
pub(crate) const SMALL: u64 = 8 << 10;

/// A body that streams counts as this many bytes, about what hyper and the operating system hold of it. A larger
/// part counts as itself.
pub(crate) const STREAMED: u64 = 128 << 10;

/// The error type that hyper takes from a body.
type Failure = Box<dyn Error + Send + Sync>;

/// The body of a response, whole or streaming. Until it has been sent, or given up, its request
/// counts as running and its bytes are in the budget.
///
/// ```text
/// content ──► a part ──► rest (cut into pieces) ──► hyper
///                └─ too large for the budget: waiting
/// ```
pub(crate) struct Outgoing {
    content: Either<Full<Bytes>, Streamed>,
    /// The rest of a large part.
    rest: Bytes,
    /// A part that waits for room in the budget.
    waiting: Option<(Bytes, Waiting)>,
    /// An error that hyper gets at the next poll, after it has written what came before.
    failure: Option<Failure>,
    held: Held,
    /// Its request. `None` for a refusal without one.
    running: Option<Running>,
    /// Watches whether the client of an HTTP/2 request reads.
    reading: Option<Arc<Reading>>,
    /// The bytes that the client has not taken yet.
    pieces: Option<Arc<Pieces>>,
    /// Counts the request among those of its route.
    _runs: Option<TaskTrackerToken>,
}

impl Outgoing {
    /// The answer of an actor.
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

    /// A body that counts nowhere yet.
    fn of(content: Either<Full<Bytes>, Streamed>) -> Self {
        Self {
            content,
            rest: Bytes::new(),
            waiting: None,
            failure: None,
            held: Held::default(),
            running: None,
            reading: None,
            pieces: None,
            _runs: None,
        }
    }

    /// Sets the request that it answers.
    pub(crate) fn belongs_to(&mut self, mut running: Running) {
        self.reading = running.answered();
        self.running = Some(running);
    }

    /// Counts its pieces among those of a connection of HTTP/2.
    pub(crate) fn count_in(&mut self, pieces: Arc<Pieces>) {
        self.pieces = Some(pieces);
    }

    /// The size of a piece on this connection.
    fn piece(&self) -> usize {
        self.pieces.as_ref().map_or(PIECE, |_| HTTP2_PIECE)
    }

    /// The next piece of the current part. The last piece is a copy, because a slice would keep the whole answer
    /// in memory after the budget has counted it as gone.
    fn next_piece(&mut self) -> Bytes {
        let length = self.piece();
        if self.rest.len() > length {
            return self.rest.split_to(length);
        }
        Bytes::copy_from_slice(&std::mem::take(&mut self.rest))
    }

    /// Takes a large part. In a body that streams, the part waits until the budget has room for it.
    fn admit(&mut self, part: Bytes) {
        let size = part.len() as u64;
        let is_large = matches!(self.content, Either::Right(_)) && size > STREAMED;
        if let Some(running) = self.running.as_ref().filter(|_| is_large)
            && !running.budget().count(&mut self.held, size)
        {
            self.held = Held::default();
            let waiting = running.budget().wait(size, running.longest_wait());
            self.waiting = Some((part, waiting));
        } else {
            self.rest = part;
        }
    }

    /// Waits for room for a large part. An error if that takes longer than `body_timeout`.
    fn poll_admitted(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Some((part, waiting)) = &mut self.waiting {
            let held = ready!(waiting.as_mut().poll(context))?;
            self.rest = std::mem::take(part);
            self.held = held;
            self.waiting = None;
        }
        Poll::Ready(Ok(()))
    }

    /// The next piece, with an error delayed by one poll: at an error, hyper ends the connection at once and
    /// forgets what it has not written of head and earlier pieces.
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        match ready!(self.poll_piece(context)) {
            Some(Err(failure)) => {
                // hyper writes while the body is pending.
                self.failure = Some(failure);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            frame => Poll::Ready(frame),
        }
    }

    /// The next piece of what is left, or of what comes.
    fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        loop {
            ready!(self.poll_admitted(context))?;
            if !self.rest.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(self.next_piece()))));
            }
            let Some(frame) = ready!(Pin::new(&mut self.content).poll_frame(context)?) else {
                return Poll::Ready(None);
            };
            match frame.into_data() {
                Ok(part) if part.len() > self.piece() => self.admit(part),
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
    type Data = Piece;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Failure>>> {
        let this = &mut *self;
        if let Some(reading) = &this.reading {
            reading.taken();
        }
        let polled = this.poll_next(context);
        if let (Some(reading), Poll::Ready(Some(Ok(frame)))) = (&this.reading, &polled) {
            reading.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        polled.map_ok(|frame| frame.map_data(|data| Piece::new(data, this.pieces.as_ref())))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
            && self.waiting.is_none()
            && self.failure.is_none()
            && self.content.is_end_stream()
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

#[cfg(test)]
mod tests {
    use bytes::Buf;
    use http_body_util::BodyExt;

    use super::*;

    struct Owner(Arc<Vec<u8>>);

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    #[tokio::test]
    async fn the_last_piece_holds_nothing_but_itself() {
        let answer = Arc::new(vec![b'x'; PIECE + 1]);
        let content = Bytes::from_owner(Owner(answer.clone()));
        let mut outgoing = Outgoing::from(Full::new(content));
        let mut last = Piece::new(Bytes::new(), None);
        let mut sizes = Vec::new();
        while let Some(frame) = outgoing.frame().await {
            last = frame.expect("a frame").into_data().expect("data");
            sizes.push(last.remaining());
        }
        assert_eq!(sizes, [PIECE, 1]);
        assert!(outgoing.is_end_stream());
        assert_eq!(Arc::strong_count(&answer), 1, "the answer is free");
        assert_eq!(last.chunk(), b"x");
    }
}
