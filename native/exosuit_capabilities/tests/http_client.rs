//! The HTTP client: requests of actors to servers that the test plays, over real sockets.

mod common;
#[path = "common/stream.rs"]
mod stream;
#[path = "common/web.rs"]
mod web;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use common::{configuration, id, link, unreadable};
use exosuit_capabilities::HttpClient;
use exosuit_core::{
    Body, Capability, CapabilityCall, Code, Context, Error, Exchange, Invocation, Lease, Link,
    LinkName, Origin, Payload, Target,
};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use stream::{fed, full, response, serve, until_stuck};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

const OPERATION: &str = "wasi:http/outgoing-handler@0.2.3#handle";

fn open(settings: &[(&str, &str)]) -> Result<Arc<HttpClient>, Error> {
    HttpClient::open(id("provider"), &configuration(settings))
}

/// A client that may send requests to anybody, to the servers of this machine as well.
fn free(settings: &[(&str, &str)]) -> Arc<HttpClient> {
    let allowed = ("allowed_hosts", "* 127.0.0.0/8:* [::1/128]:*");
    open(&[&[allowed], settings].concat()).expect("a client")
}

fn get(uri: impl Into<String>) -> Request<Body> {
    let request = Request::builder().uri(uri.into());
    request.body(full("")).expect("a request")
}

fn minute() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

fn call(request: Request<Body>, lease: Lease, deadline: Instant) -> CapabilityCall {
    let invocation = Invocation {
        origin: Origin::Actor(id("actor")),
        target: Target::Import {
            namespace: "wasi:http".to_owned(),
            link: LinkName::DEFAULT.to_owned(),
        },
        operation: OPERATION.to_owned(),
        payload: Payload::Http(Box::new(Exchange { request, lease })),
        context: Context::until(deadline),
    };
    let link = Some(link("actor", "wasi:http", &[]));
    CapabilityCall { invocation, link }
}

async fn send(client: &HttpClient, request: Request<Body>) -> Result<Response<Body>, Error> {
    send_until(client, request, minute()).await
}

async fn send_until(
    client: &HttpClient,
    request: Request<Body>,
    deadline: Instant,
) -> Result<Response<Body>, Error> {
    let answer = client
        .invoke(call(request, Lease::default(), deadline))
        .await;
    answer?.into_http().map(|response| *response)
}

async fn text(response: Response<Body>) -> Result<String, Error> {
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// A server that is a function of each of its connections, and how many came.
async fn server<F>(
    connection: impl Fn(TcpStream) -> F + Send + 'static,
) -> Result<(SocketAddr, Arc<AtomicUsize>)>
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(connection(stream));
        }
    });
    Ok((address, count))
}

/// Reads a head; none when the other end has closed.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<String>> {
    let mut found = Vec::new();
    while !found.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => found.push(byte),
            Err(_) if found.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(String::from_utf8_lossy(&found).into_owned()))
}

/// Answers each request of a connection with its own head.
async fn mirror(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    while let Some(head) = head(&mut stream).await? {
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}",
            head.len()
        );
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// Says what comes of each connection after a request: the rest until its end.
async fn watched(answer: &'static str) -> Result<(SocketAddr, UnboundedReceiver<bool>)> {
    let (ends, end) = unbounded_channel();
    let (address, _) = server(move |mut stream| {
        let ends = ends.clone();
        async move {
            head(&mut stream).await?;
            stream.write_all(answer.as_bytes()).await?;
            let mut rest = Vec::new();
            let ended = stream.read_to_end(&mut rest).await;
            let _ = ends.send(ended.is_ok());
            Ok(())
        }
    })
    .await?;
    Ok((address, end))
}

