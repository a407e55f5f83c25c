//! Components that answer HTTP: bodies stream both ways, and whoever reads the response runs the guest.

mod common;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use exosuit_core::{
    Answer, Body, Code, Context, Deliver, Error, Exchange, Invocation, Lease, Origin, Payload,
    Reply, Target, Value,
};
use exosuit_engine::{Actor, Directory, Instances, WasiGrants};
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Empty, Full};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use common::{World, assert_says, engine, far};

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

fn get(path: &str) -> Request<Body> {
    let request = Request::get(path).header("host", "web.test");
    request.body(empty()).expect("a request")
}

fn call(request: Request<Body>, deadline: Instant, lease: Lease) -> Invocation {
    Invocation {
        origin: Origin::Host,
        target: Target::Actor("tested".to_owned()),
        operation: "wasi:http/incoming-handler@0.2.0#handle".to_owned(),
        payload: Payload::Http(Box::new(Exchange { request, lease })),
        context: Context::until(deadline),
    }
}

async fn send(actor: &Actor, request: Request<Body>) -> Result<Response<Body>, Error> {
    let answer = actor.deliver(call(request, far(), Lease::default()));
    Ok(*answer.await?.into_http()?)
}

async fn text(actor: &Actor, path: &str) -> Result<(u16, String)> {
    let response = send(actor, get(path)).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.into())?))
}

#[tokio::test]
async fn a_request_is_answered_with_status_headers_and_body() -> Result<()> {
    let web = World::new()?.component("web").await?;
    let response = send(&web, get("/hello")).await?;
    assert_eq!(response.status(), 200);
    let length: usize = response.headers()["content-length"].to_str()?.parse()?;
    let body = response.into_body().collect().await?.to_bytes();
    assert_eq!(body.len(), length);

    let (_, told) = text(&web, "/headers?a=b").await?;
    for part in ["GET", "/headers?a=b", "web.test", "http"] {
        assert!(
            told.to_lowercase().contains(&part.to_lowercase()),
            "{told:?} lacks {part}"
        );
    }
    Ok(())
}

/// A body in parts that the test sends.
struct Parts(mpsc::Receiver<Bytes>);

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let part = self.0.poll_recv(task);
        part.map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}

fn parts() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, Parts(receiver).boxed())
}

#[tokio::test]
async fn a_body_comes_back_part_by_part_while_it_is_still_being_sent() -> Result<()> {
    let web = World::new()?.component("web").await?;
    let (sender, body) = parts();
    let request = Request::post("/echo")
        .header("host", "web.test")
        .body(body)?;
    let mut back = send(&web, request).await?.into_body();
    for part in ["one", "two", "three"] {
        sender.send(part.into()).await?;
        let frame = back.frame().await.context("no end yet")??;
        assert_eq!(frame.into_data().ok(), Some(Bytes::from(part)));
    }
    drop(sender);
    assert!(back.frame().await.is_none());
    Ok(())
}

#[tokio::test]
async fn a_reader_that_waits_makes_the_guest_wait() -> Result<()> {
    const PART: usize = 64 << 10;
    let web = World::new()?.component("web").await?;
    let (sender, body) = parts();
    let request = Request::post("/echo")
        .header("host", "web.test")
        .body(body)?;
    let mut back = send(&web, request).await?.into_body();

    // Nobody reads: some fits in between, then no more is taken.
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let sending = tokio::spawn(async move {
        for _ in 0..256 {
            sender.send(vec![b'x'; PART].into()).await?;
            count.fetch_add(1, SeqCst);
        }
        anyhow::Ok(())
    });
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(taken.load(SeqCst) < 64, "{taken:?} parts were taken");

    let mut length = 0;
    while let Some(frame) = back.frame().await {
        length += frame?.into_data().map_or(0, |data| data.len());
    }
    assert_eq!(length, 256 * PART);
    sending.await?
}

