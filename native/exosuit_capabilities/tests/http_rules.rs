//! Answers that a route of the HTTP server gives without its actor (CORS, methods, caches), and routes
//! by the value of a header.

mod common;
#[path = "common/web.rs"]
mod web;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use bytes::Bytes;
use common::link;
use exosuit_core::{Capability, Code, Error, Invocation, Target};
use http::HeaderMap;
use web::{Served, answer, asked, rest};

/// Says which actor was asked, and what the path says of caches.
async fn who(invocation: Invocation) -> Result<Bytes, Error> {
    let Target::Actor(actor) = &invocation.target else {
        panic!("{:?}", invocation.target);
    };
    let header = match asked(&invocation).path.as_str() {
        "/own" => &[
            ("cache-control", "private"),
            ("access-control-allow-origin", "*"),
        ][..],
        _ => &[],
    };
    Ok(answer(200, header, actor.as_bytes()))
}

/// The status, the header and the body of an answer.
struct Heard(u16, HeaderMap, String);

impl Heard {
    fn header(&self, name: &str) -> Vec<&str> {
        let values = self.1.get_all(name).iter();
        values.map(|value| value.to_str().expect("text")).collect()
    }
}

/// Asks with these lines after the request's first.
async fn ask(served: &Served, first: &str, lines: &[&str]) -> Result<Heard> {
    let lines = [&["host: h", "connection: close"], lines].concat();
    let request = format!("{first} HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"));
    let text = rest(served.raw(request.as_bytes()).await?).await?;
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut headers = HeaderMap::new();
    for (name, value) in head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
    {
        headers.append(http::HeaderName::try_from(name)?, value.parse()?);
    }
    Ok(Heard(head[9..12].parse()?, headers, body.to_owned()))
}

const PREFLIGHT: &str = "access-control-request-method: PUT";