#[tokio::test]
async fn a_request_reaches_its_server_and_the_response_its_sender() -> Result<()> {
    let (address, _) = server(|mut stream: TcpStream| async move {
        let head = head(&mut stream).await?.unwrap_or_default();
        let mut body = [0; 4];
        stream.read_exact(&mut body).await?;
        let body = format!("{head}{}", String::from_utf8_lossy(&body));
        let answer = format!(
            "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\nx-a: 1\r\nx-a: 2\r\nkeep-alive: 5\r\n\
             connection: x-hop\r\nx-hop: 1\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await
    })
    .await?;
    let client = free(&[]);
    let request = Request::put(format!("http://{address}/a%20b?q=1"))
        .header("x-one", "1")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("te", "trailers")
        .header("transfer-encoding", "gzip")
        .header("upgrade", "h2c")
        .header("host", "elsewhere.example")
        .header("content-length", "4")
        .body(full("four"))?;
    let answer = send(&client, request).await?;
    // A redirect is for the sender to follow, or not.
    assert_eq!(answer.status(), StatusCode::FOUND);
    let mut names: Vec<_> = answer
        .headers()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "location", "x-a", "x-a"]);

    let asked = text(answer).await?;
    let (head, body) = asked.split_once("\r\n\r\n").expect("a head");
    let mut lines: Vec<_> = head.split("\r\n").collect();
    lines.sort_unstable();
    let host = format!("host: {address}");
    assert_eq!(
        lines,
        [
            "PUT /a%20b?q=1 HTTP/1.1",
            "content-length: 4",
            &host,
            "x-one: 1"
        ]
    );
    assert_eq!(body, "four");
    Ok(())
}

#[tokio::test]
async fn a_connection_is_used_again() -> Result<()> {
    let (address, count) = server(mirror).await?;
    let client = free(&[]);
    for n in 0..10 {
        let answer = send(&client, get(format!("http://{address}/{n}"))).await?;
        assert!(text(answer).await?.starts_with(&format!("GET /{n} ")));
    }
    assert_eq!(count.load(Ordering::Relaxed), 1);
    Ok(())
}

