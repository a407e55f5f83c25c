//! Bodies that a test feeds, and an actor of `wasi:http`.
#![allow(dead_code, reason = "each test file uses its part")]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Result;
use bytes::Bytes;
use exosuit_core::{Body, Capability, Error, Invocation, Link, Reply};
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Full};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::yield_now;

use crate::common::link;
use crate::web::Served;

/// Feeds a body: closed when that is dropped.
pub(crate) type Feed = Sender<Result<Bytes, Error>>;

struct Fed(Receiver<Result<Bytes, Error>>);

impl HttpBody for Fed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0
            .poll_recv(context)
            .map(|part| part.map(|part| part.map(Frame::data)))
    }
}

/// A body that comes as it is fed.
pub(crate) fn fed() -> (Feed, Body) {
    let (feed, parts) = channel(1);
    (feed, Fed(parts).boxed())
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

pub(crate) fn response(status: u16, header: &[(&str, &str)], body: Body) -> Reply {
    let mut response = Response::builder().status(status);
    for (name, value) in header {
        response = response.header(*name, *value);
    }
    Reply::Http(Box::new(response.body(body).expect("a response")))
}

pub(crate) fn request(invocation: Invocation) -> Request<Body> {
    let exchange = invocation.payload.into_http().expect("a request");
    exchange.request
}

/// The link of `actor` with the server for `wasi:http`, on a free port.
pub(crate) fn streaming(settings: &[(&str, &str)]) -> Arc<Link> {
    let settings = [&[("address", "127.0.0.1:0")], settings].concat();
    link("actor", "wasi:http", &settings)
}

/// A server in front of an actor of `wasi:http`.
pub(crate) async fn serve<F>(
    settings: &[(&str, &str)],
    respond: impl Fn(Request<Body>) -> F + Send + Sync + 'static,
) -> Result<Served>
where
    F: Future<Output = Result<Reply, Error>> + Send + 'static,
{
    let served = Served::on("provider", Arc::default(), move |invocation| {
        respond(request(invocation))
    });
    served.server.link(streaming(settings)).await?;
    Ok(served)
}

/// Waits until what is counted stays as it is: whoever counts can do no more.
pub(crate) async fn until_stuck(count: impl Fn() -> usize) -> usize {
    loop {
        let before = count();
        for _ in 0..20_000 {
            yield_now().await;
        }
        if count() == before && before > 0 {
            return before;
        }
    }
}
