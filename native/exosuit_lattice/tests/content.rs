//! The payloads of calls to another host and back: typed values and HTTP, small and large.

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::host::{ACTOR, Cluster, Host, echo, id, invocation, local};
use common::nats::NatsServer;
use common::{eventually, within};
use exosuit_core::{
    Answer, Body, Code, Deliver, Destination, Elsewhere, Error, Exchange, Invocation, Outgoing,
    Payload, Reply, Value,
};
use exosuit_lattice::Hosts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};

const LARGEST: u32 = 3 << 20;

/// Answers what it is given, each kind in its own way.
struct Mirror;

impl Deliver for Mirror {
    fn deliver(&self, call: Invocation) -> Answer {
        Box::pin(async move {
            match call.payload {
                Payload::Bytes(bytes) => Ok(Reply::Bytes(bytes)),
                Payload::Values(values) => Ok(Reply::Value(Value::Tuple(values))),
                Payload::Http(exchange) => mirrored(exchange.request).await,
            }
        })
    }
}

async fn mirrored(request: Request<Body>) -> Result<Reply, Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let times = if head.uri.path() == "/twice" { 2 } else { 1 };
    let response = Response::builder()
        .status(StatusCode::CREATED)
        .header("x-asked", format!("{} {}", head.method, head.uri))
        .header("x-hop", head.headers.contains_key("keep-alive").to_string())
        .body(whole(body.repeat(times)))
        .expect("a response");
    Ok(Reply::Http(Box::new(response)))
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

fn request(uri: &str, body: Vec<u8>) -> Payload {
    let request = Request::post(uri)
        .header("keep-alive", "1")
        .body(whole(body))
        .expect("a request");
    Payload::Http(Box::new(Exchange::new(request)))
}

struct Scene {
    here: Hosts,
    there: Hosts,
    _server: NatsServer,
}

impl Scene {
    /// Two hosts, on one of which there is something that answers what it is given.
    async fn new(target: impl Deliver + 'static) -> Self {
        let server = NatsServer::start().await;
        let cluster = Cluster::new();
        let start = async |target| {
            let mut options = cluster.options();
            options.largest_payload = LARGEST;
            let host = Host::start(server.connect().await, options).await;
            Hosts::start(host.calls, target)
        };
        let target: Arc<dyn Deliver> = Arc::new(target);
        let scene = Self {
            here: start(Arc::clone(&target)).await,
            there: start(target).await,
            _server: server,
        };
        scene.there.serve(local("mirror", None));
        scene.there.serve(local(ACTOR, None));
        for name in ["mirror", ACTOR] {
            eventually(name, || async { scene.call(name, "x".into()).await.ok() }).await;
        }
        scene
    }

    async fn call(&self, name: &str, payload: Payload) -> Result<Reply, Error> {
        let mut invocation = invocation(name, "Some.Thing", "");
        invocation.payload = payload;
        let call = Outgoing {
            invocation,
            origin_key: None,
            to: Destination::Actor(id(name)),
        };
        within("an answer", self.here.deliver(call)).await
    }

    async fn fetch(
        &self,
        uri: &str,
        body: Vec<u8>,
    ) -> Result<(http::response::Parts, Bytes), Error> {
        let reply = self.call("mirror", request(uri, body)).await?;
        let (head, body) = reply.into_http()?.into_parts();
        Ok((head, body.collect().await?.to_bytes()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_go_there_and_back_by_key_and_by_id() {
    let scene = Scene::new(Mirror).await;
    let values = vec![
        Value::Integer(-7),
        Value::List(vec![Value::Ok(None), Value::Bool(true), Value::Nil]),
        Value::binary(vec![1; 2 << 20]),
    ];
    for name in ["mirror", ACTOR] {
        let reply = scene.call(name, Payload::Values(values.clone())).await;
        assert_eq!(
            reply.and_then(Reply::into_value),
            Ok(Value::Tuple(values.clone()))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_there_and_its_response_back() {
    let scene = Scene::new(Mirror).await;
    for size in [0, 1_000, 1 << 20] {
        let (head, body) = scene
            .fetch("http://example.org/a?b", vec![7; size])
            .await
            .expect("a response");
        assert_eq!(head.status, StatusCode::CREATED);
        assert_eq!(head.headers["x-asked"], "POST http://example.org/a?b");
        assert_eq!(head.headers["x-hop"], "false");
        assert!(body == vec![7; size], "{}", body.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_answered_so_and_a_response_is_an_error() {
    let scene = Scene::new(Mirror).await;
    let (head, body) = scene
        .fetch("http://a/", vec![0; LARGEST as usize])
        .await
        .expect("a response");
    assert_eq!(
        (head.status, body.len()),
        (StatusCode::PAYLOAD_TOO_LARGE, 0)
    );
    let error = scene
        .fetch("http://a/twice", vec![0; 2 << 20])
        .await
        .expect_err("too large");
    assert_eq!(error.code, Code::InvalidInput);
    assert!(error.detail.contains("3145728"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_kind_is_an_error() {
    let scene = Scene::new(echo()).await;
    let error = scene
        .call("mirror", Payload::Values(Vec::new()))
        .await
        .expect_err("bytes only");
    assert_eq!(error.code, Code::InvalidInput);
}
