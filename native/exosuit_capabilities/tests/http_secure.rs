//! The HTTP server with TLS, and with HTTP/2.

mod common;
#[path = "common/secure.rs"]
mod secure;
#[path = "common/stream.rs"]
mod stream;
#[path = "common/web.rs"]
mod web;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use common::{link, unreadable};
use exosuit_core::{Capability, Code, Error, Notice, Reply};
use http::{Method, Request, StatusCode, Version};
use secure::{Body, ask, ask_http1, certificate, clear, connect, file, get, http2, whole};
use stream::{fed, full, response, serve, streaming};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;
use web::{Served, answer, asked, free, rest};

fn localhost() -> [(&'static str, String); 2] {
    [
        ("tls_cert_file", file("localhost.pem")),
        ("tls_priv_key_file", file("localhost.key.pem")),
    ]
}

/// An actor of `wasi:http` that says whom it was asked as.
async fn says_uri(request: http::Request<exosuit_core::Body>) -> Result<Reply, Error> {
    Ok(response(200, &[], full(request.uri().to_string())))
}

async fn secured(settings: &[(&str, &str)]) -> Result<Served> {
    let files = localhost();
    let files = files.iter().map(|(key, path)| (*key, path.as_str()));
    let settings: Vec<_> = files.chain(settings.iter().copied()).collect();
    serve(&settings, says_uri).await
}

#[tokio::test]
async fn a_certificate_is_taken_in_each_of_its_forms() -> Result<()> {
    let (certificate, key) = (file("localhost.pem"), file("localhost.key.pem"));
    let nested = format!(r#"{{"tls":{{"cert_file":{certificate:?},"priv_key_file":{key:?}}}}}"#);
    let flat = format!(r#"{{"tls_cert_file":{certificate:?},"tls_priv_key_file":{key:?}}}"#);
    let encoded = data_encoding::BASE64.encode(nested.as_bytes());
    for settings in [
        &[
            ("tls_cert_file", certificate.as_str()),
            ("tls_priv_key_file", &key),
        ][..],
        &[
            ("TLS_CERT_FILE", certificate.as_str()),
            ("Tls_Priv_Key_File", &key),
        ],
        &[("config_json", nested.as_str())],
        &[("config_json", flat.as_str())],
        &[("config_b64", encoded.as_str())],
    ] {
        let served = serve(settings, says_uri).await?;
        for is_old in [false, true] {
            let stream = connect(served.address(), &["http/1.1"], is_old).await?;
            let answer = ask_http1(stream, "/a").await?;
            assert_eq!(answer.body(), "https://localhost/a", "{settings:?}");
        }
        let endpoint = format!("https://{} → actor", served.address());
        assert_eq!(served.server.endpoints(), [endpoint]);
    }
    Ok(())
}

#[tokio::test]
async fn client_and_server_agree_on_http2() -> Result<()> {
    let served = secured(&[]).await?;
    for (protocols, is_http2) in [
        (&["h2", "http/1.1"][..], true),
        (&["http/1.1"], false),
        (&[], false),
    ] {
        let stream = connect(served.address(), protocols, false).await?;
        let agreed = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        assert_eq!(agreed, is_http2, "{protocols:?}");
    }
    let stream = connect(served.address(), &["h2"], true).await?;
    let (mut sender, _) = http2(stream, 1 << 20).await?;
    let answer = ask(&mut sender, get("https://a.example:7/b?c")).await?;
    assert_eq!(answer.version(), Version::HTTP_2);
    assert_eq!(answer.body(), "https://a.example:7/b?c");
    Ok(())
}

#[tokio::test]
async fn nothing_is_served_in_plain_where_tls_is_asked_for() -> Result<()> {
    let served = secured(&[]).await?;
    let answer = rest(served.raw(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await?).await;
    assert!(!answer.unwrap_or_default().contains("HTTP/"));
    Ok(())
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused_by_name() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let odd = directory.path().join("odd.pem");
    fs::write(&odd, "hunter2")?;
    let odd = odd.display().to_string();
    let (good, key) = (file("localhost.pem"), file("localhost.key.pem"));
    let (other, missing) = (file("second.key.pem"), file("missing.pem"));
    for (certificate, key, named) in [
        (Some(&good), None, "tls_cert_file"),
        (None, Some(&key), "tls_priv_key_file"),
        (Some(&missing), Some(&key), "tls_cert_file"),
        (Some(&good), Some(&missing), "tls_priv_key_file"),
        (Some(&odd), Some(&key), "tls_cert_file"),
        (Some(&key), Some(&key), "tls_cert_file"),
        (Some(&good), Some(&odd), "tls_priv_key_file"),
        (Some(&good), Some(&good), "tls_priv_key_file"),
        (Some(&good), Some(&other), "tls_priv_key_file"),
    ] {
        let settings = [("tls_cert_file", certificate), ("tls_priv_key_file", key)];
        let settings: Vec<_> = settings
            .into_iter()
            .filter_map(|(key, path)| Some((key, path?.as_str())))
            .collect();
        let error = serve(&settings, says_uri).await.err().expect("a refusal");
        let error: Error = error.downcast()?;
        assert_eq!(error.code, Code::InvalidLink);
        assert!(error.detail.contains(named), "{settings:?}: {error}");
        assert!(!error.detail.contains("hunter2"), "{error}");
    }
    Ok(())
}

/// `/dev/zero` would take all memory, and a FIFO a thread for good.
#[tokio::test]
async fn devices_pipes_directories_and_large_files_are_refused_by_name() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let [(_, certificate), (_, key)] = localhost();
    for (bad, why) in unreadable(directory.path(), 1_024) {
        for (named, certificate, key) in [
            ("tls_cert_file", &bad, &key),
            ("tls_priv_key_file", &certificate, &bad),
        ] {
            let settings = [
                ("tls_cert_file", certificate.as_str()),
                ("tls_priv_key_file", key),
            ];
            let error = serve(&settings, says_uri).await.err().expect("a refusal");
            let error: Error = error.downcast()?;
            assert_eq!(error.code, Code::InvalidLink);
            for part in [named, bad.as_str(), why.as_str()] {
                assert!(error.detail.contains(part), "{part}: {error}");
            }
        }
    }
    Ok(())
}

fn put(directory: &Path, certificate: &str, key: &str) -> Result<()> {
    fs::copy(file(certificate), directory.join("certificate.pem"))?;
    fs::copy(file(key), directory.join("key.pem"))?;
    Ok(())
}

/// Asks for the certificate until what is awaited is the case.
async fn until(served: &Served, is_so: impl Fn(&[u8], &[Notice]) -> bool) -> Result<()> {
    loop {
        let stream = connect(served.address(), &[], false).await?;
        let shown = stream
            .get_ref()
            .1
            .peer_certificates()
            .expect("a certificate");
        if is_so(&shown[0], &served.seen.0.lock()) {
            return Ok(());
        }
    }
}

fn is_told(notices: &[Notice], expected: &str) -> bool {
    notices.iter().any(|notice| {
        matches!(notice, Notice::Certificate { change, file, .. }
            if *change == expected && file.ends_with("certificate.pem"))
    })
}

#[tokio::test]
async fn changed_files_are_taken_and_broken_ones_are_told_of() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = |name| directory.path().join(name).display().to_string();
    put(directory.path(), "localhost.pem", "localhost.key.pem")?;
    let (certificate_file, key_file) = (path("certificate.pem"), path("key.pem"));
    let settings = [
        ("tls_cert_file", certificate_file.as_str()),
        ("tls_priv_key_file", &key_file),
        ("tls_reload_ms", "10"),
    ];
    let served = serve(&settings, says_uri).await?;
    let (first, second) = (certificate("localhost.pem"), certificate("second.pem"));
    until(&served, |shown, _| shown == &*first).await?;

    put(directory.path(), "second.pem", "second.key.pem")?;
    until(&served, |shown, told| {
        shown == &*second && is_told(told, "certificate_changed")
    })
    .await?;

    // The old one is shown on, whatever is wrong.
    for broken in ["nonsense", ""] {
        served.seen.0.lock().clear();
        fs::write(path("certificate.pem"), broken)?;
        until(&served, |shown, told| {
            assert_eq!(shown, &*second);
            is_told(told, "certificate_refused")
        })
        .await?;
    }
    served.seen.0.lock().clear();
    fs::remove_file(path("key.pem"))?;
    until(&served, |shown, told| {
        assert_eq!(shown, &*second);
        is_told(told, "certificate_refused")
    })
    .await?;

    put(directory.path(), "localhost.pem", "localhost.key.pem")?;
    until(&served, |shown, _| shown == &*first).await
}

#[tokio::test]
async fn a_handshake_that_is_never_finished_is_given_up() -> Result<()> {
    let settings = [("header_timeout_ms", "200"), ("max_connections", "1")];
    let served = secured(&settings).await?;
    // The beginning of a record, and nothing at all.
    for begun in [&b"\x16\x03\x01\x02\x00"[..], b""] {
        let deaf = served.raw(begun).await?;
        assert_eq!(rest(deaf).await?, "");
    }
    let stream = connect(served.address(), &[], false).await?;
    assert_eq!(ask_http1(stream, "/").await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn links_of_one_address_have_one_certificate() -> Result<()> {
    let served = secured(&[("path", "/one")]).await?;
    let address = served.address().to_string();
    let at = |settings: &[(&str, &str)]| {
        let settings = [&[("address", address.as_str()), ("path", "/two")], settings].concat();
        link("other", "wasi:http", &settings)
    };
    let (second, key) = (file("second.pem"), file("second.key.pem"));
    let other = [
        ("tls_cert_file", second.as_str()),
        ("tls_priv_key_file", &key),
    ];
    for settings in [&[][..], &other] {
        let error = served.server.link(at(settings)).await.expect_err("another");
        assert_eq!(error.code, Code::Conflict);
        assert!(error.detail.contains("tls_cert_file"), "{error}");
    }
    let same = localhost();
    let same = same.each_ref().map(|(key, path)| (*key, path.as_str()));
    served.server.link(at(&same)).await?;
    let stream = connect(served.address(), &[], false).await?;
    assert_eq!(ask_http1(stream, "/two").await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn one_port_speaks_both_versions_without_tls() -> Result<()> {
    let served = serve(&[], says_uri).await?;
    let mut sender = clear(served.address()).await?;
    for n in 0..3 {
        let uri = format!("http://a.example/{n}");
        let answer = ask(&mut sender, get(&uri)).await?;
        assert_eq!(
            (answer.version(), answer.body()),
            (Version::HTTP_2, &Bytes::from(uri))
        );
    }
    assert_eq!(served.get("/p").await?.body(), "http://localhost/p");
    // These begin as HTTP/2 does.
    for method in ["POST", "PUT", "P", "PR"] {
        let request = format!("{method} /m HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        let answer = rest(served.raw(request.as_bytes()).await?).await?;
        assert!(answer.ends_with("\r\n\r\nhttp://h/m"), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn an_actor_of_wasmbus_reads_http2_as_it_reads_http1() -> Result<()> {
    let served = Served::with(&[], async |invocation| {
        let asked = asked(&invocation);
        let text = format!("{:?} {:?}", asked.header["host"], asked.header["cookie"]);
        Ok(answer(
            200,
            &[("connection", "x"), ("x", "1")],
            text.as_bytes(),
        ))
    })
    .await?;
    let mut sender = clear(served.address()).await?;
    let mut request = get("http://a.example:7/");
    for crumb in ["a=1", "b=2"] {
        request.headers_mut().append("cookie", crumb.parse()?);
    }
    let answer = ask(&mut sender, request).await?;
    assert_eq!(answer.body(), r#"["a.example:7"] ["a=1; b=2"]"#);
    assert!(!answer.headers().contains_key("x"));
    Ok(())
}

#[tokio::test]
async fn a_request_that_names_two_hosts_is_refused() -> Result<()> {
    let served = serve(&[], says_uri).await?;
    let mut sender = clear(served.address()).await?;
    for (host, status) in [("a.example", 200), ("b.example", 400)] {
        let mut request = get("http://a.example/");
        request.headers_mut().insert("host", host.parse()?);
        let answer = ask(&mut sender, request).await?;
        assert_eq!(answer.status().as_u16(), status, "{host}");
    }
    Ok(())
}

#[tokio::test]
async fn requests_of_one_connection_do_not_wait_for_each_other() -> Result<()> {
    let (feeds, mut feed) = unbounded_channel();
    let served = serve(&[("max_streams", "10")], move |_| {
        let (feed, body) = fed();
        let _ = feeds.send(feed);
        async move { Ok(response(200, &[], body)) }
    })
    .await?;
    let sender = clear(served.address()).await?;
    let mut answers = Vec::new();
    for _ in 0..10 {
        let asked = sender.clone().send_request(get("http://h/"));
        answers.push(asked.await?);
    }
    let mut feeds = Vec::new();
    feed.recv_many(&mut feeds, 10).await;
    while feeds.len() < 10 {
        feed.recv_many(&mut feeds, 10).await;
    }
    // The last is answered first.
    while let (Some(answer), Some(feed)) = (answers.pop(), feeds.pop()) {
        feed.send(Ok("whole".into())).await?;
        drop(feed);
        assert_eq!(whole(answer).await?.body(), "whole");
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_fails_resets_its_stream_alone() -> Result<()> {
    let served = serve(&[], async |request| {
        let (feed, body) = fed();
        let fails = request.uri().path() == "/fails";
        tokio::spawn(async move {
            let _ = feed.send(Ok("half".into())).await;
            if fails {
                let _ = feed.send(Err(Error::new(Code::Trap, "trapped"))).await;
            }
        });
        Ok(response(200, &[], body))
    })
    .await?;
    let mut sender = clear(served.address()).await?;
    assert!(ask(&mut sender, get("http://h/fails")).await.is_err());
    assert_eq!(ask(&mut sender, get("http://h/")).await?.body(), "half");
    Ok(())
}

#[tokio::test]
async fn too_large_a_header_is_refused_in_http2_as_well() -> Result<()> {
    let served = serve(&[("max_header_bytes", "8k")], says_uri).await?;
    let mut sender = clear(served.address()).await?;
    let mut large = get("http://h/");
    large.headers_mut().insert("x", "x".repeat(9_000).parse()?);
    if let Ok(answer) = ask(&mut sender, large).await {
        assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    Ok(())
}

#[tokio::test]
async fn bodies_are_bounded_in_http2_as_well() -> Result<()> {
    let served = Served::with(&[("max_body_bytes", "1m")], async |invocation| {
        Ok(answer(200, &[], &asked(&invocation).body))
    })
    .await?;
    let mut sender = clear(served.address()).await?;
    for (size, status) in [(1 << 20, 200), (2 << 20, 413)] {
        let request = Request::post("http://h/").body(Body::from(vec![7; size]))?;
        let answer = ask(&mut sender, request).await?;
        assert_eq!(answer.status().as_u16(), status);
        assert!(status != 200 || answer.body().len() == size);
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() -> Result<()> {
    let served = serve(&[("header_timeout_ms", "100")], says_uri).await?;
    let stream = TcpStream::connect(served.address()).await?;
    let (mut sender, connection) = http2(stream, 1 << 20).await?;
    ask(&mut sender, get("http://h/")).await?;
    connection.await??;
    // Nor is one that never gets further than the beginning.
    for begun in [&b"PRI"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = served.raw(begun).await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink())
            .await
            .ok();
    }
    Ok(())
}

/// A frame of HTTP/2: type, flags, stream.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short frame");
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

#[tokio::test]
async fn a_header_of_http2_that_dribbles_is_not_waited_for() -> Result<()> {
    const SETTINGS: u8 = 4;
    const HEADERS: u8 = 1;
    const CONTINUATION: u8 = 9;
    const PING: u8 = 6;
    let served = serve(&[("header_timeout_ms", "200")], says_uri).await?;
    let begun = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[]),
    ]
    .concat();
    // `:method: GET` from the static table, byte by byte and without an end; or pings for ever.
    for (first, more) in [
        (
            frame(HEADERS, 0, 1, &[0x82]),
            frame(CONTINUATION, 0, 1, &[]),
        ),
        (frame(PING, 0, 0, &[0; 8]), frame(PING, 0, 0, &[0; 8])),
    ] {
        let mut stream = served.raw(&begun).await?;
        stream.write_all(&first).await?;
        let (mut reader, mut writer) = stream.into_split();
        let reading =
            tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
        while writer.write_all(&more).await.is_ok() && !reading.is_finished() {
            tokio::task::yield_now().await;
        }
        let _ended = reading.await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_drain_ends_a_connection_of_http2() -> Result<()> {
    let (feeds, mut feed) = unbounded_channel();
    let served = serve(&[], move |_| {
        let (feed, body) = fed();
        let _ = feeds.send(feed);
        async move { Ok(response(200, &[], body)) }
    })
    .await?;
    let address = served.address();
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http2(stream, 1 << 20).await?;
    let answer = sender.send_request(get("http://h/")).await?;
    let feed = feed.recv().await.expect("a call");
    let draining = tokio::spawn(served.server.drain());
    while TcpStream::connect(address).await.is_ok() {}
    feed.send(Ok("late".into())).await?;
    drop(feed);
    assert_eq!(whole(answer).await?.body(), "late");
    draining.await??;
    connection.await??;
    Ok(())
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_reset_and_others_go_on() -> Result<()> {
    let (feeds, mut feed) = unbounded_channel();
    let settings = [("body_timeout_ms", "100"), ("timeout_ms", "60000")];
    let served = serve(&settings, move |request| {
        let (feed, body) = fed();
        if request.uri().path() == "/long" {
            let _ = feeds.send(feed);
        }
        async move { Ok(response(200, &[], body)) }
    })
    .await?;
    let stream = TcpStream::connect(served.address()).await?;
    let (mut sender, _connection) = http2(stream, 65_535).await?;
    let _unread = sender.send_request(get("http://h/long")).await?;
    let feed = feed.recv().await.expect("a call");
    while feed.send(Ok(vec![0; 64 << 10].into())).await.is_ok() {}
    let answer = ask(&mut sender, get("http://h/")).await?;
    assert_eq!(answer.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn an_answer_whose_rest_nobody_takes_ends_its_connection() -> Result<()> {
    let settings = [("body_timeout_ms", "100"), ("header_timeout_ms", "300")];
    let served = Served::with(&settings, async |_| Ok(answer(200, &[], b"small"))).await?;
    let stream = TcpStream::connect(served.address()).await?;
    let (mut sender, connection) = http2(stream, 1).await?;
    let _unread = sender.send_request(get("http://h/")).await?;
    // Others need no window, and keep the connection in use.
    let in_use = async {
        while !connection.is_finished() {
            let mut other = get("http://h/");
            *other.method_mut() = Method::HEAD;
            let _ = ask(&mut sender, other).await;
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), in_use).await?;
    Ok(())
}

#[tokio::test]
async fn an_answer_that_waits_for_a_window_is_in_the_budget() -> Result<()> {
    const LARGE: usize = 60 << 10;
    let settings = [
        ("max_body_bytes", "64k"),
        ("max_buffered_bytes", "64k"),
        ("body_timeout_ms", "60000"),
    ];
    let served = Served::with(&settings, async |_| {
        Ok(answer(200, &[], &vec![b'x'; LARGE]))
    })
    .await?;
    let stream = TcpStream::connect(served.address()).await?;
    let (mut sender, _connection) = http2(stream, 8 << 10).await?;
    let unread = sender.send_request(get("http://h/")).await?;
    let refused = served.get("/").await?;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(whole(unread).await?.body().len(), LARGE);
    while served.get("/").await?.status() != StatusCode::OK {}
    Ok(())
}

#[tokio::test]
async fn a_client_that_gives_up_request_after_request_is_let_go() -> Result<()> {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let served = serve(&[], move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<Result<Reply, Error>>()
    })
    .await?;
    let stream = TcpStream::connect(served.address()).await?;
    let (sender, connection) = http2(stream, 1 << 20).await?;
    for sent in 1.. {
        let mut sender = sender.clone();
        let Ok(()) = sender.ready().await else { break };
        let asking = tokio::spawn(sender.send_request(get("http://h/")));
        while calls.load(Ordering::Relaxed) < sent && !connection.is_finished() {
            tokio::task::yield_now().await;
        }
        asking.abort();
        if connection.is_finished() {
            break;
        }
        assert!(sent < 1_000, "it goes on");
    }
    assert!(calls.load(Ordering::Relaxed) < 200);
    // Whoever lets its requests be answered may give up one now and then.
    assert!(served.raw(b"").await.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_streaming_link_of_wasmbus_has_tls_too() -> Result<()> {
    let served = Served::new(async |_| Ok(answer(200, &[], b"ok")));
    let files = localhost();
    let files = files.each_ref().map(|(key, path)| (*key, path.as_str()));
    served.server.link(free(&files)).await?;
    let stream = connect(served.address(), &["h2"], false).await?;
    let (mut sender, _) = http2(stream, 1 << 20).await?;
    assert_eq!(
        ask(&mut sender, get("https://localhost/")).await?.body(),
        "ok"
    );
    // A change of the files alone moves no one.
    let before = served.address();
    served.server.link(free(&files)).await?;
    assert_eq!(served.address(), before);
    Ok(())
}

#[tokio::test]
async fn a_broken_off_answer_over_tls_never_looks_whole() -> Result<()> {
    let files = localhost();
    let files = files.each_ref().map(|(key, path)| (*key, path.as_str()));
    let served = Served::on("provider", Arc::default(), async |_| {
        let (feed, body) = fed();
        tokio::spawn(async move {
            let _ = feed.send(Ok("half".into())).await;
            let _ = feed.send(Err(Error::new(Code::Trap, "trapped"))).await;
        });
        Ok(response(200, &[], body))
    });
    served.server.link(streaming(&files)).await?;
    let mut stream = connect(served.address(), &[], false).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let end = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    assert!(end.is_err(), "{end:?}");
    Ok(())
}
