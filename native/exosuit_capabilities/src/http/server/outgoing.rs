//! The body of a response on its way to a client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, SizeHint};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::streamed::Streamed;

/// The body of a response, whole or as it comes. Until it has been written, or given up, its
/// request counts as one that runs.
pub(crate) struct Outgoing {
    content: Either<Full<Bytes>, Streamed>,
    _runs: Option<TaskTrackerToken>,
}

impl Outgoing {
    pub(crate) fn new(content: Either<Full<Bytes>, Streamed>, runs: TaskTrackerToken) -> Self {
        Self {
            content,
            _runs: Some(runs),
        }
    }
}

impl From<Full<Bytes>> for Outgoing {
    fn from(content: Full<Bytes>) -> Self {
        Self {
            content: Either::Left(content),
            _runs: None,
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = <Either<Full<Bytes>, Streamed> as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.content).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}
