//! Serves one connection: recognises its protocol, answers its requests, and ends it.
//!
//! # The ends of a connection
//!
//! | end | HTTP/1.1 | HTTP/2 |
//! |---|---|---|
//! | the client closes | ends | ends |
//! | no header within `header_timeout_ms` | ends | ends when idle for that long |
//! | the listener ends gently | after the running request | after the running requests |
//! | others need its room | if it is idle | if it is idle |
//! | the client does not read | its write fails | the stream, later the connection |
//! | requests are given up | its one call is dropped | ends after too many |
//! | the listener ends now | ends | ends |
//!
//! An HTTP/1.1 connection whose answer broke off is reset, because an answer without a length looks
//! complete otherwise.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue, ORIGIN};
use http::{Request, Response};
use http_body_util::Either;
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::budget::Held;
use super::clients::ClientShare;
use super::connection_limits::ConnectionLimits;
use super::connection_state::{Connection, Running};
use super::drain_body::drain_request;
use super::endpoint::RequestContext;
use super::exchange;
use super::head::as_http1;
use super::limits::AddressLimits;
use super::listener_state::ListenerState;
use super::outgoing::{Outgoing, PIECE, SMALL, STREAMED};
use super::refusal::Refusal;
use super::routes::Route;
use super::socket::{Socket, Transport};
use super::streams::Streams;
use super::tls::{HTTP2, Tls};

/// The smallest read buffer. A larger one makes large bodies cheaper to read.
const MIN_BUFFER: usize = 256 << 10;

/// The number of streams that are reset for faults of the client before the connection ends.
const MAX_FAULTY_STREAMS: usize = 64;

/// The part of the connection's window that one stream may fill: a quarter, so that a stream that
/// nobody reads leaves room for others.
const STREAM_PART: u32 = 4;
/// The smallest window of a stream: the one that HTTP/2 starts with.
const MIN_STREAM_WINDOW: u32 = 65_535;

/// The time for a client's first bytes while others wait for room.
const PATIENCE: Duration = Duration::from_secs(1);

/// Serves a connection to its end.
///
/// It ends when the client closes it, when the listener ends ([`Ending`](super::listener_state::Ending)), when
/// others need its room while it is idle, or when the client is too slow or gives up too many requests.
pub(crate) async fn serve(
    stream: TcpStream,
    listener: Arc<ListenerState>,
    (limits, share): (Arc<ConnectionLimits>, Arc<ClientShare>),
    tasks: TaskTracker,
) {
    // Answers are written whole, or a part as it comes: waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let socket = Socket::new(stream, limits.address.download());
    let tls = listener.tls();
    let opening = timeout(limits.address.header_timeout, open(socket, tls.as_deref()));
    let opened = tokio::select! {
        opened = opening => opened.ok().and_then(Result::ok),
        () = listener.ending.now.cancelled() => None,
        () = listener.last_chance() => None,
        () = crowded_out(&listener) => None,
    };
    let Some((transport, is_http2)) = opened else {
        return;
    };
    let connection = Arc::new(Connection::new(
        listener,
        limits,
        share,
        (tls.is_some(), is_http2),
    ));
    if is_http2 {
        connection.serve_http2(transport, tasks).await;
    } else {
        connection.serve_http1(transport).await;
    }
}

/// Ends when this connection has sent nothing for a second and others wait for room.
async fn crowded_out(listener: &ListenerState) {
    sleep(PATIENCE).await;
    listener.crowd.asks(|| true).await;
}

/// Does the TLS handshake, if the address has a certificate, and finds the protocol: by ALPN, or by
/// the first bytes.
async fn open(mut socket: Socket, tls: Option<&Tls>) -> std::io::Result<(Transport, bool)> {
    let Some(tls) = tls else {
        let is_http2 = socket.begins_with_http2().await?;
        return Ok((Transport::Plain(socket), is_http2));
    };
    let stream = tls.acceptor().accept(socket).await?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
    Ok((Transport::Tls(Box::new(stream)), is_http2))
}

impl Connection {
    /// Serves HTTP/1.1 to the end. After the last request hyper is asked to shut down, which it
    /// does between requests.
    async fn serve_http1(self: Arc<Self>, transport: Transport) {
        let ending = &self.listener.ending;
        let builder = http1(&self.limits.address);
        let mut serving = builder.serve_connection(TokioIo::new(transport), self.service());
        let ended = tokio::select! {
            ended = &mut serving => Some(ended),
            () = ending.now.cancelled() => None,
            () = self.last_request() => {
                Pin::new(&mut serving).graceful_shutdown();
                tokio::select! {
                    ended = &mut serving => Some(ended),
                    () = ending.now.cancelled() => None,
                }
            }
        };
        // An answer without a length ends with its connection. If such an answer breaks off, the connection
        // is reset, so that the client does not take it for complete.
        if ended.is_none_or(|ended| ended.is_err_and(|error| error.is_user())) {
            serving.into_parts().io.into_inner().reset();
        }
    }

