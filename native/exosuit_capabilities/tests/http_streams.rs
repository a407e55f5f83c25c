//! The HTTP server before components: requests and responses as they come, over real sockets.

mod common;
#[path = "common/stream.rs"]
mod stream;
#[path = "common/web.rs"]
mod web;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};
use bytes::Bytes;
use common::{id, link};
use exosuit_core::{Capability, Code, Error, Link, Notice, Origin, Payload, Reply, Target};
use http::StatusCode;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use stream::{Feed, fed, full, response, serve, streaming, until_stuck};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use web::{Served, rest};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";

/// A server whose actor answers with bodies that the test feeds.
async fn feeding(
    settings: &[(&str, &str)],
    header: &'static [(&str, &str)],
) -> Result<(Served, UnboundedReceiver<Feed>)> {
    let (feeds, feed) = unbounded_channel();
    let served = serve(settings, move |_| {
        let (feed, body) = fed();
        let _ = feeds.send(feed);
        async move { Ok(response(200, header, body)) }
    })
    .await?;
    Ok((served, feed))
}

fn broken() -> Error {
    Error::new(Code::Trap, "the guest trapped")
}

/// Reads until the text has come.
async fn read_until(stream: &mut TcpStream, text: &str) -> Result<String> {
    let mut found = Vec::new();
    while !String::from_utf8_lossy(&found).contains(text) {
        if stream.read_buf(&mut found).await? == 0 {
            bail!("it ended: {}", String::from_utf8_lossy(&found));
        }
    }
    Ok(String::from_utf8(found)?)
}

#[tokio::test]
async fn a_request_reaches_the_component_whole() -> Result<()> {
    let kept = Arc::new(Mutex::new(None));
    let keep = kept.clone();
    let served = Served::on("provider", Arc::default(), move |mut invocation| {
        let Payload::Http(exchange) = &mut invocation.payload else {
            panic!("{invocation:?}");
        };
        let request = std::mem::take(&mut exchange.request);
        let keep = keep.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            *keep.lock() = Some((invocation, head, body));
            Ok(response(201, &[("x-a", "1"), ("x-a", "2")], full("made")))
        }
    });
    served.server.link(streaming(&[])).await?;
    let request = b"PUT /a%20b/../c?q=1&r=%2F HTTP/1.1\r\nHost: h:1\r\nX-One: 1\r\nx-one: 2\r\n\
        X-Old: caf\xe9\r\nContent-Length: 2\r\nConnection: close, x-hop\r\nX-Hop: 1\r\n\
        TE: trailers\r\n\r\nhi";
    let answer = rest(served.raw(request).await?).await?;
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    assert!(answer.contains("x-a: 1\r\nx-a: 2\r\n"), "{answer}");
    assert!(answer.contains("content-length: 4\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nmade"), "{answer}");

    let (invocation, head, body) = kept.lock().take().expect("a call");
    assert_eq!(invocation.target, Target::Actor("actor".to_owned()));
    assert_eq!(
        invocation.operation,
        "wasi:http/incoming-handler@0.2.0#handle"
    );
    let Origin::Provider {
        id: provider,
        contract,
        link,
    } = &invocation.origin
    else {
        panic!("{:?}", invocation.origin);
    };
    assert_eq!(
        (provider, contract.as_str(), link.as_str()),
        (&id("provider"), "wasi:http", "default")
    );
    assert_eq!(head.method, "PUT");
    assert_eq!(head.uri.to_string(), "http://h:1/a%20b/../c?q=1&r=%2F");
    let mut names: Vec<_> = head.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "host", "x-old", "x-one", "x-one"]);
    assert_eq!(body, "hi");
    Ok(())
}