#[tokio::test]
async fn without_cors_the_actor_answers_for_itself() -> Result<()> {
    let served = Served::with(&[], who).await?;
    let heard = ask(
        &served,
        "OPTIONS /",
        &["origin: https://a.example", PREFLIGHT],
    )
    .await?;
    assert_eq!((heard.0, heard.2.as_str()), (200, "actor"));
    assert!(heard.header("access-control-allow-origin").is_empty());
    Ok(())
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_is_let_in_and_no_other() -> Result<()> {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let settings = [
        ("cors_allowed_origins", r#"["https://a.example"]"#),
        ("cors_allowed_methods", r#"["GET","PUT"]"#),
        ("cors_allowed_headers", r#"["x-one"]"#),
        ("cors_exposed_headers", r#"["x-two"]"#),
        ("cors_max_age_secs", "60"),
    ];
    let served = Served::with(&settings, move |invocation| {
        count.fetch_add(1, Ordering::Relaxed);
        who(invocation)
    })
    .await?;
    for (origin, allowed) in [
        ("https://a.example", &["https://a.example"][..]),
        ("https://b.example", &[]),
    ] {
        let line = format!("origin: {origin}");
        let heard = ask(&served, "OPTIONS /x", &[&line, PREFLIGHT]).await?;
        assert_eq!((heard.0, heard.2.as_str()), (204, ""));
        assert_eq!(heard.header("access-control-allow-origin"), allowed);
        assert_eq!(heard.header("access-control-allow-methods"), ["GET, PUT"]);
        assert_eq!(heard.header("access-control-allow-headers"), ["x-one"]);
        assert_eq!(heard.header("access-control-max-age"), ["60"]);
        assert!(heard.header("vary").contains(&"origin"));
        assert_eq!(calls.load(Ordering::Relaxed), 0);
    }
    // What the actor says of origins does not count.
    for (origin, allowed) in [
        ("https://a.example", &["https://a.example"][..]),
        ("https://b.example", &[]),
    ] {
        let heard = ask(&served, "GET /own", &[&format!("origin: {origin}")]).await?;
        assert_eq!((heard.0, heard.2.as_str()), (200, "actor"));
        assert_eq!(heard.header("access-control-allow-origin"), allowed);
        assert_eq!(heard.header("access-control-expose-headers"), ["x-two"]);
        assert_eq!(heard.header("vary"), ["origin"]);
    }
    // OPTIONS without a page behind it is a request like any other.
    assert_eq!(ask(&served, "OPTIONS /", &[]).await?.2, "actor");
    Ok(())
}

#[tokio::test]
async fn cors_is_understood_in_the_forms_of_the_old_hosts() -> Result<()> {
    let nested = r#"{"cors":{"allowed_origins":["https://a.example"],"max_age_secs":7}}"#;
    let flat = r#"{"cors_allowed_origins":["https://a.example"],"cors_max_age_secs":7}"#;
    for settings in [
        &[("config_json", nested)][..],
        &[("config_json", flat)],
        &[
            ("CORS_ALLOWED_ORIGINS", "https://a.example"),
            ("cors_max_age_secs", "7"),
        ],
    ] {
        let served = Served::with(settings, who).await?;
        let heard = ask(
            &served,
            "OPTIONS /",
            &["origin: https://a.example", PREFLIGHT],
        )
        .await?;
        assert_eq!(
            heard.header("access-control-allow-origin"),
            ["https://a.example"]
        );
        assert_eq!(heard.header("access-control-max-age"), ["7"]);
        let methods = heard.header("access-control-allow-methods");
        assert_eq!(methods, ["GET, POST, PUT, DELETE, HEAD, OPTIONS"]);
    }
    let served = Served::with(&[("cors_allowed_origins", "[]")], who).await?;
    let heard = ask(&served, "GET /", &["origin: https://any.example"]).await?;
    assert_eq!(heard.header("access-control-allow-origin"), ["*"]);
    Ok(())
}

#[tokio::test]
async fn a_failed_call_may_be_read_by_the_page_too() -> Result<()> {
    let settings = [("cors_allowed_origins", "https://a.example")];
    let served = Served::with(&settings, async |_| {
        Err(Error::new(Code::Trap, "the inner secret"))
    })
    .await?;
    let heard = ask(&served, "GET /", &["origin: https://a.example"]).await?;
    assert_eq!(heard.0, 502);
    assert_eq!(
        heard.header("access-control-allow-origin"),
        ["https://a.example"]
    );
    Ok(())
}

#[tokio::test]
async fn a_route_that_is_read_only_takes_get_and_head() -> Result<()> {
    for settings in [
        &[("readonly_mode", "true")][..],
        &[("READONLY_MODE", "True")],
        &[("config_json", r#"{"readonly_mode":true}"#)],
    ] {
        let served = Served::with(settings, who).await?;
        for method in ["GET", "HEAD"] {
            assert_eq!(ask(&served, &format!("{method} /"), &[]).await?.0, 200);
        }
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"] {
            let heard = ask(&served, &format!("{method} /"), &[]).await?;
            assert_eq!(heard.0, 405, "{method}");
            assert_eq!(heard.header("allow"), ["GET, HEAD"]);
        }
        // Its body is left, and the connection goes on.
        let mut client = served.client().await?;
        assert_eq!(
            client.send("POST", "/", vec![0; 1 << 20]).await?.status(),
            405
        );
        assert_eq!(client.get("/").await?.status(), 200);
    }
    Ok(())
}

#[tokio::test]
async fn cache_control_is_said_where_the_actor_says_nothing() -> Result<()> {
    let served = Served::with(&[("cache_control", "max-age=20")], who).await?;
    for (path, expected) in [("/", "max-age=20"), ("/own", "private")] {
        let heard = ask(&served, &format!("GET {path}"), &[]).await?;
        assert_eq!(heard.header("cache-control"), [expected], "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_header_finds_the_actor() -> Result<()> {
    let served = Served::with(&[("path", "/else")], who).await?;
    let address = served.address().to_string();
    for (actor, settings) in [
        ("one", &[("header", "X-Tenant"), ("host", "One")][..]),
        (
            "two",
            &[("header", "x-tenant"), ("host", "two"), ("path", "/x")],
        ),
        ("host", &[("host", "h"), ("path", "/x")]),
    ] {
        let settings = [&[("address", address.as_str())], settings].concat();
        let link = link(actor, "wasmcloud:httpserver", &settings);
        served.server.link(link).await?;
    }
    for (path, lines, expected) in [
        ("/", &["x-tenant: One"][..], (200, "one")),
        ("/x", &["x-tenant: One"], (200, "one")),
        ("/x", &["x-tenant: two"], (200, "two")),
        ("/", &["x-tenant: two"], (404, "Not Found\n")),
        ("/", &["x-tenant: one"], (404, "Not Found\n")),
        ("/x", &["x-tenant: three"], (200, "host")),
        ("/x", &[], (200, "host")),
        // What no route of the header asks for is nothing to the others.
        ("/x", &["x-tenant: three", "x-tenant: four"], (200, "host")),
        ("/x", &["x-tenant: ü"], (200, "host")),
        (
            "/x",
            &["x-tenant: three", "x-tenant: two"],
            (400, "Bad Request\n"),
        ),
        ("/else", &[], (200, "actor")),
        (
            "/",
            &["x-tenant: One", "x-tenant: two"],
            (400, "Bad Request\n"),
        ),
    ] {
        let heard = ask(&served, &format!("GET {path}"), lines).await?;
        assert_eq!((heard.0, heard.2.as_str()), expected, "{path} {lines:?}");
    }
    let endpoints = served.server.endpoints();
    let shown = format!("http://{address} (x-tenant: One) → one");
    assert!(endpoints.contains(&shown), "{endpoints:?}");

    let settings = [
        ("header", "x-tenant"),
        ("host", "One"),
        ("address", &address),
    ];
    let again = link("three", "wasmcloud:httpserver", &settings);
    let error = served.server.link(again).await.expect_err("taken");
    assert_eq!(error.code, Code::Conflict);
    assert!(error.detail.contains("x-tenant: One"), "{error}");
    Ok(())
}

#[tokio::test]
async fn an_upgrade_is_answered_as_if_it_were_not_asked_for() -> Result<()> {
    let served = Served::with(&[("header_timeout_ms", "200")], who).await?;
    for (protocol, lines) in [
        (
            "websocket",
            &[
                "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
                "sec-websocket-version: 13",
            ][..],
        ),
        ("h2c", &["http2-settings: AAMAAABkAAQAoAAAAAIAAAAA"]),
    ] {
        let lines = lines.join("\r\n");
        let request = format!(
            "GET / HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: {protocol}\r\n{lines}\r\n\r\n"
        );
        // And then the client says nothing more.
        let text = rest(served.raw(request.as_bytes()).await?).await?;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.ends_with("actor"), "{text}");
    }
    Ok(())
}
