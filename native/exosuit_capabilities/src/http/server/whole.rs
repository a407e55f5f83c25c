//! Requests and responses with whole bodies, for wasmbus actors: one message in, one message out.
//!
//! The actor is called when the last byte of the request is here, so a slow client costs memory and no instance.
//! Three bounds protect that memory: the largest body of the link (413), the budget of all bodies (503), and the
//! times of `pace` and `body_timeout` (408). The deadline of the link starts with the call. A client that goes away
//! drops the future of its connection, and with it the call.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use exosuit_core::{Error, Reply};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming};
use tokio::time::timeout;

use super::budget::Held;
use super::contract::{self, OPERATION, Payload};
use super::drain_body::{drain_body, expects, refuse_larger};
use super::endpoint::{Endpoint, RequestContext};
use super::pace::Pace;
use super::refusal::Refusal;

/// Reads a request whole, calls the actor, and decodes its answer.
///
/// # Errors
///
/// 400 for a body that broke off, 408 for a slow one, 413 for a large one, 503 without buffers, or
/// the code of the failed call.
pub(crate) async fn exchange(
    endpoint: &Endpoint,
    request: Request<Incoming>,
    context: RequestContext<'_>,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let most = endpoint.whole_body();
    let expects = expects(&request);
    let (head, body) = request.into_parts();
    let declared = body.size_hint().exact();
    let body = refuse_larger(body, expects, most)?;

    // Counted in the budget as it comes: announcing a body costs nothing, and takes nothing from others.
    let mut memory = Held::default();
    let mut payload = Payload::begin(&head, declared).map_err(|e| Refusal::Call(e.code))?;
    if !body.is_end_stream() {
        let whole = read_body(body, &mut payload, most, context, &mut memory);
        timeout(context.limits.body_timeout, whole)
            .await
            .map_err(|_| Refusal::Request(StatusCode::REQUEST_TIMEOUT))??;
    }

    let answer = endpoint.call(OPERATION, payload.finish().into()).await?;
    let response = |answer: Reply| contract::response(&answer.into_bytes()?, &head.method);
    response(answer).map_err(|error: Error| endpoint.report(OPERATION, error))
}

/// Reads the body into the payload of the call. `held` is what the budget counts for it, until the answer is sent.
async fn read_body(
    mut body: Incoming,
    payload: &mut Payload,
    most: u64,
    context: RequestContext<'_>,
    held: &mut Held,
) -> Result<(), Refusal> {
    let mut pace = Pace::new(context.limits.first_byte());
    let mut is_first = true;
    while let Some(frame) = next_frame(&mut body, &mut pace).await? {
        let Ok(part) = frame.into_data() else {
            continue;
        };
        if std::mem::take(&mut is_first) {
            pace.change(context.limits.upload());
        }
        pace.passed(part.len());
        let length = payload.body_length() + part.len() as u64;
        if length > most {
            drain_body(body);
            return Err(Refusal::Request(StatusCode::PAYLOAD_TOO_LARGE));
        }
        if !context.budget.raise(held, length) {
            return Err(Refusal::Full);
        }
        payload.push(&part);
    }
    Ok(())
}

/// The next frame, unless the client is too slow. `None` at the end.
async fn next_frame(body: &mut Incoming, pace: &mut Pace) -> Result<Option<Frame<Bytes>>, Refusal> {
    poll_fn(|context| {
        let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) else {
            let slow = pace.poll_slow(context);
            return slow.map(|()| Err(Refusal::Request(StatusCode::REQUEST_TIMEOUT)));
        };
        Poll::Ready(
            frame
                .transpose()
                .map_err(|_| Refusal::Request(StatusCode::BAD_REQUEST)),
        )
    })
    .await
}
