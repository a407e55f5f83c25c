//! The HTTP server and its slow clients: none holds an actor, the memory or the places of others.

mod common;
#[path = "common/stream.rs"]
mod stream;
#[path = "common/web.rs"]
mod web;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use exosuit_core::{Body, Capability, Error, Invocation, Lend, Payload, Reply};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use stream::{fed, full, response, serve, streaming};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::yield_now;
use tokio::time::timeout;
use web::{Served, answer, asked, rest};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// Reads the request's body, and says how many bytes came.
async fn counting(request: Request<Body>) -> Result<Reply, Error> {
    let body = request.into_body().collect().await?.to_bytes();
    Ok(response(200, &[], full(body.len().to_string())))
}

/// A server in front of that, and how often it was called.
async fn counted(settings: &[(&str, &str)]) -> Result<(Served, Arc<AtomicUsize>)> {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let served = serve(settings, move |request| {
        count.fetch_add(1, Ordering::Relaxed);
        counting(request)
    })
    .await?;
    Ok((served, calls))
}

/// A connection from another address.
async fn other_client(served: &Served) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.2:0".parse()?)?;
    Ok(socket.connect(served.address()).await?)
}

fn post(length: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{length}\r\n\r\n")
}

#[tokio::test]
async fn a_body_that_never_comes_calls_nobody() -> Result<()> {
    let (served, calls) = counted(&[("first_byte_timeout_ms", "100")]).await?;
    for length in [
        "content-length: 70",
        "content-length: 9999999",
        "transfer-encoding: chunked",
    ] {
        let answer = rest(served.raw(post(length).as_bytes()).await?).await?;
        assert!(answer.starts_with("HTTP/1.1 408"), "{length}: {answer}");
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0);

    let served = Served::with(&[("first_byte_timeout_ms", "100")], async |_| {
        panic!("it was called");
    })
    .await?;
    let answer = rest(served.raw(post("content-length: 70").as_bytes()).await?).await?;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_small_body_is_here_before_the_actor_is_called() -> Result<()> {
    let (served, calls) = counted(&[]).await?;
    let mut slow = served.raw(post("content-length: 10").as_bytes()).await?;
    slow.write_all(b"12345").await?;
    // The other is answered meanwhile, and was called once alone.
    assert_eq!(served.get("/").await?.body(), "0");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    slow.write_all(b"67890").await?;
    assert!(rest(slow).await?.ends_with("\r\n\r\n10"));
    Ok(())
}

#[tokio::test]
async fn what_is_read_ahead_is_in_one_buffer() -> Result<()> {
    let served = serve(&[], async |request| {
        let mut parts = 0;
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
            parts += 1;
        }
        Ok(response(200, &[], full(parts.to_string())))
    })
    .await?;
    let mut slow = served.raw(post("content-length: 10").as_bytes()).await?;
    for part in [b"12345", b"67890"] {
        served.get("/").await?;
        slow.write_all(part).await?;
    }
    assert!(rest(slow).await?.ends_with("\r\n\r\n1"));
    Ok(())
}

#[tokio::test]
async fn a_large_body_has_begun_before_the_actor_is_called() -> Result<()> {
    let (served, calls) = counted(&[]).await?;
    let mut slow = served
        .raw(post("content-length: 200000").as_bytes())
        .await?;
    slow.write_all(&vec![b'x'; 60_000]).await?;
    assert_eq!(served.get("/").await?.body(), "0");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    slow.write_all(&vec![b'x'; 60_000]).await?;
    while calls.load(Ordering::Relaxed) < 2 {
        yield_now().await;
    }
    slow.write_all(&vec![b'x'; 80_000]).await?;
    assert!(rest(slow).await?.ends_with("\r\n\r\n200000"));
    Ok(())
}

#[tokio::test]
async fn a_body_that_answers_the_answer_is_not_read_ahead() -> Result<()> {
    let served = serve(&[], async |request| {
        Ok(response(200, &[], request.into_body()))
    })
    .await?;
    let mut stream = served
        .raw(post("transfer-encoding: chunked").as_bytes())
        .await?;
    for word in ["one", "two", "six"] {
        stream
            .write_all(format!("3\r\n{word}\r\n").as_bytes())
            .await?;
        let mut heard = Vec::new();
        while !String::from_utf8_lossy(&heard).contains(word) {
            assert!(stream.read_buf(&mut heard).await? > 0);
        }
    }
    stream.write_all(b"0\r\n\r\n").await?;
    rest(stream).await?;
    Ok(())
}

