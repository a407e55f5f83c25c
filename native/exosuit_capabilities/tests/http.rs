//! The HTTP server: requests in, answers out, over real sockets.

mod common;
#[path = "common/web.rs"]
mod web;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use common::{hex, id};
use exosuit_core::{Code, Error, Invocation, Notice, Origin, Target};
use http::StatusCode;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use web::{Asked, Served, answer, asked, rest};

async fn ok(_invocation: Invocation) -> Result<Bytes, Error> {
    Ok(answer(200, &[], b"ok"))
}

/// Serves the body of each request as the body of its answer.
async fn echo(invocation: Invocation) -> Result<Bytes, Error> {
    Ok(answer(200, &[], &asked(&invocation).body))
}

fn one_request(text: &str) -> Vec<u8> {
    format!("{text}\r\nhost: h\r\nconnection: close\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn a_request_reaches_the_actor_whole() -> Result<()> {
    let kept = Arc::new(Mutex::new(None));
    let keep = kept.clone();
    let served = Served::with(&[("timeout_ms", "5000")], move |invocation| {
        *keep.lock() = Some(invocation);
        async { Ok(answer(201, &[("x-a", "1"), ("x-a", "2")], b"made")) }
    })
    .await?;

    let request = b"PUT /a%20b/../c?q=1&r=%2F HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nx-one: 2\r\n\
        X-Old: caf\xe9\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    let response = rest(served.raw(request).await?).await?;
    assert!(
        response.starts_with("HTTP/1.1 201 Created\r\n"),
        "{response}"
    );
    assert!(response.contains("x-a: 1\r\nx-a: 2\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\nmade"), "{response}");

    let invocation = kept.lock().take().expect("a call");
    assert_eq!(invocation.target, Target::Actor("actor".to_owned()));
    assert_eq!(invocation.operation, "HttpServer.HandleRequest");
    let Origin::Provider {
        id: provider,
        contract,
        link,
    } = &invocation.origin
    else {
        panic!("{:?}", invocation.origin);
    };
    assert_eq!(provider, &id("provider"));
    assert_eq!(
        (contract.as_str(), link.as_str()),
        ("wasmcloud:httpserver", "default")
    );
    let left = invocation
        .context
        .deadline
        .saturating_duration_since(Instant::now());
    assert!(left <= Duration::from_secs(5), "{left:?}");

    let many = |values: &[&str]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expected = Asked {
        method: "PUT".to_owned(),
        path: "/a%20b/../c".to_owned(),
        query: "q=1&r=%2F".to_owned(),
        header: [
            ("connection", many(&["close"])),
            ("content-length", many(&["2"])),
            ("host", many(&["h"])),
            ("x-old", many(&["café"])),
            ("x-one", many(&["1", "2"])),
        ]
        .map(|(name, values)| (name.to_owned(), values))
        .into(),
        body: b"hi".to_vec(),
    };
    assert_eq!(asked(&invocation), expected);
    Ok(())
}

/// As the published crate `wasmcloud-interface-httpserver` 0.11.0 encodes them.
#[tokio::test]
async fn the_bytes_are_those_of_the_published_interface() -> Result<()> {
    let kept = Arc::new(Mutex::new(Bytes::new()));
    let keep = kept.clone();
    let served = Served::with(&[], move |invocation| {
        *keep.lock() = invocation.payload.into_bytes().expect("bytes");
        let response = "83aa737461747573436f6465ccc9a668656164657281a661636365707492a161a162\
                        a4626f6479c4026f6b";
        async move { Ok(hex(response).into()) }
    })
    .await?;

    let request =
        b"POST /a%20b?q=1 HTTP/1.0\r\naccept: a\r\naccept: b\r\ncontent-length: 2\r\n\r\nhi";
    let response = rest(served.raw(request).await?).await?;
    assert!(
        response.starts_with("HTTP/1.0 201 Created\r\n"),
        "{response}"
    );
    assert!(
        response.contains("accept: a\r\naccept: b\r\n"),
        "{response}"
    );
    assert!(response.ends_with("\r\n\r\nok"), "{response}");

    // With one more header in its map, of one value: content-length.
    let expected = "85a66d6574686f64a4504f5354a470617468a62f6125323062ab7175657279537472696e67a371\
                    3d31a668656164657282a661636365707492a161a162ae636f6e74656e742d6c656e67746891a1\
                    32a4626f6479";
    let payload = kept.lock().clone();
    assert_eq!(payload[..payload.len() - 4], hex(expected)[..]);
    assert_eq!(payload[payload.len() - 4..], hex("c4026869")[..]);
    Ok(())
}

#[tokio::test]
async fn a_connection_serves_many_requests() -> Result<()> {
    let served = Served::with(&[], ok).await?;
    let mut client = served.client().await?;
    for _ in 0..100 {
        assert_eq!(client.get("/").await?.body(), "ok");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_connections_are_served_at_once() -> Result<()> {
    let inside = Arc::new(tokio::sync::Barrier::new(200));
    let served = Served::with(&[], move |invocation| {
        let inside = inside.clone();
        async move {
            // Nobody is answered before all have asked.
            inside.wait().await;
            echo(invocation).await
        }
    })
    .await?;
    let address = served.address();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        tasks.spawn(async move {
            let mut client = web::Client::connect(address).await?;
            let body = format!("number {n}");
            let response = client.send("POST", "/", body.clone()).await?;
            anyhow::ensure!(response.body() == &body, "{response:?}");
            Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect()
}

#[tokio::test]
async fn sixteen_mebibytes_pass_in_and_out() -> Result<()> {
    let served = Served::with(&[], echo).await?;
    let body: Bytes = (0..16 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    let mut client = served.client().await?;
    let response = client.send("POST", "/", body.clone()).await?;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.body() == &body);
    assert_eq!(client.get("/").await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_body_in_chunks_is_read_whole() -> Result<()> {
    let served = Served::with(&[], echo).await?;
    let request = b"POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\
        transfer-encoding: chunked\r\n\r\n3\r\none\r\n6\r\n, two!\r\n0\r\ntrailer: x\r\n\r\n";
    let response = rest(served.raw(request).await?).await?;
    assert!(response.ends_with("\r\n\r\none, two!"), "{response}");
    Ok(())
}

#[tokio::test]
async fn leave_to_send_is_given_where_the_body_is_welcome() -> Result<()> {
    let served = Served::with(&[("max_body_bytes", "10")], echo).await?;
    let head = |length| {
        format!(
            "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\nexpect: 100-continue\r\n\
             content-length: {length}\r\n\r\n"
        )
    };
    let mut stream = served.raw(head(5).as_bytes()).await?;
    stream.readable().await?;
    stream.write_all(b"12345").await?;
    let response = rest(stream).await?;
    assert!(
        response.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"),
        "{response}"
    );

    let response = rest(served.raw(head(11).as_bytes()).await?).await?;
    assert!(response.starts_with("HTTP/1.1 413"), "{response}");
    assert!(!response.contains("100 Continue"), "{response}");
    Ok(())
}

#[tokio::test]
async fn too_large_a_body_is_413_announced_or_not() -> Result<()> {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let served = Served::with(&[("max_body_bytes", "1m")], move |invocation| {
        count.fetch_add(1, Ordering::Relaxed);
        echo(invocation)
    })
    .await?;

    // The client sends all of it before it reads: it must find the answer, not a reset connection.
    let mut client = served.client().await?;
    let response = client.send("POST", "/", vec![0; 8 << 20]).await?;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);

    let head = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut stream = served.raw(head).await?;
    let chunk = [&b"100000\r\n"[..], &vec![b'x'; 1 << 20], b"\r\n"].concat();
    for _ in 0..3 {
        stream.write_all(&chunk).await?;
    }
    stream
        .write_all(b"0\r\n\r\nGET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        .await?;
    let response = rest(stream).await?;
    assert!(response.starts_with("HTTP/1.1 413"), "{response}");
    assert!(response.contains("HTTP/1.1 200 OK"), "{response}");

    let mut client = served.client().await?;
    let response = client.send("POST", "/", vec![0; 1 << 20]).await?;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    Ok(())
}

#[tokio::test]
async fn too_large_a_header_is_431() -> Result<()> {
    let served = Served::with(&[("max_header_bytes", "8k")], ok).await?;
    let filler = "x".repeat(9_000);
    let request = one_request(&format!("GET / HTTP/1.1\r\nx: {filler}"));
    let response = rest(served.raw(&request).await?).await?;
    assert!(response.starts_with("HTTP/1.1 431"), "{response}");

    let filler = "x".repeat(7_000);
    let request = one_request(&format!("GET / HTTP/1.1\r\nx: {filler}"));
    let response = rest(served.raw(&request).await?).await?;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    Ok(())
}

#[tokio::test]
async fn what_is_not_http_is_400() -> Result<()> {
    let served = Served::with(&[], ok).await?;
    for bad in [
        "nonsense\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
    ] {
        let response = rest(served.raw(bad.as_bytes()).await?).await?;
        assert!(response.starts_with("HTTP/1.1 400"), "{bad:?}: {response}");
    }
    let response = rest(served.raw(&one_request("CONNECT a:1 HTTP/1.1")).await?).await?;
    assert!(response.starts_with("HTTP/1.1 501"), "{response}");
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_slow_to_ask_is_let_go() -> Result<()> {
    let served = Served::with(&[("header_timeout_ms", "300")], ok).await?;
    // Neither part of a header, nor nothing at all, nor nothing more holds a connection for ever.
    assert_eq!(rest(served.raw(b"GET / HT").await?).await?, "");
    assert_eq!(rest(served.raw(b"").await?).await?, "");
    let idle = served.raw(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await?;
    assert!(rest(idle).await?.ends_with("ok"));
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_slow_to_send_is_408() -> Result<()> {
    let served = Served::with(&[("body_timeout_ms", "50")], ok).await?;
    let request = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhalf";
    let response = rest(served.raw(request).await?).await?;
    assert!(response.starts_with("HTTP/1.1 408"), "{response}");
    Ok(())
}

#[tokio::test]
async fn a_client_that_reads_no_answer_is_let_go() -> Result<()> {
    let settings = [("body_timeout_ms", "50"), ("max_connections", "1")];
    let served = Served::with(&settings, async |invocation| {
        let long = if asked(&invocation).path == "/long" {
            64 << 20
        } else {
            1
        };
        Ok(answer(200, &[], &vec![b'x'; long]))
    })
    .await?;
    let deaf = served.raw(b"GET /long HTTP/1.1\r\nhost: h\r\n\r\n").await?;
    deaf.readable().await?;
    // There is one place, and this is served once the other has lost it.
    assert_eq!(served.get("/").await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn no_more_connections_are_served_than_may_be() -> Result<()> {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, wait) = (asked.clone(), go.clone());
    let served = Served::with(&[("max_connections", "2")], move |_| {
        let (told, wait) = (told.clone(), wait.clone());
        async move {
            told.notify_one();
            wait.notified().await;
            Ok(answer(200, &[], b"ok"))
        }
    })
    .await?;
    let get = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    let mut busy = Vec::new();
    for _ in 0..2 {
        busy.push(served.raw(get).await?);
        asked.notified().await;
    }

    let third = served.raw(get).await?;
    tokio::select! {
        biased;
        () = asked.notified() => panic!("a third connection was served"),
        () = async { for _ in 0..20_000 { tokio::task::yield_now().await } } => {}
    }
    drop(busy.pop());
    asked.notified().await;
    go.notify_waiters();
    third.readable().await?;
    Ok(())
}

#[tokio::test]
async fn bodies_that_together_are_too_large_are_503() -> Result<()> {
    let settings = [("max_body_bytes", "1m"), ("max_buffered_bytes", "1m")];
    let served = Served::with(&settings, echo).await?;
    let head = "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 600000\r\n\r\n";
    let post = async || -> Result<_> {
        let mut client = served.client().await?;
        client.send("POST", "/", vec![0; 600_000]).await
    };

    // What is announced takes nothing from the others.
    let mut first = served.raw(head.as_bytes()).await?;
    assert_eq!(post().await?.status(), StatusCode::OK);

    // What has come does, as soon as it is read.
    first.write_all(&vec![b'x'; 599_999]).await?;
    let refused = loop {
        let response = post().await?;
        if response.status() != StatusCode::OK {
            break response;
        }
    };
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));

    first.write_all(b"x").await?;
    rest(first).await?;
    let mut client = served.client().await?;
    let response = client.send("POST", "/", vec![0; 600_000]).await?;
    assert_eq!(response.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_failed_call_has_its_status_and_tells_nothing() -> Result<()> {
    let served = Served::with(&[], async |invocation| {
        let path = asked(&invocation).path;
        let code = Code::ALL.iter().find(|code| path[1..] == *code.as_str());
        Err(Error::new(*code.expect("a code"), "the inner secret"))
    })
    .await?;
    for (code, status) in [
        (Code::Unavailable, 503),
        (Code::Overloaded, 503),
        (Code::Dropped, 503),
        (Code::Deadline, 504),
        (Code::UnknownTarget, 404),
        (Code::Trap, 502),
        (Code::MissingLink, 502),
        (Code::MissingClaim, 502),
    ] {
        let response = served.get(&format!("/{code}")).await?;
        assert_eq!(response.status().as_u16(), status, "{code}");
        let body = std::str::from_utf8(response.body())?;
        assert!(
            !body.contains("secret") && !body.contains(code.as_str()),
            "{body}"
        );
    }
    // The router takes note of these, once.
    assert!(served.seen.0.lock().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_router_that_is_gone_is_503() -> Result<()> {
    let mut served = Served::with(&[], ok).await?;
    let other = Served::new(ok);
    served.router = other.router.clone();
    assert_eq!(
        served.get("/").await?.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    Ok(())
}

#[tokio::test]
async fn a_call_that_the_router_does_not_end_is_504() -> Result<()> {
    let served = Served::with(&[("timeout_ms", "1")], |_| std::future::pending()).await?;
    assert_eq!(served.get("/").await?.status(), StatusCode::GATEWAY_TIMEOUT);
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_no_response_is_502_and_is_noted() -> Result<()> {
    let names: Vec<String> = (0..1_025).map(|n| format!("x-{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    let bad = [
        Bytes::new(),
        Bytes::from_static(b"\xc1"),
        Bytes::from_static(b"\xa5hello"),
        answer(0, &[], b""),
        answer(101, &[], b""),
        answer(999, &[], b""),
        answer(200, &[("bad name", "x")], b""),
        answer(200, &[("x", "split\r\nset-cookie: a=b")], b""),
        answer(200, &vec![("x", ""); 1_025], b""),
        answer(200, &many, b""),
    ];
    let count = bad.len();
    let served = Served::with(&[], move |invocation| {
        let at: usize = asked(&invocation).path[1..].parse().expect("a number");
        std::future::ready(Ok(bad[at].clone()))
    })
    .await?;
    for at in 0..count {
        let response = served.get(&format!("/{at}")).await?;
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY, "{at}");
        assert_eq!(response.body(), "Bad Gateway\n");
    }
    let seen = served.seen.0.lock();
    assert_eq!(seen.len(), count);
    for notice in seen.iter() {
        let Notice::CallFailed {
            target,
            operation,
            error,
            ..
        } = notice
        else {
            panic!("{notice:?}");
        };
        assert_eq!(
            (target.as_str(), operation.as_str()),
            ("actor", "HttpServer.HandleRequest")
        );
        assert_eq!(error.code, Code::Guest);
        assert!(
            error.detail.contains("is not an HTTP response"),
            "{}",
            error.detail
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_only_the_server_may_say_is_taken_out_of_an_answer() -> Result<()> {
    let header = [
        ("Connection", "x-hop"),
        ("X-Hop", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("Keep-Alive", "timeout=1"),
        ("Content-Length", "999"),
        ("X-Kept", "1"),
    ];
    let served = Served::with(&[], move |_| {
        std::future::ready(Ok(answer(200, &header, b"four")))
    })
    .await?;
    let mut client = served.client().await?;
    for _ in 0..2 {
        let response = client.get("/").await?;
        assert_eq!(response.body(), "four");
        let mut names: Vec<_> = response
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
async fn an_answer_to_head_tells_a_length_and_has_no_body() -> Result<()> {
    let served = Served::with(&[], async |invocation| {
        Ok(match asked(&invocation).path.as_str() {
            "/body" => answer(200, &[], b"four"),
            "/told" => answer(200, &[("content-length", "7")], b""),
            _ => answer(204, &[("content-length", "7")], b"nothing to see"),
        })
    })
    .await?;
    let mut client = served.client().await?;
    for (path, length) in [("/body", Some("4")), ("/told", Some("7")), ("/none", None)] {
        let response = client.send("HEAD", path, "").await?;
        let found = response.headers().get("content-length");
        assert_eq!(
            found.map(|value| value.to_str()).transpose()?,
            length,
            "{path}"
        );
        assert!(response.body().is_empty());
    }
    let response = client.get("/none").await?;
    assert_eq!(
        (response.status(), response.body().len()),
        (StatusCode::NO_CONTENT, 0)
    );
    Ok(())
}

#[tokio::test]
async fn other_ways_to_write_an_answer_are_understood() -> Result<()> {
    let served = Served::with(&[], async |invocation| {
        Ok(match asked(&invocation).path.as_str() {
            // [200, {"x": ["1"]}, <bytes "ok">]
            "/array" => hex("93ccc881a17891a131c4026f6b").into(),
            // {"statusCode": 200, "header": {"x": "1"}, "body": "ok"}
            "/texts" => {
                hex("83aa737461747573436f6465ccc8a668656164657281a178a131a4626f6479a26f6b").into()
            }
            // {"statusCode": 200, "header": nil, "body": [111, 107], "more": nil}
            _ => hex("84aa737461747573436f6465ccc8a6686561646572c0a4626f6479926f6ba46d6f7265c0")
                .into(),
        })
    })
    .await?;
    for path in ["/array", "/texts", "/numbers"] {
        let response = served.get(path).await?;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.body(), "ok", "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_call() -> Result<()> {
    struct Guard(tokio::sync::mpsc::UnboundedSender<&'static str>);
    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }
    let (events, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let served = Served::with(&[], move |_| {
        let guard = Guard(events.clone());
        async move {
            let _ = guard.0.send("called");
            std::future::pending().await
        }
    })
    .await?;

    let stream = served.raw(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await?;
    assert_eq!(seen.recv().await, Some("called"));
    drop(stream);
    assert_eq!(seen.recv().await, Some("dropped"));
    Ok(())
}