#[tokio::test]
async fn a_component_always_learns_whom_the_request_is_for() -> Result<()> {
    let served = serve(&[], async |request| {
        let host = request.headers().get("host").cloned();
        let host = host.map_or_else(String::new, |host| host.to_str().unwrap_or("").to_owned());
        Ok(response(
            200,
            &[],
            full(format!("{} {host}", request.uri())),
        ))
    })
    .await?;
    let own = served.address().to_string();
    for (request, expected) in [
        ("GET / HTTP/1.0\r\n\r\n", format!("http://{own}/ {own}")),
        (
            "GET http://a:7/b HTTP/1.1\r\nhost: c\r\nconnection: close\r\n\r\n",
            "http://a:7/b a:7".into(),
        ),
        (
            "OPTIONS * HTTP/1.1\r\nhost: c\r\nconnection: close\r\n\r\n",
            "http://c* c".into(),
        ),
    ] {
        let answer = rest(served.raw(request.as_bytes()).await?).await?;
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or(&answer);
        assert_eq!(body, expected, "{request}");
    }
    let bad = b"GET / HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n";
    let answer = rest(served.raw(bad).await?).await?;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn bodies_pass_both_ways_no_faster_than_the_client_reads() -> Result<()> {
    const TOTAL: usize = 64 << 20;
    let served = serve(&[], async |request| {
        Ok(response(200, &[], request.into_body()))
    })
    .await?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(64 << 10)?;
    let (mut reader, mut writer) = socket.connect(served.address()).await?.into_split();

    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    tokio::spawn(async move {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {TOTAL}\r\n\r\n"
        );
        writer.write_all(head.as_bytes()).await?;
        let mut part = vec![0; 64 << 10];
        while count.load(Ordering::Relaxed) < TOTAL {
            part.fill((count.load(Ordering::Relaxed) >> 16).to_le_bytes()[0]);
            writer.write_all(&part).await?;
            count.fetch_add(part.len(), Ordering::Relaxed);
        }
        // Held open: its end would be taken for that of the client.
        std::future::pending::<()>().await;
        Ok::<_, std::io::Error>(())
    });
    // The client reads nothing: what can be under way are the buffers of the sockets.
    let under_way = until_stuck(|| written.load(Ordering::Relaxed)).await;
    assert!(under_way < TOTAL / 2, "{under_way} bytes were taken");

    let mut all = Vec::with_capacity(TOTAL);
    reader.read_to_end(&mut all).await?;
    // In one length or in chunks, the bytes come in their order.
    let head = all
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head")
        + 4;
    assert!(all.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let body = &all[head..];
    assert_eq!(body.len(), TOTAL);
    for (at, part) in body.chunks(64 << 10).enumerate() {
        assert!(
            part.iter().all(|byte| *byte == at.to_le_bytes()[0]),
            "part {at}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_a_component_writes_reaches_the_client_at_once() -> Result<()> {
    let (served, mut feeds) = feeding(&[], &[]).await?;
    let mut stream = served.raw(GET).await?;
    let feed = feeds.recv().await.expect("a call");
    feed.send(Ok("one".into())).await?;
    let head = read_until(&mut stream, "one").await?;
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    feed.send(Ok("two".into())).await?;
    read_until(&mut stream, "two").await?;
    drop(feed);
    assert!(rest(stream).await?.ends_with("0\r\n\r\n"));
    Ok(())
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_body() -> Result<()> {
    let (served, mut feeds) = feeding(&[], &[]).await?;
    // While the actor has nothing to say.
    let stream = served.raw(GET).await?;
    let feed = feeds.recv().await.expect("a call");
    drop(stream);
    feed.closed().await;

    // While it says more than is read.
    let stream = served.raw(GET).await?;
    let feed = feeds.recv().await.expect("a call");
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let sending = tokio::spawn(async move {
        while feed.send(Ok(Bytes::from(vec![0; 64 << 10]))).await.is_ok() {
            count.fetch_add(64 << 10, Ordering::Relaxed);
        }
    });
    let under_way = until_stuck(|| sent.load(Ordering::Relaxed)).await;
    assert!(under_way < 32 << 20, "{under_way} bytes were taken");
    drop(stream);
    sending.await?;
    Ok(())
}

#[tokio::test]
async fn a_client_that_stops_reading_is_let_go() -> Result<()> {
    let (served, mut feeds) = feeding(&[("body_timeout_ms", "50")], &[]).await?;
    let _deaf = served.raw(GET).await?;
    let feed = feeds.recv().await.expect("a call");
    while feed.send(Ok(Bytes::from(vec![0; 64 << 10]))).await.is_ok() {}
    Ok(())
}

#[tokio::test]
async fn a_body_that_fails_never_looks_whole() -> Result<()> {
    for (version, header) in [
        ("1.1", &[][..]),
        ("1.1", &[("content-length", "100")]),
        ("1.0", &[]),
        ("1.0", &[("content-length", "100")]),
    ] {
        let (served, mut feeds) = feeding(&[], header).await?;
        let request = format!("GET / HTTP/{version}\r\nhost: h\r\n\r\n");
        let mut stream = served.raw(request.as_bytes()).await?;
        let feed = feeds.recv().await.expect("a call");
        feed.send(Ok("half".into())).await?;
        let head = read_until(&mut stream, "half").await?;
        assert!(head.contains(" 200 OK\r\n"), "{head}");
        feed.send(Err(broken())).await?;
        let end = rest(stream).await.expect_err("a reset connection");
        let end = end.downcast::<std::io::Error>()?;
        assert_eq!(
            end.kind(),
            std::io::ErrorKind::ConnectionReset,
            "{version} {header:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_body_shorter_than_it_said_never_looks_whole() -> Result<()> {
    let (served, mut feeds) = feeding(&[], &[("content-length", "100")]).await?;
    let mut stream = served.raw(GET).await?;
    let feed = feeds.recv().await.expect("a call");
    feed.send(Ok("half".into())).await?;
    read_until(&mut stream, "half").await?;
    drop(feed);
    assert!(rest(stream).await.is_err());
    Ok(())
}

#[tokio::test]
async fn what_may_have_no_body_has_none_and_the_component_is_heard_out() -> Result<()> {
    let heard = Arc::new(AtomicUsize::new(0));
    let count = heard.clone();
    let served = serve(&[], move |request| {
        let (feed, body) = fed();
        let count = count.clone();
        tokio::spawn(async move {
            while feed.send(Ok("part".into())).await.is_ok() {
                if count.fetch_add(1, Ordering::Relaxed) % 100 == 99 {
                    break;
                }
            }
        });
        let status = request.uri().path()[1..].parse().expect("a status");
        let header = [("content-length", "400"), ("x", "1")];
        async move { Ok(response(status, &header, body)) }
    })
    .await?;
    let mut client = served.client().await?;
    for (at, (method, path, length)) in [
        ("HEAD", "/200", Some("400")),
        ("GET", "/204", None),
        ("GET", "/304", None),
        ("HEAD", "/204", None),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = client.send(method, path, "").await?;
        let found = answer.headers().get("content-length");
        let found = found.map(|value| value.to_str()).transpose()?;
        assert_eq!((found, answer.body().len()), (length, 0), "{method} {path}");
        assert_eq!(
            answer.headers().get("x").map(http::HeaderValue::as_bytes),
            Some(&b"1"[..])
        );
        until_stuck(|| heard.load(Ordering::Relaxed)).await;
        assert_eq!(heard.load(Ordering::Relaxed), 100 * (at + 1));
    }
    let answer = client.get("/200").await?;
    assert_eq!(answer.body().len(), 400);
    Ok(())
}

#[tokio::test]
async fn what_only_the_server_may_say_is_taken_out_of_a_response() -> Result<()> {
    let header = [
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("transfer-encoding", "gzip"),
        ("upgrade", "h2c"),
        ("content-length", "999"),
        ("x-kept", "1"),
    ];
    let served = serve(&[], move |_| {
        std::future::ready(Ok(response(200, &header, full("four"))))
    })
    .await?;
    let mut client = served.client().await?;
    for _ in 0..2 {
        let answer = client.get("/").await?;
        assert_eq!(answer.body(), "four");
        let mut names: Vec<_> = answer
            .headers()
            .keys()
            .map(http::HeaderName::as_str)
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "date", "x-kept"]);
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_call_and_what_is_no_response_have_their_status() -> Result<()> {
    let served = serve(&[], async |request| match request.uri().path() {
        "/overloaded" => Err(Error::new(Code::Overloaded, "the inner secret")),
        "/trap" => Err(broken()),
        "/upgrade" => Ok(response(101, &[], full(""))),
        _ => Ok(Reply::from("bytes")),
    })
    .await?;
    for (path, status) in [
        ("/overloaded", 503),
        ("/trap", 502),
        ("/upgrade", 502),
        ("/bytes", 502),
    ] {
        let answer = served.get(path).await?;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        assert!(!String::from_utf8_lossy(answer.body()).contains("secret"));
    }
    // The router takes note of the others.
    let seen = served.seen.0.lock();
    let noted: Vec<_> = seen.iter().collect();
    assert_eq!(noted.len(), 2);
    for notice in noted {
        assert!(
            matches!(notice, Notice::CallFailed { operation, .. } if operation.contains("incoming-handler")),
            "{notice:?}"
        );
    }
    Ok(())
}

/// Reads the request's body, and says how many bytes came.
async fn counting(request: http::Request<exosuit_core::Body>) -> Result<Reply, Error> {
    let body = request.into_body().collect().await?.to_bytes();
    Ok(response(200, &[], full(body.len().to_string())))
}

#[tokio::test]
async fn too_large_a_body_is_413_announced_or_not() -> Result<()> {
    let served = serve(&[("max_body_bytes", "1m")], counting).await?;
    let mut client = served.client().await?;
    let answer = client.send("POST", "/", vec![0; 1 << 20]).await?;
    assert_eq!(answer.body(), "1048576");
    let answer = client.send("POST", "/", vec![0; 8 << 20]).await?;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);

    let head =
        b"POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut stream = served.raw(head).await?;
    let chunk = [&b"100000\r\n"[..], &vec![b'x'; 1 << 20], b"\r\n"].concat();
    for _ in 0..3 {
        stream.write_all(&chunk).await?;
    }
    stream.write_all(b"0\r\n\r\n").await?;
    let answer = rest(stream).await?;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_body_that_fails_at_once_fails_behind_its_head() -> Result<()> {
    let served = serve(&[], async |_| {
        let (feed, body) = fed();
        feed.try_send(Err(broken())).expect("room for one");
        Ok(response(200, &[("content-length", "20")], body))
    })
    .await?;
    let mut stream = served.raw(GET).await?;
    read_until(&mut stream, "content-length: 20\r\n").await?;
    rest(stream).await.expect_err("a reset connection");
    Ok(())
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_breaks_a_begun_response_off() -> Result<()> {
    let settings = [("max_body_bytes", "1k")];
    let served = serve(&settings, async |request| {
        Ok(response(200, &[], request.into_body()))
    })
    .await?;
    let head = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n";
    let mut stream = served.raw(head).await?;
    read_until(&mut stream, "four").await?;
    let chunk = [&b"401\r\n"[..], &[b'x'; 1_025], b"\r\n"].concat();
    stream.write_all(&chunk).await?;
    let end = rest(stream).await;
    assert!(
        end.as_ref().map_or(true, |end| !end.ends_with("0\r\n\r\n")),
        "{end:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_client_that_pauses_too_long_is_408() -> Result<()> {
    let served = serve(&[("body_timeout_ms", "50")], counting).await?;
    let request = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhalf";
    let answer = rest(served.raw(request).await?).await?;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_broken_body_is_an_error_to_the_component() -> Result<()> {
    let (failures, mut failed) = unbounded_channel();
    let served = serve(&[], move |request| {
        let failures = failures.clone();
        async move {
            let answer = counting(request).await;
            let _ = failures.send(answer.as_ref().err().map(|error| error.code));
            answer
        }
    })
    .await?;
    let head = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    for (begun, is_called) in [("", false), ("3\r\none\r\n", true)] {
        let request = format!("{head}{begun}nonsense\r\n");
        let answer = rest(served.raw(request.as_bytes()).await?).await?;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        if is_called {
            assert_eq!(failed.recv().await, Some(Some(Code::Io)));
        }
    }
    Ok(())
}

#[tokio::test]
async fn leave_to_send_is_given_when_the_component_reads() -> Result<()> {
    let served = serve(&[("max_body_bytes", "9")], async |request| {
        match request.uri().path() {
            "/read" => counting(request).await,
            _ => Ok(response(401, &[], full("no"))),
        }
    })
    .await?;
    let head = |path, length| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\nexpect: 100-continue\r\n\
             content-length: {length}\r\n\r\n"
        )
    };
    let mut stream = served.raw(head("/read", 5).as_bytes()).await?;
    assert_eq!(
        read_until(&mut stream, "\r\n\r\n").await?,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    stream.write_all(b"12345").await?;
    assert!(rest(stream).await?.ends_with("\r\n\r\n5"));

    for (path, length, status) in [("/refuse", 5, "401"), ("/read", 10, "413")] {
        let answer = rest(served.raw(head(path, length).as_bytes()).await?).await?;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert!(!answer.contains("100 Continue"), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_reaches_its_client() -> Result<()> {
    let served = serve(&[], async |_| Ok(response(401, &[], full("no")))).await?;
    // The client sends all of it before it reads: it must find the answer, not a reset connection.
    let mut client = served.client().await?;
    let answer = client.send("POST", "/", vec![0; 8 << 20]).await?;
    assert_eq!(
        (answer.status(), answer.body().as_ref()),
        (StatusCode::UNAUTHORIZED, &b"no"[..])
    );
    Ok(())
}

#[tokio::test]
async fn a_drain_waits_for_bodies_and_new_clients_find_nobody() -> Result<()> {
    let (served, mut feeds) = feeding(&[], &[]).await?;
    let address = served.address();
    let mut stream = served.raw(GET).await?;
    let feed = feeds.recv().await.expect("a call");
    feed.send(Ok("one".into())).await?;
    read_until(&mut stream, "one").await?;

    let draining = tokio::spawn(served.server.drain());
    while TcpStream::connect(address).await.is_ok() {}
    feed.send(Ok("two".into())).await?;
    read_until(&mut stream, "two").await?;
    assert!(!draining.is_finished());
    drop(feed);
    assert!(rest(stream).await?.ends_with("0\r\n\r\n"));
    draining.await??;
    Ok(())
}

#[tokio::test]
async fn a_body_that_never_ends_holds_a_drain_up_for_its_time_only() -> Result<()> {
    let settings = [("timeout_ms", "1"), ("body_timeout_ms", "50")];
    let (served, mut feeds) = feeding(&settings, &[]).await?;
    let stream = served.raw(GET).await?;
    let feed = feeds.recv().await.expect("a call");
    feed.send(Ok("one".into())).await?;
    served.server.drain().await?;
    feed.closed().await;
    assert!(rest(stream).await.is_err());
    Ok(())
}

#[tokio::test]
async fn an_unlinked_route_finishes_its_bodies() -> Result<()> {
    let (served, mut feeds) = feeding(&[("path", "/")], &[]).await?;
    let stream = served.raw(GET).await?;
    let feed = feeds.recv().await.expect("a call");
    feed.send(Ok("one".into())).await?;
    // Another route keeps the address.
    let address = served.address().to_string();
    let other = link(
        "other",
        "wasi:http",
        &[("address", address.as_str()), ("path", "/other")],
    );
    served.server.link(other).await?;

    served.server.unlink(streaming(&[("path", "/")])).await?;
    feed.send(Ok("two".into())).await?;
    drop(feed);
    assert!(rest(stream).await?.ends_with("0\r\n\r\n"));
    assert!(TcpStream::connect(served.address()).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_link_to_another_interface_is_refused() -> Result<()> {
    let served = serve(&[], counting).await?;
    let outgoing = Link {
        interfaces: vec!["outgoing-handler".to_owned()],
        ..(*streaming(&[])).clone()
    };
    let error = served
        .server
        .link(Arc::new(outgoing))
        .await
        .expect_err("not offered");
    assert_eq!(error.code, Code::InvalidLink);
    assert!(error.detail.contains("incoming-handler"), "{error}");
    Ok(())
}