#[tokio::test]
async fn a_guest_that_fails_before_its_response_is_an_error() -> Result<()> {
    let web = World::new()?.component("web").await?;
    for (path, code) in [("/trap", Code::Trap), ("/no-response", Code::Guest)] {
        let error = send(&web, get(path)).await.map(drop);
        assert_eq!(error.expect_err("no answer").code, code, "{path}");
    }
    let soon = Instant::now() + Duration::from_millis(50);
    let late = web
        .deliver(call(get("/spin"), soon, Lease::default()))
        .await;
    assert_eq!(late.map(drop).expect_err("no answer").code, Code::Deadline);
    Ok(())
}

#[tokio::test]
async fn a_guest_that_fails_amid_its_body_breaks_it_off() -> Result<()> {
    let web = World::new()?.component("web").await?;
    let whole = async { send(&web, get("/half")).await?.into_body().collect().await };
    let error = whole.await.map(drop);
    assert_eq!(error.expect_err("a whole body").code, Code::Trap);
    Ok(())
}

#[tokio::test]
async fn the_deadline_ends_a_body_that_is_still_being_sent() -> Result<()> {
    let web = World::new()?.component("web").await?;
    let (_sender, body) = parts();
    let request = Request::post("/echo")
        .header("host", "web.test")
        .body(body)?;
    let soon = Instant::now() + Duration::from_millis(100);
    let response = web.deliver(call(request, soon, Lease::default())).await?;
    let error = response.into_http()?.into_body().collect().await.map(drop);
    assert_eq!(error.expect_err("an end").code, Code::Deadline);
    Ok(())
}

/// Tells when it is dropped.
struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn lease() -> (Lease, CancellationToken, Arc<AtomicUsize>) {
    let (token, dropped) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let lease = Lease::new(token.clone(), Held(dropped.clone()));
    (lease, token, dropped)
}

#[tokio::test]
async fn the_lease_lasts_as_long_as_the_guest_and_its_end_is_the_guests() -> Result<()> {
    let web = World::new()?.component("web").await?;
    let endless = || {
        let (sender, body) = parts();
        let request = Request::post("/echo").header("host", "web.test").body(body);
        (sender, request.expect("a request"))
    };

    let (lent, token, dropped) = lease();
    let (_sender, request) = endless();
    let response = web.deliver(call(request, far(), lent)).await?.into_http()?;
    assert_eq!(dropped.load(SeqCst), 0);
    token.cancel();
    let error = response.into_body().collect().await.map(drop);
    assert_eq!(error.expect_err("an end").code, Code::Dropped);
    assert_eq!(dropped.load(SeqCst), 1);

    // A reader that goes away ends it as well.
    let (lent, _token, dropped) = lease();
    let (_sender, request) = endless();
    let response = web.deliver(call(request, far(), lent)).await?.into_http()?;
    drop(response);
    assert_eq!(dropped.load(SeqCst), 1);
    Ok(())
}

#[tokio::test]
async fn a_guest_whose_reader_pauses_ends_all_the_same() -> Result<()> {
    let web = World::new()?.component("web").await?;
    for code in [Code::Deadline, Code::Dropped] {
        let (_sender, body) = parts();
        let request = Request::post("/echo")
            .header("host", "web.test")
            .body(body)?;
        let (lent, token, dropped) = lease();
        let until = match code {
            Code::Deadline => Instant::now() + Duration::from_millis(100),
            _ => far(),
        };
        let response = web.deliver(call(request, until, lent)).await?.into_http()?;
        if code == Code::Dropped {
            token.cancel();
        }
        let ended = async {
            while dropped.load(SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ended).await?;
        let error = response.into_body().collect().await.map(drop);
        assert_eq!(error.expect_err("an end").code, code);
    }
    Ok(())
}

#[test]
fn a_response_may_be_dropped_outside_of_the_runtime() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (lent, token, dropped) = lease();
    let (_sender, body) = parts();
    let response = runtime.block_on(async {
        let web = World::new()?.component("web").await?;
        let request = Request::head("/echo").header("host", "web.test");
        let call = call(request.body(body)?, far(), lent);
        anyhow::Ok(web.deliver(call).await?.into_http()?)
    })?;
    drop(response);

    // All of its body has been read, so the guest still has its time.
    assert_eq!(dropped.load(SeqCst), 0);
    token.cancel();
    while dropped.load(SeqCst) == 0 {
        std::thread::yield_now();
    }
    Ok(())
}

