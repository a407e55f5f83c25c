//! Requests and responses with bodies that stream, for components: `wasi:http`.
//!
//! The actor is called as soon as the head is here, and a little of the body: a small body is read ahead, so that a
//! slow client with few bytes holds no instance. The rest is read when the guest reads it. The head of the response
//! goes out as soon as the guest sets it, and the client's reading paces the guest.
//!
//! A request can turn out to be at *fault* while its actor runs: the body is larger than allowed, breaks off, or
//! comes too slowly. The guest sees an error in its body, but may answer something else. So the fault ends the call
//! itself: before the head of the response by a status, after it by breaking the body off.
//!
//! # The call and its body
//!
//! The actor's call ends with the head of its response. The lease that the router put into the
//! exchange keeps the call alive until the body ends. Three things end it earlier: the client goes
//! away, which drops the body; the actor is stopped, which withdraws the lease; or the request is
//! at fault.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use exosuit_core::{Body, Code, Error, Exchange, Payload};
use http::{Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::timeout;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::drain_body::{expects, refuse_larger};
use super::endpoint::{Endpoint, GRACE, RequestContext};
use super::head::absolute;
use super::refusal::Refusal;
use super::upload::{Fault, Upload};
use crate::http::headers::{is_bodiless, is_final, strip_hop_by_hop, take_length};

/// The operation that every request becomes.
const OPERATION: &str = "wasi:http/incoming-handler@0.2.0#handle";

/// Calls the actor with a request, and returns its response with a streaming body.
///
/// # Errors
///
/// A status for a request at fault, or the code of the failed call.
pub(crate) async fn exchange(
    endpoint: &Endpoint,
    request: Request<Incoming>,
    context: RequestContext<'_>,
) -> Result<Response<Streamed>, Refusal> {
    let method = request.method().clone();
    let most = endpoint.limits.max_body_bytes.unwrap_or(u64::MAX);
    let expects = expects(&request);
    let (mut head, body) = request.into_parts();
    let body = refuse_larger(body, expects, most)?;
    absolute(&mut head, context.arrival).ok_or(Refusal::Request(StatusCode::BAD_REQUEST))?;
    strip_hop_by_hop(&mut head.headers);

    let (body, fault, waits) = if body.is_end_stream() {
        (nothing(), None, None)
    } else {
        let mut upload = Upload::new(body, expects, most, context.limits);
        upload.read_ahead(context.budget).await?;
        let (fault, waits) = (upload.fault(), upload.waits());
        (upload.boxed(), Some(fault), Some(waits))
    };
    let mut exchange = Exchange::new(Request::from_parts(head, body));
    exchange.lease.waits = waits;
    let call = endpoint.call(OPERATION, Payload::Http(Box::new(exchange)));
    let reply = unless_at_fault(call, fault.as_deref()).await?;
    let response = reply.into_http().and_then(check);
    let response = response.map_err(|error| endpoint.report(OPERATION, error))?;
    Ok(respond(endpoint, *response, &method, fault.as_deref()))
}

/// Gives the call up as soon as its request turns out to be at fault, whatever the answer would be.
async fn unless_at_fault<T>(
    call: impl Future<Output = Result<T, Refusal>>,
    fault: Option<&Fault>,
) -> Result<T, Refusal> {
    let Some(fault) = fault else {
        return call.await;
    };
    tokio::select! {
        refusal = fault.raised() => Err(refusal),
        answer = call => fault.refusal().map_or(answer, Err),
    }
}

/// Refuses interim statuses (1xx) and others that end no request.
fn check(response: Box<Response<Body>>) -> Result<Box<Response<Body>>, Error> {
    if is_final(response.status()) {
        return Ok(response);
    }
    let status = response.status().as_u16();
    let detail = format!(
        "the answer to {OPERATION} is not a response: its status {status} is not from 200 to 599"
    );
    Err(Error::new(Code::Guest, detail))
}

/// The response as it goes out: without headers of the hop, and with the length where that is right for the method.
fn respond(
    endpoint: &Endpoint,
    response: Response<Body>,
    method: &Method,
    fault: Option<&Fault>,
) -> Response<Streamed> {
    let (mut head, body) = response.into_parts();
    head.version = Version::default();
    head.extensions.clear();
    strip_hop_by_hop(&mut head.headers);
    let told = take_length(&mut head.headers);
    let bodiless = is_bodiless(method, head.status);
    let length = match body.size_hint().exact() {
        // hyper writes the length of a body that it sends.
        Some(known) if bodiless => Some(known).filter(|known| *known > 0).or(told),
        Some(_) => None,
        None => told,
    };
    let says = !bodiless || !is_bodiless(&Method::GET, head.status);
    if let Some(length) = length.filter(|_| says) {
        head.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let body = if bodiless {
        discard(body, endpoint);
        nothing()
    } else {
        body
    };
    Response::from_parts(head, Streamed::new(body, fault))
}

/// Reads a body that must not be sent, as of a HEAD request. Dropping it would end the call, and with it the
/// work that the actor still does.
fn discard(mut body: Body, endpoint: &Endpoint) {
    let longest = endpoint.limits.timeout + GRACE;
    if !body.is_end_stream() {
        tokio::spawn(timeout(longest, async move {
            while let Some(Ok(_)) = body.frame().await {}
        }));
    }
}

/// A body without bytes.
fn nothing() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// The body of an answer as the actor writes it. It fails if the request turns out to be at fault.
pub(crate) struct Streamed {
    body: Body,
    /// Ready when the request is at fault. None for a request without a body.
    fault: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Streamed {
    /// A body that ends with the fault of its request.
    fn new(body: Body, fault: Option<&Fault>) -> Self {
        Self {
            body,
            fault: fault.map(|fault| Box::pin(fault.token().cancelled_owned())),
        }
    }
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(fault) = &mut self.fault
            && fault.as_mut().poll(context).is_ready()
        {
            let detail = "the request was refused after the response had begun";
            return Poll::Ready(Some(Err(Error::new(Code::InvalidInput, detail))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
