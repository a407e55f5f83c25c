//! Calls whose response streams: what they hold, and when they let go.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use exosuit_core::{
    Answer, Body, ClientWait, Code, Deliver, Error, Exchange, Invocation, Lease, Payload, Reply,
};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Empty};
use parking_lot::Mutex;

use crate::support::*;

/// An actor that answers with a body, and keeps the lease for as long as that lasts.
struct Streams(Mutex<VecDeque<Result<&'static str, Error>>>);

impl Streams {
    fn parts(parts: impl IntoIterator<Item = Result<&'static str, Error>>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(parts.into_iter().collect())))
    }
}

impl Deliver for Streams {
    fn deliver(&self, invocation: Invocation) -> Answer {
        let parts = std::mem::take(&mut *self.0.lock());
        Box::pin(async move {
            let exchange = invocation.payload.into_http()?;
            let lease = exchange.lease;
            let body = Parts { parts, lease }.boxed();
            Ok(Reply::Http(Box::new(http::Response::new(body))))
        })
    }
}

struct Parts {
    parts: VecDeque<Result<&'static str, Error>>,
    lease: Lease,
}

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.lease.withdrawn.is_cancelled() {
            return Poll::Ready(Some(Err(Error::new(Code::Dropped, "withdrawn"))));
        }
        let part = self.parts.pop_front();
        Poll::Ready(
            part.map(|part| part.map(|text| Frame::data(Bytes::from_static(text.as_bytes())))),
        )
    }
}

fn request() -> Invocation {
    let body = Empty::new().map_err(|never| match never {}).boxed();
    let exchange = Exchange::new(http::Request::new(body));
    Invocation {
        payload: Payload::Http(Box::new(exchange)),
        ..from_host("web")
    }
}

async fn respond(world: &World) -> Result<Body, Error> {
    let response = world.router.deliver(request()).await?.into_http()?;
    Ok(response.into_body())
}

#[tokio::test]
async fn a_response_keeps_its_place_until_its_body_is_dropped() {
    let world = World::new();
    world.specify("web", limits(1, 0));
    world.publish("web", identity(&[]), Streams::parts([Ok("hello")]));

    let body = respond(&world).await.expect("a response");
    assert_eq!(world.router.in_flight(), 1);
    assert_eq!(code(respond(&world).await), Some(Code::Overloaded));

    let whole = body.collect().await.expect("a body").to_bytes();
    assert_eq!(whole, "hello");
    assert_eq!(world.router.in_flight(), 0);
    assert!(respond(&world).await.is_ok());
}

#[tokio::test]
async fn a_retired_actor_waits_for_the_bodies_that_it_still_sends() {
    let world = World::new();
    let _publication = world.run("web", identity(&[]), Streams::parts([Ok("hello")]));
    let body = respond(&world).await.expect("a response");

    let web = id("web");
    let mut retiring = Box::pin(world.router.retire_actor(&web, Duration::from_mins(1)));
    assert!(poll_once(retiring.as_mut()).is_pending());
    drop(body);
    retiring.await;
}

#[tokio::test]
async fn a_stopped_actor_breaks_off_its_bodies_and_the_failure_is_told() {
    let world = World::new();
    let publication = world.run("web", identity(&[]), Streams::parts([Ok("hello")]));
    let body = respond(&world).await.expect("a response");

    world.router.retract_actor(&publication);
    assert_eq!(code(body.collect().await), Some(Code::Dropped));
    assert_eq!(world.notices.failures(), [Code::Dropped]);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told_once() {
    let world = World::new();
    let broken = || Err(Error::new(Code::Trap, "the guest trapped"));
    world.run(
        "web",
        identity(&[]),
        Streams::parts([Ok("half"), broken(), broken()]),
    );
    let mut body = respond(&world).await.expect("a response");

    assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
    for _ in 0..2 {
        assert!(body.frame().await.is_some_and(|frame| frame.is_err()));
    }
    assert_eq!(world.notices.failures(), [Code::Trap]);
}

#[tokio::test]
async fn a_call_whose_client_is_waited_for_holds_up_nobody() {
    let world = World::new();
    world.specify("web", limits(1, 0));
    world.publish("web", identity(&[]), Streams::parts([Ok("hello")]));
    let waits = Arc::<ClientWait>::default();
    let slow = || {
        let mut call = request();
        let Payload::Http(exchange) = &mut call.payload else {
            panic!("{call:?}");
        };
        exchange.lease.waits = Some(waits.clone());
        world.router.deliver(call)
    };

    let held = slow().await.expect("a response");
    assert_eq!(code(respond(&world).await), Some(Code::Overloaded));
    waits.set(true);
    let quick = respond(&world).await.expect("the place of the slow one");
    assert_eq!(code(respond(&world).await), Some(Code::Overloaded));
    waits.set(false);

    drop(quick);
    assert_eq!(code(respond(&world).await), Some(Code::Overloaded));
    drop(held);
    assert!(respond(&world).await.is_ok());
}
