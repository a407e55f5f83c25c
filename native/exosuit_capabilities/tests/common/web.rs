//! A router that answers as it is told, and an HTTP client.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use exosuit_capabilities::{HttpPorts, HttpServer, LocalLattice, Surroundings};
use exosuit_core::{
    Answer, Capability, Configuration, Deliver, Error, Invocation, Link, Notice, Observe, Reply,
};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{id, link};

/// A request as a guest reads it.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    #[serde(rename = "queryString")]
    pub(crate) query: String,
    pub(crate) header: BTreeMap<String, Vec<String>>,
    #[serde(with = "serde_bytes")]
    pub(crate) body: Vec<u8>,
}

/// A response as a guest writes it.
#[derive(Debug, Serialize)]
pub(crate) struct Answered {
    #[serde(rename = "statusCode")]
    pub(crate) status: u16,
    pub(crate) header: BTreeMap<String, Vec<String>>,
    #[serde(with = "serde_bytes")]
    pub(crate) body: Vec<u8>,
}

/// An actor's answer.
pub(crate) fn answer(status: u16, header: &[(&str, &str)], body: &[u8]) -> Bytes {
    let mut answered = Answered {
        status,
        header: BTreeMap::new(),
        body: body.to_vec(),
    };
    for (name, value) in header {
        let values = answered.header.entry((*name).to_owned()).or_default();
        values.push((*value).to_owned());
    }
    rmp_serde::to_vec_named(&answered)
        .expect("an answer is written")
        .into()
}

pub(crate) fn asked(invocation: &Invocation) -> Asked {
    rmp_serde::from_slice(invocation.payload.bytes().expect("bytes")).expect("a request is read")
}

type Respond = dyn Fn(Invocation) -> Answer + Send + Sync;

/// A router whose only actor is a function.
pub(crate) struct Router(Box<Respond>);

impl Deliver for Router {
    fn deliver(&self, invocation: Invocation) -> Answer {
        (self.0)(invocation)
    }
}

#[derive(Default)]
pub(crate) struct Seen(pub(crate) Mutex<Vec<Notice>>);

impl Observe for Seen {
    fn observe(&self, notice: Notice) {
        self.0.lock().push(notice);
    }
}

/// An HTTP server in front of a function.
pub(crate) struct Served {
    pub(crate) server: Arc<HttpServer>,
    pub(crate) seen: Arc<Seen>,
    pub(crate) router: Arc<Router>,
}

impl Served {
    /// Without a link yet.
    pub(crate) fn new<F>(respond: impl Fn(Invocation) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Bytes, Error>> + Send + 'static,
    {
        Self::on("provider", Arc::default(), respond)
    }

    /// Without a link yet, on these ports, in front of a function that answers in bytes or else.
    pub(crate) fn on<F, R>(
        provider: &str,
        ports: Arc<HttpPorts>,
        respond: impl Fn(Invocation) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<R, Error>> + Send + 'static,
        R: Into<Reply>,
    {
        let router = Arc::new(Router(Box::new(move |invocation| {
            let answer = respond(invocation);
            Box::pin(async move { answer.await.map(Into::into) })
        })));
        let seen = Arc::new(Seen::default());
        let deliver: Arc<dyn Deliver> = router.clone();
        let server = HttpServer::open(Surroundings {
            id: id(provider),
            configuration: Configuration::new(),
            data_dir: None,
            deliver: Arc::downgrade(&deliver),
            observe: seen.clone(),
            ports,
            lattice: LocalLattice::new(),
        })
        .expect("a server");
        Self {
            server,
            seen,
            router,
        }
    }

    /// Linked with one actor, on a free port, with these settings.
    pub(crate) async fn with<F>(
        settings: &[(&str, &str)],
        respond: impl Fn(Invocation) -> F + Send + Sync + 'static,
    ) -> Result<Self>
    where
        F: Future<Output = Result<Bytes, Error>> + Send + 'static,
    {
        let served = Self::new(respond);
        served.server.link(free(settings)).await?;
        Ok(served)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.addresses()[0].1
    }

    pub(crate) async fn client(&self) -> Result<Client> {
        Client::connect(self.address()).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Result<Response<Bytes>> {
        self.client().await?.get(path).await
    }

    pub(crate) async fn raw(&self, request: &[u8]) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address()).await?;
        stream.write_all(request).await?;
        Ok(stream)
    }
}

/// The link of `actor` with the server, on a free port.
pub(crate) fn free(settings: &[(&str, &str)]) -> Arc<Link> {
    let settings = [&[("address", "127.0.0.1:0")], settings].concat();
    link("actor", "wasmcloud:httpserver", &settings)
}

/// One connection.
pub(crate) struct Client(SendRequest<Full<Bytes>>);

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Response<Bytes>> {
        self.send("GET", path, Bytes::new()).await
    }

    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Response<Bytes>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .body(Full::new(body.into()))?;
        self.0.ready().await?;
        let (head, body) = self.0.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    }
}

/// All that comes until the other end closes.
pub(crate) async fn rest(mut stream: TcpStream) -> Result<String> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(String::from_utf8(bytes)?)
}
