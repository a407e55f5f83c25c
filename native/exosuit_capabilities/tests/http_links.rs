//! The HTTP server: links that come and go, and an end without a lost answer.

mod common;
#[path = "common/web.rs"]
mod web;

use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use common::{id, link};
use exosuit_core::{Capability, Code, Error, Invocation, Link};
use http::StatusCode;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use web::{Client, Served, answer, free, rest};

async fn who(invocation: Invocation) -> Result<Bytes, Error> {
    let name = format!("{:?}", invocation.target);
    Ok(answer(200, &[], name.as_bytes()))
}

/// An actor that says when it was asked, and answers when it is told.
#[derive(Clone, Default)]
struct Slow {
    asked: Arc<Notify>,
    answer: Arc<Notify>,
}

impl Slow {
    async fn respond(self) -> Result<Bytes, Error> {
        self.asked.notify_one();
        self.answer.notified().await;
        Ok(answer(200, &[], b"late"))
    }
}

fn at(actor: &str, address: &str) -> Arc<Link> {
    link(actor, "wasmcloud:httpserver", &[("address", address)])
}

#[tokio::test]
async fn each_link_has_an_address_of_its_own() -> Result<()> {
    let served = Served::new(who);
    for actor in ["one", "two"] {
        served.server.link(at(actor, "127.0.0.1:0")).await?;
    }
    let addresses = served.server.addresses();
    assert_eq!(addresses.len(), 2);
    for (actor, address) in &addresses {
        let response = Client::connect(*address).await?.get("/").await?;
        assert_eq!(response.body(), &format!("Actor(\"{actor}\")"));
    }
    let (_, first) = addresses[0];
    assert_eq!(
        served.server.endpoints()[0],
        format!("http://{first} → one")
    );
    Ok(())
}

