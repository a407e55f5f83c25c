//! Clients of TLS and of HTTP/2.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) type Body = Full<Bytes>;
pub(crate) type Sender = http2::SendRequest<Body>;

pub(crate) fn file(name: &str) -> String {
    format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file(name)).expect("a certificate")
}

/// A connection with TLS, of a client that offers these protocols.
pub(crate) async fn connect(
    address: SocketAddr,
    protocols: &[&str],
    is_old: bool,
) -> Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for root in ["root.pem", "second-root.pem"] {
        roots.add(certificate(root))?;
    }
    let version = if is_old { &TLS12 } else { &TLS13 };
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost")?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.context("TLS")
}

/// HTTP/2 over this, with windows of this size, and how the connection ends.
pub(crate) async fn http2<T>(
    stream: T,
    window: u32,
) -> Result<(Sender, JoinHandle<hyper::Result<()>>)>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .handshake(TokioIo::new(stream))
        .await?;
    Ok((sender, tokio::spawn(connection)))
}

/// The same with prior knowledge, without TLS.
pub(crate) async fn clear(address: SocketAddr) -> Result<Sender> {
    let stream = TcpStream::connect(address).await?;
    Ok(http2(stream, 1 << 20).await?.0)
}

pub(crate) fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::default()).expect("a request")
}

pub(crate) async fn ask(sender: &mut Sender, request: Request<Body>) -> Result<Response<Bytes>> {
    sender.ready().await?;
    whole(sender.send_request(request).await?).await
}

pub(crate) async fn whole(response: Response<Incoming>) -> Result<Response<Bytes>> {
    let (head, body) = response.into_parts();
    Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
}

/// One request of HTTP/1.1 over this.
pub(crate) async fn ask_http1<T>(stream: T, path: &str) -> Result<Response<Bytes>>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost");
    whole(sender.send_request(request.body(Body::default())?).await?).await
}
