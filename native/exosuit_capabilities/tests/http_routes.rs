//! The HTTP servers of one host: many actors on one address, by host and path.

mod common;
#[path = "common/web.rs"]
mod web;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use common::link;
use exosuit_capabilities::HttpPorts;
use exosuit_core::{Capability, Code, Error, Invocation, Link, Target};
use http::{HeaderValue, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use web::{Client, Served, answer, asked, rest};

/// Says which actor was asked for which path.
async fn who(invocation: Invocation) -> Result<Bytes, Error> {
    let Target::Actor(actor) = &invocation.target else {
        panic!("{:?}", invocation.target);
    };
    let text = format!("{actor} {}", asked(&invocation).path);
    Ok(answer(200, &[], text.as_bytes()))
}

fn at(actor: &str, address: SocketAddr, settings: &[(&str, &str)]) -> Arc<Link> {
    let address = address.to_string();
    let settings = [&[("address", address.as_str())], settings].concat();
    link(actor, "wasmcloud:httpserver", &settings)
}

/// An address that was free just now.
async fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}

async fn get(address: SocketAddr, path: &str) -> Result<(StatusCode, String)> {
    let response = Client::connect(address).await?.get(path).await?;
    let body = String::from_utf8(response.body().to_vec())?;
    Ok((response.status(), body))
}

async fn get_of_host(address: SocketAddr, host: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await?;
    let response = rest(stream).await?;
    let status = response.get(9..12).unwrap_or_default();
    let body = response.split("\r\n\r\n").nth(1).unwrap_or_default();
    Ok(format!("{status} {body}"))
}

