//! What the connections of one address share: its routes, its limits, and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use parking_lot::RwLock;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::connection_limits::ConnectionLimits;
use super::crowd::Crowd;
use super::peers::Peers;
use super::place::host_of;
use super::refusal::Refusal;
use super::routes::{Route, Routes};
use super::tls::Tls;

/// How long an idle connection stays open when the listener ends: its client may have sent the next
/// request already, and is told with the answer that it was the last.
pub(crate) const LINGER: Duration = Duration::from_millis(200);

/// What all its connections stand on.
pub(crate) struct ListenerState {
    pub(crate) bound: SocketAddr,
    pub(crate) routes: RwLock<Routes>,
    pub(crate) terms: RwLock<Arc<ConnectionLimits>>,
    pub(crate) tls: RwLock<Option<Arc<Tls>>>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) crowd: Crowd,
    pub(crate) ending: Ending,
}

#[derive(Clone, Default)]
pub(crate) struct Ending {
    /// No new connection, no new request.
    pub(crate) gently: CancellationToken,
    /// No connection.
    pub(crate) now: CancellationToken,
}

impl ListenerState {
    /// Serves the connections that are still to come under the limits that the routes ask for.
    pub(crate) fn adjust(&self, routes: &Routes) {
        let limits = routes.limits();
        let mut terms = self.terms.write();
        if terms.limits != limits {
            *terms = ConnectionLimits::new(limits);
        }
        *self.tls.write() = routes.tls();
    }

    /// How new connections are kept private.
    pub(crate) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.read().clone()
    }

    /// Waits until a client that has not asked by then is too late.
    pub(crate) async fn last_chance(&self) {
        self.ending.gently.cancelled().await;
        sleep(LINGER).await;
    }

    /// The route that a request takes.
    pub(crate) fn find<B>(&self, request: &Request<B>) -> Result<Arc<Route>, Refusal> {
        if *request.method() == Method::CONNECT {
            return Err(Refusal::Request(StatusCode::NOT_IMPLEMENTED));
        }
        let host = host_of(request).ok_or(Refusal::Request(StatusCode::BAD_REQUEST))?;
        let routes = self.routes.read();
        let route = routes.find(host, request.uri().path(), request.headers())?;
        // Where all end, a request that was under way as they did is still answered.
        if route.is_ending() && !self.ending.gently.is_cancelled() {
            return Err(Refusal::Request(StatusCode::SERVICE_UNAVAILABLE));
        }
        Ok(route.clone())
    }
}