#[tokio::test]
async fn a_link_from_the_provider_is_served_by_its_source_settings() -> Result<()> {
    let served = Served::new(who);
    for actor in ["one", "two"] {
        let turned = Link {
            source: id("provider"),
            target: id(actor),
            source_config: common::configuration(&[("address", "127.0.0.1:0")]),
            target_config: common::configuration(&[("address", "nowhere")]),
            ..(*free(&[])).clone()
        };
        served.server.link(Arc::new(turned)).await?;
    }
    let actors: Vec<_> = served
        .server
        .addresses()
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(actors, [id("one"), id("two")]);
    Ok(())
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() -> Result<()> {
    let other = TcpListener::bind("127.0.0.1:0").await?;
    let address = other.local_addr()?.to_string();
    let served = Served::new(who);
    let error = served
        .server
        .link(at("one", &address))
        .await
        .expect_err("in use");
    assert_eq!(error.code, Code::Conflict);
    assert!(
        error
            .detail
            .contains(&format!("address {address} is in use")),
        "{error}"
    );

    drop(other);
    served.server.link(at("one", &address)).await?;
    let error = served
        .server
        .link(at("two", &address))
        .await
        .expect_err("in use");
    assert_eq!(error.code, Code::Conflict);
    assert!(
        error.detail.contains("already serves the actor one"),
        "{error}"
    );

    let error = served
        .server
        .link(at("two", "192.0.2.1:0"))
        .await
        .expect_err("not ours");
    assert_eq!(error.code, Code::Io);
    Ok(())
}

#[tokio::test]
async fn a_link_with_bad_settings_or_another_contract_is_refused() -> Result<()> {
    let served = Served::new(who);
    let error = served
        .server
        .link(at("one", "here"))
        .await
        .expect_err("no address");
    assert_eq!(error.code, Code::InvalidLink);
    let other = link("one", "wasmcloud:keyvalue", &[]);
    let error = served
        .server
        .link(other)
        .await
        .expect_err("another contract");
    assert_eq!(error.code, Code::InvalidLink);
    assert!(served.server.addresses().is_empty());
    Ok(())
}

#[tokio::test]
async fn the_same_link_again_disturbs_nobody() -> Result<()> {
    let served = Served::with(&[], who).await?;
    let address = served.address();
    let mut client = served.client().await?;
    client.get("/").await?;

    served.server.link(free(&[])).await?;
    assert_eq!(served.address(), address);
    assert_eq!(client.get("/").await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn changed_limits_hold_for_the_next_request_or_connection() -> Result<()> {
    let served = Served::with(&[], who).await?;
    let address = served.address();
    let long = format!("/{}", "x".repeat(9_000));
    let mut before = served.client().await?;
    let response = before.send("POST", "/", "four").await?;
    assert_eq!(response.status(), StatusCode::OK);

    let limits = [("max_body_bytes", "3"), ("max_header_bytes", "8k")];
    served.server.link(free(&limits)).await?;
    assert_eq!(served.address(), address);
    let response = before.send("POST", "/", "four").await?;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);

    assert_eq!(before.get(&long).await?.status(), StatusCode::OK);
    let response = served.get(&long).await?;
    assert_eq!(
        response.status(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    Ok(())
}

#[tokio::test]
async fn a_changed_address_moves_the_listener() -> Result<()> {
    let served = Served::new(who);
    served.server.link(at("one", "127.0.0.1:0")).await?;
    let before = served.address();

    // The same port on all addresses: it is free only once the old one is let go.
    let all = format!("0.0.0.0:{}", before.port());
    served.server.link(at("one", &all)).await?;
    assert_eq!(served.server.addresses(), [(id("one"), all.parse()?)]);
    assert_eq!(
        Client::connect(before).await?.get("/").await?.status(),
        StatusCode::OK
    );

    served.server.link(at("one", "127.0.0.1:0")).await?;
    assert!(TcpStream::connect(before).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_refused_change_leaves_the_route_as_it_was() -> Result<()> {
    let other = TcpListener::bind("127.0.0.1:0").await?;
    let taken = other.local_addr()?.to_string();
    let served = Served::new(who);
    served.server.link(at("one", "127.0.0.1:0")).await?;
    served.server.link(at("two", "127.0.0.1:0")).await?;
    let before = served.server.addresses();
    let one = before[0].1;
    let same = one.to_string();
    let twos = before[1].1.to_string();
    let mut kept = Client::connect(one).await?;
    let refused: [&[(&str, &str)]; 8] = [
        &[("address", "here")],
        &[("address", &same), ("timeout_ms", "soon")],
        &[("address", &taken)],
        &[("address", "192.0.2.1:0")],
        // The place of another link, with and without its address.
        &[("address", &twos)],
        &[("address", &twos), ("path", "/a"), ("max_connections", "0")],
        &[("address", &same), ("routing_mode", "path")],
        &[("address", &same), ("max_buffered_bytes", "1k")],
    ];
    for settings in refused {
        let change = link("one", "wasmcloud:httpserver", settings);
        assert!(served.server.link(change).await.is_err(), "{settings:?}");
        assert_eq!(served.server.addresses(), before, "{settings:?}");
        assert_eq!(kept.get("/").await?.body(), "Actor(\"one\")");
        let mut new = Client::connect(one).await?;
        assert_eq!(new.get("/").await?.body(), "Actor(\"one\")");
    }
    // Put again as it was, and moved, it still can be.
    served.server.link(at("one", &same)).await?;
    served.server.link(at("one", "127.0.0.1:0")).await?;
    assert!(TcpStream::connect(one).await.is_err());
    Ok(())
}

#[tokio::test]
async fn what_is_prepared_and_given_up_has_changed_nothing() -> Result<()> {
    let served = Served::new(who);
    served.server.link(at("one", "127.0.0.1:0")).await?;
    let before = served.server.addresses();
    let free = {
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        socket.local_addr()?
    };
    for address in [free.to_string(), before[0].1.to_string()] {
        let path = [("address", address.as_str()), ("path", "/other")];
        let change = link("one", "wasmcloud:httpserver", &path);
        drop(served.server.prepare(change.clone()).await?);
        served.server.check(change).await?;
        assert_eq!(served.server.addresses(), before);
        assert_eq!(served.get("/").await?.body(), "Actor(\"one\")");
    }
    TcpListener::bind(free).await?;
    Ok(())
}

#[tokio::test]
async fn an_address_in_another_spelling_is_refused_without_effect_if_others_have_it() -> Result<()>
{
    let served = Served::new(who);
    served.server.link(at("one", "127.0.0.1:0")).await?;
    let before = served.address();
    let port = before.port();
    let other = TcpListener::bind(format!("127.0.0.2:{port}")).await?;
    let all = format!("0.0.0.0:{port}");
    let error = served.server.link(at("one", &all)).await;
    assert_eq!(error.map_err(|error| error.code), Err(Code::Conflict));
    assert_eq!(served.get("/").await?.body(), "Actor(\"one\")");

    drop(other);
    served.server.link(at("one", &all)).await?;
    assert_eq!(served.server.addresses(), [(id("one"), all.parse()?)]);
    // The port is as good as any: nobody else can bind it.
    for address in [before.to_string(), all] {
        assert!(TcpListener::bind(address).await.is_err());
    }
    Ok(())
}

#[tokio::test]
async fn an_unlinked_address_is_free_and_others_stay() -> Result<()> {
    let served = Served::new(who);
    let first = at("one", "127.0.0.1:0");
    served.server.link(first.clone()).await?;
    served.server.link(at("two", "127.0.0.1:0")).await?;
    let addresses = served.server.addresses();

    served.server.unlink(first.clone()).await?;
    served.server.unlink(first).await?;
    TcpListener::bind(addresses[0].1).await?;
    assert_eq!(served.server.addresses(), addresses[1..]);
    assert_eq!(served.get("/").await?.body(), "Actor(\"two\")");
    Ok(())
}

#[tokio::test]
async fn stopping_answers_what_was_asked_and_closes_what_idles() -> Result<()> {
    let slow = Slow::default();
    let actor = slow.clone();
    let served = Served::with(&[], move |_| actor.clone().respond()).await?;
    let address = served.address();

    let idle = served.raw(b"").await?;
    let busy = served.raw(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await?;
    slow.asked.notified().await;

    let stopping = tokio::spawn(served.server.drain());
    assert_eq!(rest(idle).await?, "");
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!stopping.is_finished());

    slow.answer.notify_one();
    let response = rest(busy).await?;
    assert!(response.contains("connection: close\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\nlate"), "{response}");
    stopping.await??;

    let error = served.server.link(free(&[])).await.expect_err("stopped");
    assert_eq!(error.code, Code::Unavailable);
    Ok(())
}

#[tokio::test]
async fn an_unlinked_or_stopped_route_waits_for_no_client() -> Result<()> {
    let slow = Slow::default();
    let actor = slow.clone();
    let served = Served::with(&[], move |_| actor.clone().respond()).await?;
    let address = served.address();
    let busy = served.raw(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await?;
    slow.asked.notified().await;
    // A client that never sends its request, and one that never ends it.
    let idle = served.raw(b"").await?;
    let stalled = served
        .raw(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n")
        .await?;

    let started = std::time::Instant::now();
    served.server.unlink(free(&[])).await?;
    TcpListener::bind(address).await?;
    served.server.link(free(&[])).await?;
    served.server.stop().await?;
    assert!(started.elapsed() < std::time::Duration::from_secs(5));

    // The request that ran is answered all the same.
    slow.answer.notify_one();
    let response = rest(busy).await?;
    assert!(response.ends_with("\r\n\r\nlate"), "{response}");
    drop((idle, stalled));
    Ok(())
}

#[tokio::test]
async fn an_end_does_not_wait_for_an_actor_that_never_answers() -> Result<()> {
    let slow = Slow::default();
    let actor = slow.clone();
    let served = Served::with(&[("timeout_ms", "1")], move |_| actor.clone().respond()).await?;
    let busy = served.raw(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await?;
    slow.asked.notified().await;

    served.server.drain().await?;
    let response = rest(busy).await?;
    assert!(response.starts_with("HTTP/1.1 504"), "{response}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_dropped_lets_go_of_its_address() -> Result<()> {
    let Served {
        server,
        seen,
        router,
    } = Served::with(&[], who).await?;
    let address = server.addresses()[0].1;
    let idle = TcpStream::connect(address).await?;
    let mut client = Client::connect(address).await?;
    client.get("/").await?;

    drop((server, seen));
    assert_eq!(rest(idle).await.unwrap_or_default(), "");
    assert!(client.get("/").await.is_err());
    drop(router);
    Ok(())
}
