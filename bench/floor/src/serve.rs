//! The floor of HTTP: hyper before a guest in wasmtime alone. No router, claims, links or limits.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use crate::plain::{Guest, REQUEST};

/// The body stands at the end of the guest's answer.
const BODY: usize = 5;

/// Serves until the program ends, and says at which port.
pub(crate) fn start(guest: Arc<Guest>) -> Result<u16> {
    listen(move |_request| {
        let answer = answer(&guest);
        async move { answer }
    })
}

/// A server on all cores, whose answers are those of `answer`.
pub(crate) fn listen<B, F>(
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> Result<u16>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
{
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || runtime.block_on(accept(listener, answer)));
    Ok(port)
}

async fn accept<B, F>(
    listener: TcpListener,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
{
    while let Ok((stream, _peer)) = listener.accept().await {
        let answer = answer.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A client that goes away is no error.
            let _ = connection.await;
        });
    }
}

fn answer(guest: &Guest) -> Response<Full<Bytes>> {
    match guest.call(&REQUEST) {
        Ok(answer) => {
            let answer = Bytes::from(answer);
            Response::new(answer.slice(answer.len().saturating_sub(BODY)..).into())
        }
        Err(_trap) => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}
