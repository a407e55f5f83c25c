//! Request bodies that nobody reads to their end.

use std::time::Duration;

use http::{Request, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::refusal::Refusal;

/// How long a client is listened to that sends what nobody wants, so that it comes to read the
/// answer instead of finding its connection reset.
const LINGER: Duration = Duration::from_secs(5);

/// Whether the client waits for leave to send. Then it has not sent, and must not be given leave
/// by reading what is refused. hyper gives it in HTTP/1.1 alone.
pub(crate) fn expects<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11 && request.headers().contains_key(header::EXPECT)
}

/// Refuses a body that says itself that it is larger than this.
pub(crate) fn refuse_larger(body: Incoming, expects: bool, most: u64) -> Result<Incoming, Refusal> {
    if body.size_hint().lower() <= most {
        return Ok(body);
    }
    if !expects {
        linger(body);
    }
    Err(Refusal::Request(StatusCode::PAYLOAD_TOO_LARGE))
}

/// Leaves the body of a request that is refused.
pub(crate) fn leave_unread(request: Request<Incoming>) {
    if !expects(&request) {
        linger(request.into_body());
    }
}

/// Reads on for a while and forgets what it reads. Outside of Tokio, where a call that is given up
/// may be dropped, the client gets no such favour.
pub(crate) fn linger(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move {
            let end = Instant::now() + LINGER;
            while let Ok(Some(Ok(_))) = timeout_at(end, body.frame()).await {}
        });
    }
}
