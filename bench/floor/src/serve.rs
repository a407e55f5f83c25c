//! The floor of HTTP: hyper before a guest in wasmtime alone. No router, claims, links or limits.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
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
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || runtime.block_on(accept(listener, guest)));
    Ok(port)
}

async fn accept(listener: TcpListener, guest: Arc<Guest>) {
    while let Ok((stream, _peer)) = listener.accept().await {
        let guest = guest.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let service = service_fn(|_request: Request<Incoming>| {
                let answer = answer(&guest);
                async move { Ok::<_, Infallible>(answer) }
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