    /// Serves HTTP/2 to the end. The first `select!` is its usual life. The second waits, after the
    /// "go away", for the streams that run.
    async fn serve_http2(self: Arc<Self>, transport: Transport, tasks: TaskTracker) {
        let limits = &self.limits.address;
        let ending = &self.listener.ending;
        let builder = http2(limits, Streams::new(tasks, limits.download()));
        let serving = builder.serve_connection(TokioIo::new(transport), self.service());
        let mut serving = pin!(serving);
        tokio::select! {
            _ended = serving.as_mut() => return,
            () = ending.now.cancelled() => return,
            () = self.flooded.notified() => return,
            () = self.last_request() => {}
            () = self.idle(limits.header_timeout) => {}
            () = self.stuck() => {}
        }
        serving.as_mut().graceful_shutdown();
        tokio::select! {
            _ended = serving => {}
            () = ending.now.cancelled() => {}
            () = self.flooded.notified() => {}
            () = self.settled() => {}
        }
    }

    /// The service that hyper calls for each request. It never fails.
    fn service(
        self: &Arc<Self>,
    ) -> impl HttpService<Incoming, ResBody = Outgoing, Error = Infallible, Future: Send + 'static> + use<>
    {
        let connection = self.clone();
        service_fn(move |request| {
            let connection = connection.clone();
            async move { Ok::<_, Infallible>(connection.answer(request).await) }
        })
    }

    /// Answers a request. Failures become responses as well.
    async fn answer(self: &Arc<Self>, mut request: Request<Incoming>) -> Response<Outgoing> {
        let mut answer = match Running::begin(self) {
            Some(running) => {
                if self.is_http2() {
                    as_http1(&mut request);
                }
                let mut answer = self.respond(request).await;
                answer.body_mut().belongs_to(running);
                answer
            }
            None => refuse(request, Refusal::Full),
        };
        if let Some(pieces) = &self.pieces {
            answer.body_mut().count_in(pieces.clone());
        } else if self.listener.ending.gently.is_cancelled() {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
        answer
    }

    /// The answer of a route, with its rules around the call.
    async fn respond(&self, request: Request<Incoming>) -> Response<Outgoing> {
        let route = match self.listener.find(&request) {
            Ok(route) => route,
            Err(refusal) => return refuse(request, refusal),
        };
        let Some(rules) = &route.rules else {
            return self.call(&route, request).await;
        };
        if let Some(answer) = rules.answer(&request) {
            drain_request(request);
            return answer.map(Outgoing::from);
        }
        let origin = request.headers().get(ORIGIN).cloned();
        let mut answer = self.call(&route, request).await;
        rules.finish(origin.as_ref(), answer.headers_mut());
        answer
    }

    /// Calls the actor, and counts the answer in the budget. An answer that does not fit becomes a
    /// 503: the actor has run, and the client cannot know.
    async fn call(&self, route: &Route, request: Request<Incoming>) -> Response<Outgoing> {
        // The route counts the request until its answer has been sent, or given up.
        let token = route.requests().token();
        let context = RequestContext {
            limits: &self.limits.address,
            budget: &self.share.budget,
            arrival: self.arrival,
        };
        let answer = exchange::answer(&route.endpoint, request, context).await;
        let mut held = Held::default();
        let size = match answer.body() {
            Either::Left(whole) => whole.size_hint().lower(),
            Either::Right(streamed) => streamed
                .size_hint()
                .exact()
                .unwrap_or(STREAMED)
                .min(STREAMED),
        };
        if size > SMALL && !context.budget.count(&mut held, size) {
            return Refusal::Full.response().map(Outgoing::from);
        }
        answer.map(|content| Outgoing::new(content, held, token))
    }
}

/// The builder of HTTP/1.1 connections.
fn http1(limits: &AddressLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.max_header_bytes)
        .max_buf_size(limits.max_header_bytes.max(MIN_BUFFER));
    builder
}

/// The builder of HTTP/2 connections. Its send buffer is one piece, as what it holds is in no
/// budget.
fn http2(limits: &AddressLimits, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    let window = limits.max_window_bytes;
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(PIECE)
        .max_local_error_reset_streams(MAX_FAULTY_STREAMS)
        .initial_connection_window_size(window)
        .initial_stream_window_size((window / STREAM_PART).max(MIN_STREAM_WINDOW));
    builder
}

/// Answers with a status, and reads the rest of the request.
fn refuse(request: Request<Incoming>, refusal: Refusal) -> Response<Outgoing> {
    drain_request(request);
    refusal.response().map(Outgoing::from)
}
