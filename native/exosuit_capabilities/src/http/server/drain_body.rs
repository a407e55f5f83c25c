//! Reads the rest of an unwanted request body.
//!
//! If the server closed the connection with unread bytes, the client would find it reset, and might never see the
//! answer.

use std::time::Duration;

use http::{Request, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::refusal::Refusal;

/// The longest time for which a refused body is read.
const MAX_DRAIN: Duration = Duration::from_secs(5);

/// Whether the client waits for `100 Continue` before it sends its body. Reading the body would make hyper send
/// that, so a refused body must not be read then. hyper does so in HTTP/1.1 only.
pub(crate) fn expects<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11 && request.headers().contains_key(header::EXPECT)
}

/// Refuses a body whose declared size is larger than `most`.
pub(crate) fn refuse_larger(body: Incoming, expects: bool, most: u64) -> Result<Incoming, Refusal> {
    if body.size_hint().lower() <= most {
        return Ok(body);
    }
    if !expects {
        drain_body(body);
    }
    Err(Refusal::Request(StatusCode::PAYLOAD_TOO_LARGE))
}

/// Drops a refused request, and reads the rest of its body in the background.
pub(crate) fn drain_request(request: Request<Incoming>) {
    if !expects(&request) {
        drain_body(request.into_body());
    }
}

/// Reads a body for a while and forgets it. Does nothing outside of Tokio: a call may be dropped on a thread
/// without a runtime.
pub(crate) fn drain_body(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move {
            let end = Instant::now() + MAX_DRAIN;
            while let Ok(Some(Ok(_))) = timeout_at(end, body.frame()).await {}
        });
    }
}