#[tokio::test]
async fn a_guest_sees_its_configuration_arguments_environment_and_directories() -> Result<()> {
    let files = tempfile::tempdir()?;
    std::fs::write(files.path().join("note"), "of the host")?;
    let world = World {
        config: BTreeMap::from([("colour".to_owned(), "blue".to_owned())]),
        grants: WasiGrants {
            arguments: vec!["--loud".to_owned()],
            environment: vec![("LEVEL".to_owned(), "7".to_owned())],
            directories: vec![Directory {
                host: files.path().to_owned(),
                guest: "/data".to_owned(),
                writable: false,
            }],
        },
        ..World::new()?
    };
    let web = world.component("web").await?;
    for path in ["/config?key=colour", "/config-runtime?key=colour"] {
        assert_eq!(text(&web, path).await?, (200, "blue".to_owned()));
    }
    assert_eq!(text(&web, "/config?key=taste").await?.0, 404);
    let (_, told) = text(&web, "/env").await?;
    assert!(
        told.contains("--loud") && told.contains("LEVEL=7"),
        "{told:?}"
    );
    let (status, note) = text(&web, "/file?path=/data/note").await?;
    assert_eq!((status, note.as_str()), (200, "of the host"));
    assert_eq!(text(&web, "/file?path=/data/note&text=x").await?.0, 403);

    let nothing = World::new()?.component("web").await?;
    assert_eq!(text(&nothing, "/file?path=/data/note").await?.0, 403);
    let (_, told) = text(&nothing, "/env").await?;
    assert!(!told.contains('='), "{told:?}");
    Ok(())
}

/// A host that answers by operation, and keeps what it was asked.
struct Host {
    answer: fn(&Invocation) -> Result<Reply, Error>,
    asked: Mutex<Vec<Invocation>>,
}

impl Host {
    fn new(answer: fn(&Invocation) -> Result<Reply, Error>) -> Arc<Self> {
        let asked = Mutex::default();
        Arc::new(Self { answer, asked })
    }

    fn asked(&self) -> Invocation {
        self.asked.lock().pop().expect("it was asked something")
    }
}

impl Deliver for Host {
    fn deliver(&self, invocation: Invocation) -> Answer {
        let answer = (self.answer)(&invocation);
        self.asked.lock().push(invocation);
        Box::pin(async { answer })
    }
}

fn import(namespace: &str) -> Target {
    Target::Import {
        namespace: namespace.to_owned(),
        link: "default".to_owned(),
    }
}

