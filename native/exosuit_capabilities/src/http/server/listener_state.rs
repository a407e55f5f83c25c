//! The state that all connections of one address share: its routes, its limits, and its end.
//!
//! Routes, limits and certificate change while connections run. Each lock is held for a look-up or
//! a swap. A connection takes limits and certificate once, when it begins; it looks routes up for
//! each request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use parking_lot::RwLock;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::clients::Clients;
use super::connection_limits::ConnectionLimits;
use super::crowd::Crowd;
use super::place::host_of;
use super::refusal::Refusal;
use super::routes::{Route, Routes};
use super::tls::Tls;

/// How long an idle connection stays open when the listener ends: the next request may be on its way already.
/// Its answer then says that it was the last.
pub(crate) const LINGER: Duration = Duration::from_millis(200);

/// The state of one listener, shared by all its connections.
pub(crate) struct ListenerState {
    /// The address, for requests that name no host.
    pub(crate) bound: SocketAddr,
    /// The routes, looked up by each request.
    pub(crate) routes: RwLock<Routes>,
    /// The limits of connections that begin now.
    pub(crate) limits: RwLock<Arc<ConnectionLimits>>,
    /// The certificate of connections that begin now.
    pub(crate) tls: RwLock<Option<Arc<Tls>>>,
    /// The clients that are connected, with their shares.
    pub(crate) clients: Arc<Clients>,
    /// Whether a connection waits for room.
    pub(crate) crowd: Crowd,
    /// Whether the listener ends.
    pub(crate) ending: Ending,
}

/// The two steps in which a listener ends.
#[derive(Clone, Default)]
pub(crate) struct Ending {
    /// Takes no new connections and no new requests. Those that run finish.
    pub(crate) gently: CancellationToken,
    /// Ends all connections.
    pub(crate) now: CancellationToken,
}

impl ListenerState {
    /// Applies the limits and the certificate of the current routes to new connections.
    pub(crate) fn adjust(&self, routes: &Routes) {
        let address = routes.limits();
        let mut limits = self.limits.write();
        if limits.address != address {
            *limits = ConnectionLimits::new(address);
        }
        *self.tls.write() = routes.tls();
    }

    /// The certificate for new connections, if they use TLS.
    pub(crate) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.read().clone()
    }

    /// Ends a moment after the listener began to end, when clients have had time to send a last request.
    pub(crate) async fn last_chance(&self) {
        self.ending.gently.cancelled().await;
        sleep(LINGER).await;
    }

    /// The route that a request takes.
    ///
    /// # Errors
    ///
    /// 501 for CONNECT, 400 for a host that is missing or unclear, 404 without a route, 503 for a
    /// route that ends.
    pub(crate) fn find<B>(&self, request: &Request<B>) -> Result<Arc<Route>, Refusal> {
        if *request.method() == Method::CONNECT {
            return Err(Refusal::Request(StatusCode::NOT_IMPLEMENTED));
        }
        let host = host_of(request).ok_or(Refusal::Request(StatusCode::BAD_REQUEST))?;
        let routes = self.routes.read();
        let route = routes.find(host, request.uri().path(), request.headers())?;
        // If the whole listener ends, a request that was on its way is still answered.
        if route.is_ending() && !self.ending.gently.is_cancelled() {
            return Err(Refusal::Request(StatusCode::SERVICE_UNAVAILABLE));
        }
        Ok(route.clone())
    }
}
