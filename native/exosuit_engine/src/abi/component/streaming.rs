//! The body of a response, and the guest that writes it.
//!
//! Reading the body polls the guest. While the guest runs, the body holds nothing: each frame goes from the
//! guest to the reader. When the guest returns, its last frames are taken out of its instance, so that the
//! instance can serve the next call while they are read.
//!
//! Backpressure comes for free: a reader that does not poll does not run the guest, and a guest that writes more than
//! a chunk ahead waits in its host call. So a slow client costs one instance and a chunk of memory.
//!
//! # States
//!
//! | guest | `sent` | a poll of the body |
//! |---|---|---|
//! | runs | empty | polls the guest first, then takes a frame of what it has written |
//! | has just returned | its last frames, a bounded number | takes the oldest of them |
//! | returned, its body left open | what it had written | takes that first; with the guest dropped, the body ends |
//! | has failed | – | the error, once |
//!
//! The guest is polled first even if a frame is there: perhaps it was the guest that woke this task, and it would not
//! do so again.

use std::collections::VecDeque;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use exosuit_core::{Body, Error};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::returned::Returned;
use super::sending::Sending;
use crate::actor_shared::ActorShared;

/// The guest behind a response, at the moment when the response is set.
pub(super) enum ResponseGuest {
    /// It still runs, polled by the reader.
    Runs(Sending),
    /// It has returned. It is `Some` if it may serve again.
    Returned(Option<Returned>),
}

/// The body as the guest writes it.
pub(super) struct Streaming {
    body: Body,
    /// The frames that were written and not read when the guest returned.
    sent: VecDeque<Result<Frame<Bytes>, Error>>,
    guest: Option<Sending>,
    /// The bytes still missing of the announced length. Without an announced length: 0 once the end of the
    /// body was read.
    left: Option<u64>,
    /// For the log line of a guest that fails after its whole body was read.
    actor: Arc<ActorShared>,
}

impl Streaming {
    /// The body of a response. `left` is its length, if that is known: 0 for an answer without a body.
    pub(super) fn new(
        body: Body,
        left: Option<u64>,
        work: ResponseGuest,
        actor: Arc<ActorShared>,
    ) -> Self {
        let mut streaming = Self {
            body,
            sent: VecDeque::new(),
            guest: None,
            left,
            actor,
        };
        match work {
            ResponseGuest::Runs(guest) => streaming.guest = Some(guest),
            ResponseGuest::Returned(returned) => streaming.conclude(returned),
        }
        streaming
    }

    /// Takes the unread frames out of a guest that has returned, and leaves the guest in its pool. The
    /// frames are few, since a guest may only write a bounded number ahead of its reader. A guest that
    /// returned with its body open is dropped, which ends the body.
    fn conclude(&mut self, returned: Option<Returned>) {
        let Some(returned) = returned else { return };
        // No more frames will come, so no task needs to be woken.
        let mut task = Context::from_waker(Waker::noop());
        while let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(&mut task) {
            match frame {
                Some(frame) => self.sent.push_back(frame),
                None => return returned.leave(),
            }
        }
    }

    /// The next frame: first those that a returned guest has left.
    fn poll_body(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.sent.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut self.body).poll_frame(task),
        }
    }

    /// Notes the bytes of a frame that goes to the reader.
    fn count(&mut self, frame: &Frame<Bytes>) {
        let sent = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.left = self.left.map(|left| left.saturating_sub(sent));
    }
}

/// The reader polls here: each poll runs the guest for a slice, and gives a frame if there is one.
impl HttpBody for Streaming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(guest) = &self.guest
            && let Poll::Ready(ended) = guest.poll(task)
        {
            self.guest = None;
            match ended {
                Ok(returned) => self.conclude(returned),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        let frame = self.poll_body(task);
        match &frame {
            Poll::Ready(None) => self.left = Some(0),
            Poll::Ready(Some(Ok(frame))) => self.count(frame),
            _ => {}
        }
        frame
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Streaming {
    /// If the reader has the whole body, the guest may finish its other work. If the reader went away
    /// before the end, the guest is dropped: nobody reads what it would write.
    fn drop(&mut self) {
        if let (Some(guest), Some(0)) = (mem::take(&mut self.guest), self.left) {
            guest.finish(Arc::clone(&self.actor));
        }
    }
}