#[tokio::test]
async fn key_value_operations_are_calls_with_the_bucket_before_their_arguments() -> Result<()> {
    let host = Host::new(|call| {
        let good = |value| Ok(Reply::Value(Value::Ok(value)));
        match call.operation.split_once('#').map_or("", |(_, name)| name) {
            "get" => good(Some(Box::new(Value::binary("stored")))),
            "increment" => good(Some(Box::new(Value::Integer(42)))),
            "list-keys" => {
                let keys = Value::List(vec![Value::binary("a"), Value::binary("b")]);
                good(Some(Box::new(Value::Tuple(vec![keys, Value::Nil]))))
            }
            "get-many" => {
                let found = Value::Tuple(vec![Value::binary("a"), Value::binary("1")]);
                good(Some(Box::new(Value::List(vec![found, Value::Nil]))))
            }
            _ => good(None),
        }
    });
    let world = World::delivering(engine()?, host.clone());
    let web = world.component("web").await?;

    let (status, value) = text(&web, "/kv/get?bucket=b&key=k").await?;
    assert_eq!((status, value.as_str()), (200, "stored"));
    let asked = host.asked();
    assert_eq!(asked.target, import("wasi:keyvalue"));
    assert_eq!(asked.operation, "wasi:keyvalue/store@0.2.0-draft#get");
    let arguments = asked.payload.into_values()?;
    assert_eq!(arguments, [Value::binary("b"), Value::binary("k")]);

    assert_eq!(text(&web, "/kv/set?key=k&value=v").await?.0, 200);
    let arguments = host.asked().payload.into_values()?;
    let set = ["default", "k", "v"].map(Value::binary);
    assert_eq!(arguments, set);

    assert_eq!(
        text(&web, "/kv/increment?key=k&delta=2").await?.1.trim(),
        "42"
    );
    let asked = host.asked();
    assert_eq!(
        asked.operation,
        "wasi:keyvalue/atomics@0.2.0-draft#increment"
    );
    assert_eq!(asked.payload.into_values()?[2], Value::Integer(2));

    let (_, listed) = text(&web, "/kv/list").await?;
    assert!(listed.contains('a') && listed.contains('b'), "{listed:?}");
    let (_, found) = text(&web, "/kv/get-many?key=a&key=z").await?;
    assert!(found.contains("a=1") && found.contains('-'), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn a_refused_or_misshapen_answer_is_the_stores_error() -> Result<()> {
    for (answer, told) in [
        (
            (|_| Err(Error::new(Code::MissingLink, "no"))) as fn(&Invocation) -> _,
            "AccessDenied",
        ),
        (|_| Err(Error::new(Code::Denied, "no")), "AccessDenied"),
        (|_| Err(Error::new(Code::Provider, "full")), "full"),
        (|_| Ok(Reply::Value(Value::Nil)), "type"),
    ] {
        let world = World::delivering(engine()?, Host::new(answer));
        let web = world.component("web").await?;
        let (status, text) = text(&web, "/kv/get?key=k").await?;
        assert_eq!(status, 502);
        assert!(text.contains(told), "{text:?} does not say {told:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_line_for_the_log_is_a_call_whose_refusal_does_not_hurt_the_guest() -> Result<()> {
    let host = Host::new(|_| Err(Error::new(Code::MissingClaim, "no")));
    let world = World::delivering(engine()?, host.clone());
    let web = world.component("web").await?;
    for (path, operation) in [
        (
            "/log?text=hello&level=warn",
            "wasi:logging/logging@0.1.0-draft#log",
        ),
        ("/log-unversioned?text=hello", "wasi:logging/logging#log"),
    ] {
        assert_eq!(text(&web, path).await?.0, 200);
        let asked = host.asked();
        assert_eq!(
            (asked.target, asked.operation.as_str()),
            (import("wasi:logging"), operation)
        );
        let arguments = asked.payload.into_values()?;
        assert_eq!(arguments[2], Value::binary("hello"));
    }
    Ok(())
}

#[tokio::test]
async fn a_request_of_a_guest_goes_out_as_a_call_and_both_bodies_stream() -> Result<()> {
    let host = Host::new(|_| {
        let response = Response::builder().status(201).body(full("from afar"));
        Ok(Reply::Http(Box::new(response.expect("a response"))))
    });
    let world = World::delivering(engine()?, host.clone());
    let web = world.component("web").await?;

    let (status, body) = text(&web, "/fetch?url=http://far.test/x?y=z").await?;
    assert_eq!((status, body.as_str()), (201, "from afar"));
    let asked = host.asked();
    assert_eq!(asked.target, import("wasi:http"));
    let request = asked.payload.into_http()?.request;
    assert_eq!(request.uri(), "http://far.test/x?y=z");
    assert_eq!(request.method(), "GET");

    let request = Request::post("/post?url=http://far.test/").header("host", "web.test");
    let posting = send(&web, request.body(full("to afar"))?);
    let response = posting.await?;
    assert_eq!(response.status(), 201);
    Ok(())
}

#[tokio::test]
async fn a_denied_request_is_told_as_such() -> Result<()> {
    for denied in [
        (|_| Err(Error::new(Code::MissingLink, "no"))) as fn(&Invocation) -> _,
        |_| Err(Error::new(Code::Denied, "no such host in the link")),
    ] {
        let world = World::delivering(engine()?, Host::new(denied));
        let web = world.component("web").await?;
        let (status, told) = text(&web, "/fetch?url=http://far.test/").await?;
        assert_eq!(status, 502);
        assert!(told.contains("HttpRequestDenied"), "{told:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_answers_no_http_says_so() -> Result<()> {
    let calculator = World::new()?.component("calculator").await?;
    let error = send(&calculator, get("/")).await.map(drop);
    let error = error.expect_err("no handler");
    assert_says(&error, Code::UnknownOperation, &["incoming-handler"]);
    Ok(())
}

async fn warm() -> Result<Actor> {
    let instances = Instances::Warm {
        pool: 2,
        calls: 100,
        idle: Duration::from_hours(1),
    };
    let world = World {
        instances,
        ..World::new()?
    };
    world.component("web").await
}

async fn count(web: &Actor) -> Result<String> {
    Ok(text(web, "/count").await?.1)
}

#[tokio::test]
async fn a_warm_instance_is_busy_until_it_has_sent_its_body() -> Result<()> {
    let web = warm().await?;
    assert_eq!(count(&web).await?, "1");

    let (sender, body) = parts();
    let request = Request::post("/echo").header("host", "web.test");
    let mut back = send(&web, request.body(body)?).await?.into_body();
    // Another one, which then waits for what comes.
    assert_eq!(count(&web).await?, "1");
    assert_eq!(count(&web).await?, "2");

    sender.send("part".into()).await?;
    back.frame().await.context("no end yet")??;
    assert_eq!(count(&web).await?, "3");

    drop(sender);
    assert!(back.frame().await.is_none());
    assert!(comes_back(&web, "2").await?, "the first is back");
    Ok(())
}

/// Whether an instance that has counted so far is there again: it is a moment after its body has
/// ended. Now the one and now the other is kept busy, so that both are asked.
async fn comes_back(web: &Actor, counted: &str) -> Result<bool> {
    for _ in 0..1_000 {
        if count(web).await? == counted {
            return Ok(true);
        }
        let (sender, body) = parts();
        let request = Request::post("/echo").header("host", "web.test");
        let busy = send(web, request.body(body)?).await?.into_body();
        let found = count(web).await? == counted;
        drop((sender, busy));
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[tokio::test]
async fn a_reader_who_takes_its_time_keeps_no_instance_that_has_sent_all() -> Result<()> {
    let web = warm().await?;
    assert_eq!(count(&web).await?, "1");
    let unread = send(&web, get("/hello")).await?;
    assert_eq!(count(&web).await?, "2");
    let body = unread.into_body().collect().await?.to_bytes();
    assert_eq!(body, "Hello, world!\n");
    Ok(())
}

#[tokio::test]
async fn a_guest_that_fails_or_forgets_or_is_left_is_not_kept() -> Result<()> {
    let web = warm().await?;
    for path in ["/trap", "/half"] {
        assert_eq!(count(&web).await?, "1", "before {path}");
        let whole = async { send(&web, get(path)).await?.into_body().collect().await };
        assert!(whole.await.is_err(), "{path} was answered");
    }
    assert_eq!(count(&web).await?, "1");
    // Nobody will ever end that body: it ends with the guest.
    assert_eq!(text(&web, "/forget").await?.1, "0123456789");
    for _ in 0..2 {
        assert_eq!(count(&web).await?, "1");
        let soon = Instant::now() + Duration::from_millis(50);
        let late = web.deliver(call(get("/spin"), soon, Lease::default()));
        assert_eq!(
            late.await.map(drop).expect_err("no answer").code,
            Code::Deadline
        );
    }
    assert_eq!(count(&web).await?, "1");
    drop(send(&web, get("/stream?bytes=1000000")).await?);
    assert_eq!(count(&web).await?, "1");

    let error = send(&web, get("/no-response")).await.map(drop);
    assert_eq!(error.expect_err("no answer").code, Code::Guest);
    Ok(())
}

#[tokio::test]
async fn a_lease_that_is_withdrawn_ends_a_warm_guest() -> Result<()> {
    let web = warm().await?;
    assert_eq!(count(&web).await?, "1");
    let (lent, token, dropped) = lease();
    let (_sender, body) = parts();
    let request = Request::post("/echo").header("host", "web.test");
    let call = call(request.body(body)?, far(), lent);
    let response = web.deliver(call).await?.into_http()?;
    token.cancel();
    let error = response.into_body().collect().await.map(drop);
    assert_eq!(error.expect_err("an end").code, Code::Dropped);
    assert_eq!(dropped.load(SeqCst), 1);
    assert_eq!(count(&web).await?, "1");
    Ok(())
}