#[tokio::test]
async fn bodies_pass_both_ways_no_faster_than_they_are_read() -> Result<()> {
    const PARTS: usize = 1_024;
    let served = serve(&[], async |request| {
        Ok(response(200, &[], request.into_body()))
    })
    .await?;
    let (feed, body) = fed();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let sending = tokio::spawn(async move {
        for part in 0..PARTS {
            let bytes = vec![part.to_le_bytes()[0]; 64 << 10];
            feed.send(Ok(bytes.into())).await.expect("it is read");
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let request = Request::post(format!("http://{}/", served.address())).body(body)?;
    let client = free(&[]);
    let answer = send(&client, request).await?;
    // The response is not read: what can be under way are the buffers of the sockets.
    let under_way = until_stuck(|| sent.load(Ordering::Relaxed)).await;
    assert!(under_way < PARTS / 2, "{under_way} parts were taken");

    let body = answer.into_body().collect().await?.to_bytes();
    sending.await?;
    assert_eq!(body.len(), PARTS << 16);
    for (at, part) in body.chunks(64 << 10).enumerate() {
        assert!(
            part.iter().all(|byte| *byte == at.to_le_bytes()[0]),
            "part {at}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn where_a_link_does_not_lead_no_request_goes() -> Result<()> {
    let (address, count) = server(mirror).await?;
    let port = address.port();
    let one = format!("127.0.0.1:{port}");
    let ask = async |provider: &[(&str, &str)], own: &[(&str, &str)], uri: &str| {
        let client = open(provider)?;
        let link = link("actor", "wasi:http", own);
        client.link(link.clone()).await?;
        let mut call = call(get(uri), Lease::default(), minute());
        call.link = Some(link);
        client.invoke(call).await.map(drop)
    };
    let uri = format!("http://{address}/");
    for (provider, own) in [
        (&[][..], &[][..]),
        (&[("allowed_hosts", "127.0.0.1")], &[]),
        (&[], &[("allowed_hosts", "127.0.0.1 localhost:*")]),
        // What a link says stands in the place of what the provider says.
        (
            &[("allowed_hosts", "*")],
            &[("allowed_hosts", "other.example")],
        ),
        (&[("allowed_hosts", "*")], &[("allowed_hosts", "")]),
    ] {
        let error = ask(provider, own, &uri).await.expect_err("not allowed");
        assert_eq!(error.code, Code::Denied, "{error}");
        assert!(
            error.detail.contains(&one) && error.detail.contains("allowed_hosts"),
            "{error}"
        );
    }
    let all = [("allowed_hosts", "*")];
    for bad in [
        "/".to_owned(),
        format!("ftp://{address}/"),
        format!("http://user@{address}/"),
    ] {
        let error = ask(&all, &[], &bad).await.expect_err(&bad);
        assert_eq!(error.code, Code::InvalidInput, "{error}");
    }
    let tunnel = Request::connect(uri.as_str()).body(full(""))?;
    let error = send(&free(&[]), tunnel).await.expect_err("a tunnel");
    assert_eq!(error.code, Code::InvalidInput);
    assert_eq!(count.load(Ordering::Relaxed), 0);

    ask(&[("allowed_hosts", one.as_str())], &[], &uri).await?;
    ask(&[], &[("ALLOWED_HOSTS", "127.0.0.1:*")], &uri).await?;
    assert_eq!(count.load(Ordering::Relaxed), 2);
    Ok(())
}

#[tokio::test]
async fn special_addresses_are_out_of_reach_unless_they_are_named() -> Result<()> {
    let (address, count) = server(mirror).await?;
    let port = address.port();
    let ask = async |client: &HttpClient, own: &str, uri: &str| {
        let link = link("actor", "wasi:http", &[("allowed_hosts", own)]);
        let mut call = call(get(uri), Lease::default(), minute());
        call.link = Some(link);
        let answer = client.invoke(call).await?.into_http()?;
        text(*answer).await.map(drop)
    };
    let named = format!("http://localhost:{port}/");
    let literal = format!("http://127.0.0.1:{port}/");
    let mapped = format!("http://[::ffff:127.0.0.1]:{port}/");
    // Forms of an address that only the resolver knows for one.
    let short = format!("http://127.1:{port}/");
    let client = open(&[])?;
    // This connection stays open, and serves nobody who may not reach it.
    ask(&client, "localhost:*", &named).await?;
    ask(&client, &format!("* 127.0.0.1:{port}"), &literal).await?;
    assert_eq!(count.load(Ordering::Relaxed), 2);
    for (list, uri) in [
        ("*", &named),
        ("*", &literal),
        ("*", &mapped),
        ("*", &short),
        ("* 10.0.0.0/8:*", &named),
        ("* 127.0.0.0/8:80", &named),
        ("* 127.0.0.2:*", &literal),
    ] {
        let error = ask(&client, list, uri).await.expect_err("not named");
        assert_eq!(error.code, Code::Denied, "{list} {uri}: {error}");
        assert!(error.detail.contains("allowed_hosts"), "{error}");
    }
    assert_eq!(count.load(Ordering::Relaxed), 2);
    ask(&client, "* 127.0.0.0/8:*", &named).await?;
    ask(&client, &format!("127.0.0.0/8:{port}"), &literal).await?;
    let metadata = ask(&client, "*", "http://169.254.169.254/latest").await;
    assert_eq!(
        metadata.expect_err("the metadata service").code,
        Code::Denied
    );
    Ok(())
}

#[tokio::test]
async fn an_actor_that_holds_its_connections_leaves_the_others_theirs() -> Result<()> {
    let (deaf, held_open) = server(|stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await?;
    let (address, _) = server(mirror).await?;
    let client = free(&[("max_connections", "4"), ("connect_timeout_ms", "100")]);
    let ask = |actor: &str, address: SocketAddr| {
        let uri = format!("http://{address}/");
        let mut call = call(get(uri), Lease::default(), minute());
        call.invocation.origin = Origin::Actor(id(actor));
        client.invoke(call)
    };
    let mut held: Vec<_> = (0..2).map(|_| tokio::spawn(ask("greedy", deaf))).collect();
    let both = async {
        while held_open.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), both).await?;
    let error = ask("greedy", address).await.expect_err("no share is left");
    assert_eq!(error.code, Code::Overloaded, "{error}");
    assert!(
        error.detail.contains("max_connections_per_actor"),
        "{error}"
    );
    let answer = ask("modest", address).await?.into_http()?;
    assert_eq!(answer.status(), StatusCode::OK);
    held.drain(..).for_each(|held| held.abort());
    Ok(())
}

/// As the actors of the OTP era write requests, and read responses.
#[derive(serde::Serialize)]
struct Asked<'a> {
    method: &'a str,
    url: String,
    headers: BTreeMap<&'a str, Vec<&'a str>>,
    #[serde(with = "serde_bytes")]
    body: &'a [u8],
}

#[derive(Debug, serde::Deserialize)]
struct Answered {
    #[serde(rename = "statusCode")]
    status: u16,
    header: BTreeMap<String, Vec<String>>,
    #[serde(with = "serde_bytes")]
    body: Vec<u8>,
}

#[tokio::test]
async fn an_actor_of_the_wasmbus_sends_requests_within_the_same_list() -> Result<()> {
    let (address, _) = server(|mut stream: TcpStream| async move {
        let head = head(&mut stream).await?.unwrap_or_default();
        let mut body = [0; 3];
        stream.read_exact(&mut body).await?;
        let length = head.len() + body.len();
        let answer =
            format!("HTTP/1.1 202 Accepted\r\nX-A: 1\r\nx-a: 2\r\ncontent-length: {length}");
        stream
            .write_all(format!("{answer}\r\n\r\n{head}").as_bytes())
            .await?;
        stream.write_all(&body).await
    })
    .await?;
    let client = open(&[])?;
    let allowed = format!("127.0.0.1:{}", address.port());
    let linked = |list: &str| link("actor", "wasmcloud:httpclient", &[("allowed_hosts", list)]);
    let asked = |url: String| Asked {
        method: "PUT",
        url,
        headers: BTreeMap::from([("x-one", vec!["1", "2"])]),
        body: b"\x00\xffz",
    };
    let good = linked(&allowed);
    client.link(good.clone()).await?;
    let operation = "HttpClient.Request";
    let url = format!("http://{address}/a?b");
    let answer: Answered =
        common::call(&*client, Some(good.clone()), operation, asked(url.clone())).await?;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header["x-a"], ["1", "2"]);
    assert!(answer.body.ends_with(b"\r\n\r\n\x00\xffz"));
    let head = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(head.starts_with("PUT /a?b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("x-one: 1\r\nx-one: 2\r\n"), "{head}");

    let denied: Result<Answered, Error> =
        common::call(&*client, Some(linked("*")), operation, asked(url)).await;
    assert_eq!(denied.expect_err("not in the list").code, Code::Denied);
    for (payload, operation, code) in [
        (&b"\xc1"[..], operation, Code::InvalidInput),
        (b"\x80", operation, Code::InvalidInput),
        (b"\x80", "HttpClient.Get", Code::UnknownOperation),
    ] {
        let found = common::call_raw(&*client, Some(good.clone()), operation, payload).await;
        assert_eq!(found.expect_err(operation).code, code);
    }
    Ok(())
}

#[tokio::test]
async fn a_response_that_is_too_large_for_a_message_is_an_error() -> Result<()> {
    let (address, _) = server(mirror).await?;
    let url = format!("http://{address}/{}", "x".repeat(2_000));
    let client = free(&[("max_body_bytes", "1k")]);
    let link = link("actor", "wasmcloud:httpclient", &[]);
    let asked = serde_json::json!({"url": url});
    let answer: Result<Answered, Error> =
        common::call(&*client, Some(link), "HttpClient.Request", asked).await;
    let error = answer.expect_err("larger than 1k");
    assert_eq!(error.code, Code::Provider);
    assert!(error.detail.contains("max_body_bytes"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_link_that_allows_nothing_is_made_with_a_warning() -> Result<()> {
    for contract in ["wasi:http", "wasmcloud:httpclient"] {
        let nothing = link("actor", contract, &[]);
        let client = open(&[])?;
        client.link(nothing.clone()).await?;
        let warnings = client.warnings(&nothing);
        assert!(
            warnings[0].contains("allowed_hosts is not set"),
            "{warnings:?}"
        );
        assert!(
            warnings[0].contains("every request is denied"),
            "{warnings:?}"
        );
        let provided = open(&[("allowed_hosts", "a.example")])?;
        assert_eq!(provided.warnings(&nothing), Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test]
async fn links_and_settings_that_cannot_be_honoured_are_refused() -> Result<()> {
    let client = open(&[])?;
    let outgoing = |interface: &str| Link {
        interfaces: vec![interface.to_owned()],
        ..(*link("actor", "wasi:http", &[])).clone()
    };
    client.link(Arc::new(outgoing("outgoing-handler"))).await?;
    for bad in [
        link(
            "actor",
            "wasi:http",
            &[("allowed_hosts", "https://a.example")],
        ),
        link("actor", "wasmcloud:keyvalue", &[]),
        Arc::new(outgoing("incoming-handler")),
    ] {
        let error = client.link(bad).await.expect_err("a bad link");
        assert_eq!(error.code, Code::InvalidLink);
    }
    for (key, bad) in [
        ("allowed_hosts", "/"),
        ("max_connections", "0"),
        ("connect_timeout_ms", "0"),
        ("ca_file", "/nowhere"),
        ("ca_files", "/nowhere"),
        ("SSL_CERTS_FILE", "/nowhere"),
        ("load_webpki_certs", "false"),
        ("load_native_certs", "perhaps"),
        (
            "ca_file",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ),
    ] {
        let error = open(&[(key, bad)]).err().expect(key);
        assert_eq!(error.code, Code::InvalidLink);
        let key = match key {
            "SSL_CERTS_FILE" => "ca_files",
            other => other,
        };
        assert!(error.detail.contains(key), "{error}");
        assert!(error.detail.contains(bad), "{error}");
    }
    for operation in [
        "wasi:http/outgoing-handler",
        "wasi:http/types#handle",
        "Http.Get",
    ] {
        let mut call = call(get("http://a/"), Lease::default(), minute());
        operation.clone_into(&mut call.invocation.operation);
        let error = client.invoke(call).await.expect_err(operation);
        assert_eq!(error.code, Code::UnknownOperation);
    }
    Ok(())
}

/// `/dev/zero` would take all memory, and a FIFO a thread for good.
#[test]
fn devices_pipes_directories_and_large_files_hold_no_certificates() -> Result<()> {
    let directory = tempfile::tempdir()?;
    for (bad, why) in unreadable(directory.path(), 4_096) {
        for key in ["ca_file", "ca_files"] {
            let error = open(&[(key, bad.as_str())]).err().expect("a refusal");
            assert_eq!(error.code, Code::InvalidLink);
            for part in [key, bad.as_str(), why.as_str()] {
                assert!(error.detail.contains(part), "{part}: {error}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_an_error_that_names_it() -> Result<()> {
    let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let (rude, _) = server(|mut stream: TcpStream| async move {
        head(&mut stream).await?;
        Ok(())
    })
    .await?;
    let (wrong, _) = watched("220 smtp.example ready\r\n").await?;
    let (upgrade, _) = watched("HTTP/1.1 101 Switching Protocols\r\n\r\n").await?;
    let client = free(&[]);
    for (address, code) in [
        (nobody, Code::Unavailable),
        (rude, Code::Provider),
        (wrong, Code::Provider),
        (upgrade, Code::Provider),
    ] {
        let error = send(&client, get(format!("http://{address}/"))).await;
        let error = error.expect_err("no answer");
        assert_eq!(error.code, code, "{error}");
        assert!(error.detail.contains(&address.to_string()), "{error}");
    }
    let error = send(&client, get("http://nobody.invalid/")).await;
    assert_eq!(error.expect_err("no such name").code, Code::Unavailable);
    Ok(())
}

#[tokio::test]
async fn a_response_that_breaks_off_is_an_error() -> Result<()> {
    for broken in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let (address, _) = server(move |mut stream: TcpStream| async move {
            head(&mut stream).await?;
            stream.write_all(broken.as_bytes()).await
        })
        .await?;
        let answer = send(&free(&[]), get(format!("http://{address}/"))).await?;
        let mut body = answer.into_body();
        let first = body.frame().await.expect("half")?;
        assert_eq!(first.into_data().ok(), Some(Bytes::from("half")));
        let error = body.frame().await.expect("more").expect_err("an end");
        assert_eq!(error.code, Code::Io);
        assert!(error.detail.contains(&address.to_string()), "{error}");
        assert!(body.frame().await.is_none());
    }
    Ok(())
}

#[tokio::test]
async fn a_request_whose_body_fails_is_never_whole() -> Result<()> {
    let (address, mut ends) = watched("").await?;
    let (feed, body) = fed();
    let request = Request::post(format!("http://{address}/")).body(body)?;
    let client = free(&[]);
    let sending = tokio::spawn(async move { send(&client, request).await });
    feed.send(Ok("half".into())).await?;
    feed.send(Err(Error::new(Code::Trap, "the guest trapped")))
        .await?;
    let error = sending.await?.expect_err("no request");
    assert_eq!(
        (error.code, error.detail.as_str()),
        (Code::Trap, "the guest trapped")
    );
    ends.recv().await.expect("the connection ends");
    Ok(())
}

#[tokio::test]
async fn all_ends_with_the_deadline() -> Result<()> {
    let soon = || Instant::now() + Duration::from_millis(50);
    let client = free(&[]);
    // Before the response has begun.
    let (address, mut ends) = watched("").await?;
    let error = send_until(&client, get(format!("http://{address}/")), soon()).await;
    assert_eq!(error.expect_err("late").code, Code::Deadline);
    ends.recv().await.expect("the connection ends");

    // In the middle of its body, and of that of the request.
    let (address, mut ends) = watched("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await?;
    let (feed, body) = fed();
    let request = Request::post(format!("http://{address}/")).body(body)?;
    let answer = send_until(&client, request, soon()).await?;
    let error = answer.into_body().collect().await.expect_err("late");
    assert_eq!(error.code, Code::Deadline);
    feed.closed().await;
    ends.recv().await.expect("the connection ends");
    Ok(())
}

#[tokio::test]
async fn a_lease_is_kept_to_the_end_of_the_bodies_and_ends_them() -> Result<()> {
    let (address, mut ends) = watched("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfour").await?;
    let (open, mut ends_open) = watched("HTTP/1.1 200 OK\r\n\r\nhalf").await?;
    let client = free(&[]);
    let start = async |address| {
        let (held, released) = unbounded_channel::<()>();
        let withdrawn = CancellationToken::new();
        let lease = Lease::new(withdrawn.clone(), held);
        let call = call(get(format!("http://{address}/")), lease, minute());
        let response = client.invoke(call).await?.into_http()?;
        Ok::<_, Error>((response.into_body(), withdrawn, released))
    };
    let (body, _withdrawn, mut released) = start(address).await?;
    assert!(released.try_recv() == Err(TryRecvError::Empty));
    body.collect().await?;
    assert_eq!(released.recv().await, None);

    let (mut body, withdrawn, mut released) = start(open).await?;
    body.frame().await.expect("half")?;
    let (next, ()) = tokio::join!(body.frame(), async { withdrawn.cancel() });
    assert_eq!(next.expect("more").expect_err("an end").code, Code::Dropped);
    assert_eq!(released.recv().await, None);
    ends_open.recv().await.expect("the connection ends");

    // Nobody reads on.
    let (body, _withdrawn, mut released) = start(open).await?;
    drop(body);
    assert_eq!(released.recv().await, None);
    ends_open.recv().await.expect("the connection ends");

    drop(client);
    ends.recv().await.expect("the connection ends");
    Ok(())
}

#[tokio::test]
async fn a_server_that_stops_reading_is_let_go() -> Result<()> {
    let (address, _) = server(|mut stream: TcpStream| async move {
        head(&mut stream).await?;
        std::future::pending().await
    })
    .await?;
    let (feed, body) = fed();
    let request = Request::post(format!("http://{address}/")).body(body)?;
    let client = free(&[("body_timeout_ms", "50")]);
    let sending = tokio::spawn(async move { send(&client, request).await });
    while feed.send(Ok(vec![0; 64 << 10].into())).await.is_ok() {}
    let error = sending.await?.expect_err("a deaf server");
    assert_eq!(error.code, Code::Provider, "{error}");
    Ok(())
}

#[tokio::test]
async fn connections_are_few_and_do_not_idle_for_ever() -> Result<()> {
    let (open, _) = watched("HTTP/1.1 200 OK\r\n\r\nhalf").await?;
    let client = free(&[("max_connections", "1"), ("connect_timeout_ms", "50")]);
    let answer = send(&client, get(format!("http://{open}/"))).await?;
    let error = send(&client, get(format!("http://{open}/"))).await;
    let error = error.expect_err("one too many");
    assert_eq!(error.code, Code::Overloaded);
    assert!(error.detail.contains("max_connections"), "{error}");
    drop(answer);

    let (ends, mut closed) = unbounded_channel();
    let (address, count) = server(move |stream| {
        let ends = ends.clone();
        async move {
            mirror(stream).await?;
            let _ = ends.send(());
            Ok(())
        }
    })
    .await?;
    let client = free(&[("idle_timeout_ms", "1")]);
    text(send(&client, get(format!("http://{address}/"))).await?).await?;
    closed.recv().await.expect("it is closed");

    // One that is stopped keeps none, and takes no more.
    let client = free(&[]);
    text(send(&client, get(format!("http://{address}/"))).await?).await?;
    client.stop().await?;
    closed.recv().await.expect("it is closed");
    let error = send(&client, get(format!("http://{address}/"))).await;
    assert_eq!(error.expect_err("stopped").code, Code::Unavailable);
    assert_eq!(count.load(Ordering::Relaxed), 2);
    Ok(())
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_one_to_another_server() -> Result<()> {
    let (one, _) = server(mirror).await?;
    let (other, _) = server(mirror).await?;
    let (held, _) = watched("HTTP/1.1 200 OK\r\n\r\nhalf").await?;
    let client = free(&[("max_connections", "1"), ("connect_timeout_ms", "3600000")]);
    for address in [one, other, one] {
        let asked = send(&client, get(format!("http://{address}/")));
        let answer = tokio::time::timeout(Duration::from_secs(30), asked).await??;
        assert!(text(answer).await?.starts_with("GET / "));
    }

    // One whose response is still read is not idle; it is once that ends.
    let unread = send(&client, get(format!("http://{held}/"))).await?;
    let asked = send(&client, get(format!("http://{one}/")));
    let mut asked = std::pin::pin!(asked);
    tokio::select! {
        biased;
        answer = &mut asked => panic!("there was room: {answer:?}"),
        () = async { for _ in 0..1_000 { tokio::task::yield_now().await } } => {}
    }
    drop(unread);
    tokio::time::timeout(Duration::from_secs(30), asked).await??;
    Ok(())
}

#[tokio::test]
async fn an_actor_without_a_share_left_closes_its_own_idle_connections_alone() -> Result<()> {
    let servers = [server(mirror).await?, server(mirror).await?];
    let client = free(&[
        ("max_connections", "4"),
        ("max_connections_per_actor", "1"),
        ("connect_timeout_ms", "3600000"),
    ]);
    let ask = async |actor: &str, address: SocketAddr| {
        let request = get(format!("http://{address}/"));
        let mut call = call(request, Lease::default(), minute());
        call.invocation.origin = Origin::Actor(id(actor));
        text(*client.invoke(call).await?.into_http()?).await
    };
    let [(first, opened), (second, _)] = &servers;
    for (actor, address) in [
        ("modest", first),
        ("greedy", first),
        ("greedy", second),
        ("modest", first),
    ] {
        tokio::time::timeout(Duration::from_secs(30), ask(actor, *address)).await??;
    }
    assert_eq!(opened.load(Ordering::Relaxed), 2, "one is used again");
    Ok(())
}

fn tls(name: &str) -> String {
    format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A server with a certificate for localhost, of a root that nobody knows.
async fn tls_server() -> Result<SocketAddr> {
    let certificate = CertificateDer::from_pem_file(tls("localhost.pem"))?;
    let key = PrivateKeyDer::from_pem_file(tls("localhost.key.pem"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (address, _) = server(move |stream| {
        let acceptor = acceptor.clone();
        async move { mirror(acceptor.accept(stream).await?).await }
    })
    .await?;
    Ok(address)
}

#[tokio::test]
async fn who_is_not_trusted_gets_no_request() -> Result<()> {
    let port = tls_server().await?.port();
    let uri = format!("https://localhost:{port}/");
    let error = send(&free(&[]), get(&uri))
        .await
        .expect_err("nobody knows its root");
    assert_eq!(error.code, Code::Provider, "{error}");
    for part in [format!("localhost:{port}").as_str(), "UnknownIssuer"] {
        assert!(error.detail.contains(part), "{error}");
    }

    let root = tls("root.pem");
    let client = free(&[("ca_file", root.as_str())]);
    let answer = text(send(&client, get(&uri)).await?).await?;
    assert!(
        answer.contains(&format!("host: localhost:{port}\r\n")),
        "{answer}"
    );
    // Beside the web's roots it is trusted as well, by each of its names.
    let nowhere = [("ca_files", "/nowhere, /elsewhere")];
    let error = open(&nowhere).err().expect("no such file");
    assert!(error.detail.contains("/nowhere"), "{error}");
    for settings in [
        &[("ca_files", root.as_str())][..],
        &[
            ("SSL_CERTS_FILE", root.as_str()),
            ("load_webpki_certs", "false"),
        ],
    ] {
        send(&free(settings), get(&uri)).await?;
    }
    // Its name is another.
    let error = send(&client, get(format!("https://127.0.0.1:{port}/"))).await;
    assert_eq!(error.expect_err("another name").code, Code::Provider);
    Ok(())
}

#[tokio::test]
async fn a_server_that_never_agrees_on_tls_is_not_waited_for() -> Result<()> {
    let (deaf, _) = server(|stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await?;
    let client = free(&[("connect_timeout_ms", "50")]);
    let error = send(&client, get(format!("https://{deaf}/"))).await;
    let error = error.expect_err("no TLS");
    assert_eq!(error.code, Code::Unavailable);
    assert!(error.detail.contains(&deaf.to_string()), "{error}");
    Ok(())
}