#[tokio::test]
async fn the_longest_path_answers_what_is_at_it_and_below() -> Result<()> {
    let address = free_address().await?;
    let served = Served::new(who);
    for (actor, path) in [("api", "/api"), ("deep", "/api/v2/"), ("odd", "/a%20b")] {
        served
            .server
            .link(at(actor, address, &[("path", path)]))
            .await?;
    }
    for (path, expected) in [
        ("/api", "api /api"),
        ("/api/", "api /api/"),
        ("/api/x?q=/api/v2", "api /api/x"),
        ("/api/v", "api /api/v"),
        ("/api/v2", "deep /api/v2"),
        ("/api/v2/../x", "deep /api/v2/../x"),
        ("/api//v2", "api /api//v2"),
        ("/a%20b/c", "odd /a%20b/c"),
    ] {
        assert_eq!(
            get(address, path).await?,
            (StatusCode::OK, expected.to_owned())
        );
    }
    for path in ["/", "/apis", "/API", "/%61pi", "/x/api"] {
        let (status, body) = get(address, path).await?;
        assert_eq!(
            (status, body.as_str()),
            (StatusCode::NOT_FOUND, "Not Found\n"),
            "{path}"
        );
    }

    served.server.link(at("rest", address, &[])).await?;
    assert_eq!(get(address, "/apis").await?.1, "rest /apis");
    assert_eq!(get(address, "/api").await?.1, "api /api");
    let endpoints = served.server.endpoints();
    assert!(
        endpoints.contains(&format!("http://{address}/api/v2 → deep")),
        "{endpoints:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_host_goes_before_a_path() -> Result<()> {
    let address = free_address().await?;
    let served = Served::new(who);
    for (actor, settings) in [
        ("one", &[("host", "one.example")][..]),
        ("both", &[("host", "two.example"), ("path", "/x")]),
        ("path", &[("path", "/x/y")]),
    ] {
        served.server.link(at(actor, address, settings)).await?;
    }
    for (host, path, expected) in [
        ("one.example", "/", "200 one /"),
        ("ONE.example.:8080", "/x/y", "200 one /x/y"),
        ("two.example", "/x/y", "200 both /x/y"),
        ("two.example", "/", "404 Not Found\n"),
        ("three.example", "/x/y", "200 path /x/y"),
        ("three.example", "/", "404 Not Found\n"),
        ("", "/x/y", "200 path /x/y"),
        // The target of a request goes before its header.
        ("one.example", "http://two.example/x", "200 both /x"),
        (
            "one.example\r\nhost: two.example",
            "/x",
            "400 Bad Request\n",
        ),
    ] {
        let found = get_of_host(address, host, path).await?;
        assert_eq!(found, expected, "{host} {path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_place_that_is_taken_is_refused_with_the_actor_that_has_it() -> Result<()> {
    let address = free_address().await?;
    let ports = Arc::<HttpPorts>::default();
    let one = Served::on("first", ports.clone(), who);
    let two = Served::on("second", ports, who);
    let of = |provider: &str, actor, settings: &[(&str, &str)]| {
        let link = at(actor, address, settings);
        Arc::new(Link {
            target: common::id(provider),
            ..(*link).clone()
        })
    };
    let place = [("path", "/a"), ("host", "h")];
    one.server.link(of("first", "one", &place)).await?;
    let same = [("path", "/a/"), ("host", "H")];
    let error = two.server.link(of("second", "two", &same)).await;
    let error = error.expect_err("the same place");
    assert_eq!(error.code, Code::Conflict);
    let expected = format!("address {address} already serves the actor one for host h at path /a");
    assert!(error.detail.starts_with(&expected), "{error}");

    two.server
        .link(of("second", "two", &[("path", "/a")]))
        .await?;
    assert_eq!(get_of_host(address, "h", "/a").await?, "200 one /a");
    assert_eq!(get_of_host(address, "g", "/a").await?, "200 two /a");
    Ok(())
}

#[tokio::test]
async fn what_belongs_to_an_address_is_the_same_for_all_on_it() -> Result<()> {
    let address = free_address().await?;
    let served = Served::new(who);
    let one = [("path", "/1"), ("max_connections", "7")];
    served.server.link(at("one", address, &one)).await?;
    served
        .server
        .link(at("two", address, &[("path", "/2")]))
        .await?;
    let three = [("path", "/3"), ("max_connections", "8")];
    let error = served.server.link(at("three", address, &three)).await;
    let error = error.expect_err("other bounds");
    assert_eq!(error.code, Code::Conflict);
    for part in [
        "max_connections is 8 for the actor three",
        "7 for the actor one",
    ] {
        assert!(error.detail.contains(part), "{error}");
    }
    let small = [
        ("path", "/3"),
        ("max_buffered_bytes", "1m"),
        ("max_body_bytes", "1m"),
    ];
    let error = served.server.link(at("three", address, &small)).await;
    let error = error.expect_err("less than another's body");
    assert!(error.detail.contains("max_buffered_bytes"), "{error}");

    served.server.unlink(at("one", address, &one)).await?;
    served.server.link(at("three", address, &three)).await?;
    assert_eq!(get(address, "/3").await?.1, "three /3");
    Ok(())
}

#[tokio::test]
async fn links_without_an_address_share_the_providers() -> Result<()> {
    let address = free_address().await?;
    let served = Served::new(who);
    let default = format!("{address}");
    for (actor, path) in [("one", "/1"), ("two", "/2")] {
        let settings = [
            ("default_address", default.as_str()),
            ("routing_mode", "path"),
            ("path", path),
        ];
        let link = link(actor, "wasmcloud:httpserver", &settings);
        served.server.link(link).await?;
    }
    assert_eq!(get(address, "/2/x").await?.1, "two /2/x");
    let without = link("three", "wasmcloud:httpserver", &[("routing_mode", "path")]);
    let error = served.server.link(without).await.expect_err("no path");
    assert_eq!(error.code, Code::InvalidLink);
    assert!(error.detail.contains("routing_mode"), "{error}");
    Ok(())
}

/// Says when it was asked, and answers when it is told; others at once.
#[derive(Clone, Default)]
struct Slow {
    asked: Arc<Notify>,
    answer: Arc<Notify>,
}

impl Slow {
    async fn respond(self, invocation: Invocation) -> Result<Bytes, Error> {
        if asked(&invocation).path.ends_with("/slow") {
            self.asked.notify_one();
            self.answer.notified().await;
        }
        who(invocation).await
    }
}

fn slow_server(provider: &str, ports: &Arc<HttpPorts>) -> (Slow, Served) {
    let slow = Slow::default();
    let actor = slow.clone();
    let respond = move |invocation| actor.clone().respond(invocation);
    (slow, Served::on(provider, ports.clone(), respond))
}

#[tokio::test]
async fn one_route_ends_without_a_word_to_the_others() -> Result<()> {
    let address = free_address().await?;
    let ports = Arc::default();
    let (slow, one) = slow_server("provider", &ports);
    let (other_slow, two) = slow_server("provider", &ports);
    let (first, second) = (
        at("one", address, &[("path", "/1")]),
        at("two", address, &[("path", "/2")]),
    );
    one.server.link(first.clone()).await?;
    two.server.link(second.clone()).await?;

    let mut kept = Client::connect(address).await?;
    assert_eq!(kept.get("/2").await?.body(), "two /2");
    let asking = tokio::spawn(get(address, "/1/slow"));
    let other = tokio::spawn(get(address, "/2/slow"));
    slow.asked.notified().await;
    other_slow.asked.notified().await;

    one.server.unlink(first.clone()).await?;
    let response = kept.get("/1").await?;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers().get("connection"), None::<&HeaderValue>);
    slow.answer.notify_one();
    assert_eq!(asking.await??.1, "one /1/slow");
    one.server.drain().await?;
    assert_eq!(kept.get("/1").await?.status(), StatusCode::NOT_FOUND);
    assert_eq!(kept.get("/2").await?.body(), "two /2");

    other_slow.answer.notify_one();
    assert_eq!(other.await??.1, "two /2/slow");
    two.server.unlink(second).await?;
    TcpListener::bind(address).await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_starts_again_takes_its_route_and_the_port_stays() -> Result<()> {
    let address = free_address().await?;
    let ports = Arc::<HttpPorts>::default();
    let (first, second) = (
        at("one", address, &[("path", "/1")]),
        at("two", address, &[("path", "/2")]),
    );
    let one = Served::on("provider", ports.clone(), who);
    let two = Served::on("provider", ports.clone(), who);
    one.server.link(first.clone()).await?;
    two.server.link(second).await?;
    let mut kept = Client::connect(address).await?;

    // Stopped as it should be, and dropped as it may be.
    for stop in [true, false, true] {
        if stop {
            two.server
                .link(at("two", address, &[("path", "/2")]))
                .await?;
            one.server.unlink(first.clone()).await?;
            assert_eq!(kept.get("/1").await?.status(), StatusCode::NOT_FOUND);
        } else {
            let gone = Served::on("provider", ports.clone(), who);
            gone.server
                .link(at("gone", address, &[("path", "/gone")]))
                .await?;
            assert_eq!(kept.get("/gone").await?.status(), StatusCode::OK);
            drop(gone);
            assert_eq!(kept.get("/gone").await?.status(), StatusCode::NOT_FOUND);
        }
        one.server.link(first.clone()).await?;
        assert_eq!(kept.get("/1").await?.body(), "one /1");
        assert_eq!(kept.get("/2").await?.body(), "two /2");
    }
    Ok(())
}

#[tokio::test]
async fn servers_that_drain_together_answer_what_was_asked() -> Result<()> {
    let address = free_address().await?;
    let ports = Arc::default();
    let (slow, one) = slow_server("provider", &ports);
    let (other_slow, two) = slow_server("provider", &ports);
    one.server
        .link(at("one", address, &[("path", "/1")]))
        .await?;
    two.server
        .link(at("two", address, &[("path", "/2")]))
        .await?;
    let asking = tokio::spawn(get(address, "/1/slow"));
    let other = tokio::spawn(get(address, "/2/slow"));
    slow.asked.notified().await;
    other_slow.asked.notified().await;

    let first = tokio::spawn(async move { one.server.drain().await });
    let second = tokio::spawn(async move { two.server.drain().await });
    while TcpStream::connect(address).await.is_ok() {}
    assert!(!first.is_finished() && !second.is_finished());
    // That the first is through, and gone, is nothing to the other.
    slow.answer.notify_one();
    assert_eq!(asking.await??.1, "one /1/slow");
    first.await??;
    other_slow.answer.notify_one();
    assert_eq!(other.await??.1, "two /2/slow");
    second.await??;
    Ok(())
}

#[tokio::test]
async fn a_link_that_moves_to_another_path_keeps_its_port() -> Result<()> {
    let served = Served::new(who);
    let any = "127.0.0.1:0".parse()?;
    served
        .server
        .link(at("one", any, &[("path", "/1")]))
        .await?;
    let address = served.address();
    let mut kept = Client::connect(address).await?;
    assert_eq!(kept.get("/1").await?.body(), "one /1");

    served
        .server
        .link(at("one", any, &[("path", "/2")]))
        .await?;
    assert_eq!(served.address(), address);
    assert_eq!(kept.get("/1").await?.status(), StatusCode::NOT_FOUND);
    assert_eq!(kept.get("/2").await?.body(), "one /2");
    Ok(())
}