#[tokio::test]
async fn a_client_that_dribbles_its_body_is_ended() -> Result<()> {
    let settings = [("first_byte_timeout_ms", "200"), ("min_rate", "1g")];
    let (served, calls) = counted(&settings).await?;
    let mut slow = served
        .raw(post("content-length: 1000000000").as_bytes())
        .await?;
    slow.write_all(&vec![b'x'; 100_000]).await?;
    let (mut reader, mut writer) = slow.into_split();
    let dribbling = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            yield_now().await;
        }
    });
    let mut answer = [0; 12];
    reader.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    drop(reader);
    dribbling.await?;
    Ok(())
}

/// Notes whether a place is lent.
#[derive(Default)]
struct Noted(AtomicBool);

impl Lend for Noted {
    fn lend(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn take_back(&self) {
        self.0.store(false, Ordering::Release);
    }
}

#[tokio::test]
async fn an_actor_that_waits_for_its_client_lends_its_place() -> Result<()> {
    let noted = Arc::new(Noted::default());
    let place: Arc<dyn Lend> = noted.clone();
    let served = Served::on(
        "provider",
        Arc::default(),
        move |mut invocation: Invocation| {
            let Payload::Http(exchange) = &mut invocation.payload else {
                panic!("{invocation:?}");
            };
            let waits = exchange.lease.waits.take();
            let waits = waits.expect("a body that is still to come");
            waits.attach(Arc::downgrade(&place));
            counting(std::mem::take(&mut exchange.request))
        },
    );
    served.server.link(streaming(&[])).await?;
    let is_lent = |expected| {
        let noted = noted.clone();
        async move {
            while noted.0.load(Ordering::Acquire) != expected {
                yield_now().await;
            }
        }
    };
    let mut slow = served
        .raw(post("content-length: 200000").as_bytes())
        .await?;
    slow.write_all(&vec![b'x'; 100_000]).await?;
    is_lent(true).await;
    slow.write_all(&vec![b'x'; 100_000]).await?;
    is_lent(false).await;
    assert!(rest(slow).await?.ends_with("\r\n\r\n200000"));

    // Nor is it lent for ever where the client goes away.
    let mut gone = served
        .raw(post("content-length: 200000").as_bytes())
        .await?;
    gone.write_all(&vec![b'x'; 100_000]).await?;
    is_lent(true).await;
    drop(gone);
    is_lent(false).await;
    Ok(())
}

#[tokio::test]
async fn a_client_that_reads_byte_by_byte_is_ended() -> Result<()> {
    let (feeds, mut feed) = unbounded_channel();
    let settings = [("body_timeout_ms", "300"), ("min_rate", "1g")];
    let served = serve(&settings, move |_| {
        let (feed, body) = fed();
        let _ = feeds.send(feed);
        async move { Ok(response(200, &[], body)) }
    })
    .await?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(8 << 10)?;
    let mut stream = socket.connect(served.address()).await?;
    stream.write_all(GET).await?;
    let feed = feed.recv().await.expect("a call");
    tokio::spawn(async move {
        while stream.read_u8().await.is_ok() {
            yield_now().await;
        }
    });
    while feed.send(Ok(vec![0; 64 << 10].into())).await.is_ok() {}
    Ok(())
}

#[tokio::test]
async fn answers_that_nobody_reads_are_in_the_budget() -> Result<()> {
    const LARGE: usize = 12 << 20;
    let settings = [
        ("max_body_bytes", "1m"),
        ("max_buffered_bytes", "24m"),
        ("body_timeout_ms", "60000"),
    ];
    let served = Served::with(&settings, async |invocation| {
        let size = if asked(&invocation).path == "/large" {
            LARGE
        } else {
            2
        };
        Ok(answer(200, &[], &vec![b'x'; size]))
    })
    .await?;
    let large = b"GET /large HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let unread = served.raw(large).await?;
    unread.readable().await?;
    let refused = served.get("/large").await?;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    // A request's body is in the same budget, and small answers are in none.
    let mut client = served.client().await?;
    let refused = client.send("POST", "/", vec![0; 1 << 20]).await?;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(served.get("/").await?.status(), StatusCode::OK);

    // One client has a share of it: others are served meanwhile.
    let mut other = other_client(&served).await?;
    other.write_all(large).await?;
    let whole = rest(other).await?;
    assert!(whole.starts_with("HTTP/1.1 200") && whole.len() > LARGE);

    drop(unread);
    while served.get("/large").await?.status() != StatusCode::OK {}
    Ok(())
}

#[tokio::test]
async fn an_answer_larger_than_the_budget_is_served_alone() -> Result<()> {
    let settings = [("max_body_bytes", "1m"), ("max_buffered_bytes", "1m")];
    let served = Served::with(&settings, async |_| {
        Ok(answer(200, &[], &vec![b'x'; 4 << 20]))
    })
    .await?;
    for _ in 0..2 {
        let whole = served.get("/").await?;
        assert_eq!(
            (whole.status(), whole.body().len()),
            (StatusCode::OK, 4 << 20)
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_large_part_of_a_stream_waits_for_its_place_in_the_budget() -> Result<()> {
    const PART: usize = 1_200 << 10;
    let (feeds, mut feed) = unbounded_channel();
    let served = serve(&[("max_buffered_bytes", "4m")], move |_| {
        let (feed, body) = fed();
        let _ = feeds.send(feed);
        async move { Ok(response(200, &[], body)) }
    })
    .await?;
    let part = || Bytes::from(vec![b'x'; PART]);
    let get = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let first = served.raw(get).await?;
    let one = feed.recv().await.expect("a call");
    let second = served.raw(get).await?;
    let two = feed.recv().await.expect("a call");
    one.send(Ok(part())).await?;
    one.send(Ok("more".into())).await?;
    two.send(Ok(part())).await?;
    drop(two);
    let mut second = tokio::spawn(rest(second));
    let first = tokio::spawn(rest(first));
    tokio::select! {
        biased;
        ended = &mut second => panic!("there was room: {ended:?}"),
        () = async { for _ in 0..20_000 { yield_now().await } } => {}
    }
    drop(one);
    assert!(first.await??.len() > PART);
    assert!(second.await??.len() > PART);
    Ok(())
}

#[tokio::test]
async fn parts_larger_than_a_share_do_not_wait_for_each_other() -> Result<()> {
    const PART: usize = 3 << 20;
    let (feeds, mut feed) = unbounded_channel();
    let served = serve(&[("max_buffered_bytes", "4m")], move |_| {
        let (feed, body) = fed();
        let _ = feeds.send(feed);
        async move { Ok(response(200, &[], body)) }
    })
    .await?;
    let get = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let mut answers = Vec::new();
    let mut calls = Vec::new();
    for _ in 0..2 {
        answers.push(served.raw(get).await?);
        calls.push(feed.recv().await.expect("a call"));
    }
    for call in calls {
        call.send(Ok(Bytes::from(vec![b'x'; PART]))).await?;
    }
    let answers = answers.into_iter().map(|answer| tokio::spawn(rest(answer)));
    for answer in answers.collect::<Vec<_>>() {
        let whole = timeout(Duration::from_mins(1), answer).await???;
        assert!(whole.len() > PART);
    }
    Ok(())
}

#[tokio::test]
async fn one_address_has_its_share_of_the_connections() -> Result<()> {
    let settings = [("max_connections", "4"), ("max_connections_per_peer", "2")];
    let (served, _) = counted(&settings).await?;
    let mut one = served.client().await?;
    let mut two = served.client().await?;
    one.get("/").await?;
    two.get("/").await?;
    for _ in 0..10 {
        let third = TcpStream::connect(served.address()).await?;
        assert_eq!(rest(third).await.unwrap_or_default(), "");
    }
    // Another address has its own.
    let mut other = other_client(&served).await?;
    other
        .write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        .await?;
    assert!(rest(other).await?.starts_with("HTTP/1.1 200"));

    drop(two);
    while served.get("/").await.is_err() {}
    Ok(())
}

#[tokio::test]
async fn a_client_that_asks_without_reading_is_ended() -> Result<()> {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let served = Served::with(&[("body_timeout_ms", "200")], move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok(answer(200, &[], &vec![b'x'; 64 << 10])) }
    })
    .await?;
    let mut stream = TcpStream::connect(served.address()).await?;
    let mut asked = 0_usize;
    while stream.write_all(&GET.repeat(1_000)).await.is_ok() {
        asked += 1_000;
    }
    let called = calls.load(Ordering::Relaxed);
    assert!(
        called < 1_000 && called < asked,
        "{called} calls of {asked}"
    );
    Ok(())
}

#[tokio::test]
async fn a_connection_that_nobody_uses_makes_room_for_one_that_waits() -> Result<()> {
    // Nothing but the need for room ends them.
    let settings = [("max_connections", "2"), ("header_timeout_ms", "3600000")];
    let (served, _) = counted(&settings).await?;
    let mut open = Vec::new();
    for _ in 0..6 {
        let mut client = served.client().await?;
        assert_eq!(client.get("/").await?.status(), StatusCode::OK);
        open.push(client);
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_never_begins_makes_room_for_one_that_waits() -> Result<()> {
    let settings = [("max_connections", "1"), ("header_timeout_ms", "3600000")];
    let (served, _) = counted(&settings).await?;
    for begun in [&b""[..], b"P"] {
        let silent = served.raw(begun).await?;
        assert_eq!(served.get("/").await?.status(), StatusCode::OK);
        assert_eq!(rest(silent).await.unwrap_or_default(), "");
    }
    Ok(())
}
