//! The HTTP server: routes on ports. Each request calls the actor at the end of its route.
//!
//! # The way of a request
//!
//! 1. `listener` accepts a connection, if its client (`clients`) has less than its share. All connections of an
//!    address share its `listener_state`; each keeps the `connection_limits` that held when it came.
//! 2. `connection` serves it: a `socket`, with `tls` or without, in HTTP/1.1 or HTTP/2 (`streams`). Its requests
//!    share its `connection_state`.
//! 3. `head` finds out which host a request names, `routes` finds its route by `place`, and `rules` (with `cors`)
//!    give the answers that need no actor.
//! 4. `exchange` calls the actor through the `endpoint` of the route: `whole`, in one message (`contract`), or
//!    `streamed`, with a body that is read as it comes (`upload`).
//! 5. `outgoing` sends the body of the answer in `piece`s. A failure becomes a status (`refusal`), and `drain_body`
//!    reads the rest of a refused request.
//!
//! [`HttpServer`] is one provider, with a route for each of its links, whose wishes `settings` reads.
//! [`HttpPorts`] are the addresses that all servers of a host share.
//!
//! # Slow clients
//!
//! No client delays others for longer than the settings of its address allow:
//!
//! - `pace` ends a client that keeps the server waiting: for a header, for the first byte of a body, or for bytes
//!   below the minimum rate, in either direction. Each stream of HTTP/2 is watched by itself. A client that leaves
//!   the last `piece` of an answer in h2 for too long loses its connection.
//! - A small body is read before its actor is called. While an actor waits for the rest of a larger one, other
//!   calls may use its place in the queue ([`exosuit_core::ClientWait`]).
//! - `budget` counts the bytes of all bodies that are in memory.
//! - If an address has no room for a new connection, idle connections are closed (`crowd`).
//! - A client that gives up one request after another loses its connection.
//!
//! # Who owns what
//!
//! ```text
//! HttpPorts (one per host)
//!   └── Listener (one per address, weak)
//!         └── ListenerState: routes, limits, certificate, clients, budget
//!               └── Connection (one per connection)
//!                     └── Running (one per request)
//! HttpServer (one per provider)
//!   └── Placed (one per link) ──► holds its Listener and its Route
//! ```
//!
//! A listener lives as long as a route on it. Dropping the last `Placed` of an address closes it.
//!
//! # Statuses that the server gives itself
//!
//! | status | reason |
//! |---|---|
//! | 400 | no host or several, a bad target, a body that broke off |
//! | 404 | no route fits, or its actor is gone |
//! | 405 | the route is read-only |
//! | 408 | the client was too slow with its body |
//! | 413 | the body is larger than `max_body_bytes` |
//! | 500, 502 | a fault of the host, or of the actor |
//! | 503 | no buffers, too many requests, an actor that restarts, a route that ends |
//! | 504 | the actor did not answer within `timeout_ms` |
//!
//! # The clocks of a request
//!
//! | phase | setting | past it |
//! |---|---|---|
//! | the TLS handshake, and the first bytes | `header_timeout_ms` | the connection ends |
//! | the head, and the pause between requests | `header_timeout_ms` | the connection ends |
//! | the first byte of a body | `first_byte_timeout_ms` | 408 |
//! | each window of waiting for a body | `min_rate` over `first_byte_timeout_ms` | 408 |
//! | a whole body that is buffered | `body_timeout_ms` | 408 |
//! | the call of the actor | `timeout_ms` of the link | 504 |
//! | each window of waiting for a client to read | `min_rate` over `body_timeout_ms` | its stream ends |
//! | room in the budget for a part of an answer | `body_timeout_ms` | the answer breaks off |
//! | the end of a listener | the longest of its timeouts | connections are closed |
//!
//! Only the first two run while the server has nothing to do but wait for a head. All others run
//! while a slot of an actor or bytes of the budget are at stake.
//!
//! # Locks
//!
//! `HttpPorts::open` (asynchronous) comes before the lock of a listener's routes, and
//! `HttpServerShared::changing` (asynchronous) before that. The lock of the routes is held for a
//! look-up or an insertion. A request takes only that one.

mod budget;
mod clients;
mod connection;
mod connection_limits;
mod connection_state;
pub(crate) mod contract;
mod cors;
mod crowd;
mod drain_body;
mod endpoint;
mod exchange;
mod head;
mod limits;
mod listener;
mod listener_state;
mod outgoing;
mod pace;
mod piece;
mod place;
mod ports;
mod refusal;
mod routes;
mod rules;
mod settings;
mod socket;
mod streamed;
mod streams;
mod tls;
mod upload;
mod whole;

use std::collections::BTreeMap;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use exosuit_core::{
    Answer, Capability, CapabilityCall, Code, Configuration, Contract, Deliver, Done, Error, Given,
    HTTP_SERVER, Id, Link, LinkKey, Observe, Pending, Prepared,
};
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use crate::{Surroundings, message};
use endpoint::Endpoint;
pub use ports::HttpPorts;
use ports::Placed;
use routes::Route;
use settings::{Form, Wanted};
use tls::{Owner, Tls};

/// The provider of `wasmcloud:httpserver` for actors of wasmbus, and of `wasi:http` for components.
///
/// # Routes
///
/// A link gets the requests that come to its `address`, for its `host` and below its `path`. All HTTP
/// servers of a host share its addresses: several links may use one address if they differ in host or
/// path. If several links fit a request, a link with its host comes before a link without a host, and
/// then the longest path wins. If none fits, the answer is 404. If a link names another header with
/// `header`, the value of that header is compared instead of the host, and such a link comes first.
///
/// A path also covers all paths below it: `/api` covers `/api` and `/api/x`, but not `/apis` (hosts of
/// 1.x match only the path itself). Paths are compared without decoding, and the actor sees the
/// request's path unchanged. Hosts are compared without regard to case and port. The host of a request
/// is that of its target, or of the header `Host`.
///
/// # Settings
///
/// [`HTTP_SERVER`] lists them: of a link, or of the provider for all its links. Some belong to an
/// address. Links that share an address may not ask for different values of these.
///
/// `config_json` and `config_b64` hold the same as a JSON object, as the old host's provider
/// takes them, `tls` and `cors` in objects of their own.
///
/// # Protocols
///
/// HTTP/1.1 and HTTP/2 on one port. With a certificate, TLS 1.2 or 1.3 on all its connections, and
/// the protocol by ALPN; without one, HTTP/2 by prior knowledge. The files are read again
/// regularly, and a notice reports the result of each change.
///
/// # Bodies of `wasi:http`
///
/// They stream both ways, no faster than the other end reads. A client that goes away ends the call.
/// If a response fails after it has begun, the connection is broken off, so that the client does not take
/// the response for complete. The same happens if the request turns out to be too large, too slow or
/// incomplete.
pub struct HttpServer {
    contracts: Vec<Contract>,
    shared: Arc<HttpServerShared>,
}

/// Shared with the futures of changes, which outlive a borrow.
struct HttpServerShared {
    id: Id,
    configuration: Configuration,
    deliver: Weak<dyn Deliver>,
    observe: Arc<dyn Observe>,
    ports: Arc<HttpPorts>,
    open: Mutex<OpenRoutes>,
    /// One change of routes at a time: binding waits, and must not overtake the end.
    changing: Arc<tokio::sync::Mutex<()>>,
    /// The routes that take nothing new, until their requests have finished.
    ending: TaskTracker,
}

/// The routes that are served, by link.
#[derive(Default)]
struct OpenRoutes {
    routes: BTreeMap<RouteKey, Arc<Placed>>,
    stopped: bool,
}

/// The key of a route: the link's key and the actor. A link from a provider does not name its
/// target in its key.
type RouteKey = (LinkKey, Id);

impl HttpServer {
    /// A server without a link yet. Binds nothing.
    ///
    /// # Errors
    ///
    /// `invalid_link` for settings that no link could be served with.
    pub fn open(surroundings: Surroundings) -> Result<Arc<Self>, Error> {
        let warnings = settings::check(&surroundings.configuration)?;
        surroundings.warn(warnings);
        Ok(Arc::new(Self {
            contracts: HTTP_SERVER.contracts(),
            shared: Arc::new(HttpServerShared {
                id: surroundings.id,
                configuration: surroundings.configuration,
                deliver: surroundings.deliver,
                observe: surroundings.observe,
                ports: surroundings.ports,
                open: Mutex::default(),
                changing: Arc::default(),
                ending: TaskTracker::new(),
            }),
        }))
    }

    /// The actor and the bound address of each route. The port is the real one, also if 0 was asked
    /// for.
    pub fn addresses(&self) -> Vec<(Id, SocketAddr)> {
        let open = self.shared.open.lock();
        let address =
            |((_, actor), placed): (&RouteKey, &Arc<Placed>)| (actor.clone(), placed.address());
        open.routes.iter().map(address).collect()
    }

    /// The form of bodies under the contract of a link. An error if the server does not offer the
    /// contract or the interface.
    fn form(&self, link: &Link) -> Result<Form, Error> {
        let (whole, streamed) = (&self.contracts[0], &self.contracts[1]);
        let detail = if link.contract == *whole {
            return Ok(Form::Whole);
        } else if link.contract != *streamed {
            let contract = &link.contract;
            format!("the HTTP server offers {whole} and {streamed}, not {contract}")
        } else if link.interfaces.is_empty() || link.interfaces.iter().any(|it| it == INTERFACE) {
            return Ok(Form::Streamed);
        } else {
            let named = link.interfaces.join(", ");
            format!("the HTTP server offers {INTERFACE} of {streamed}, not {named}")
        };
        Err(Error::new(Code::InvalidLink, detail))
    }
}

/// The interface of `wasi:http` that actors export and this server calls.
const INTERFACE: &str = "incoming-handler";

impl Capability for HttpServer {
    fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    fn invoke(&self, call: CapabilityCall) -> Answer {
        let link = call.link.as_deref();
        let contract = link.map_or(&self.contracts[0], |link| &link.contract);
        let error = message::unknown_operation(contract, &call.invocation.operation);
        Box::pin(ready(Err(error)))
    }

    fn endpoints(&self) -> Vec<String> {
        let open = self.shared.open.lock();
        open.routes
            .values()
            .map(|placed| describe(placed))
            .collect()
    }

    fn prepare(&self, link: Arc<Link>) -> Pending<Prepared> {
        let (shared, form) = (self.shared.clone(), self.form(&link));
        Box::pin(async move { shared.prepare(&link, form?).await })
    }

    fn warnings(&self, link: &Link) -> Vec<String> {
        let id = &self.shared.id;
        let mut warnings = HTTP_SERVER.check_link(id, link).unwrap_or_default();
        let nested = settings::unused(Given::ToLink, link.seen_from(id).0);
        warnings.extend(nested.unwrap_or_default());
        warnings
    }

    fn unlink(&self, link: Arc<Link>) -> Done {
        let shared = self.shared.clone();
        Box::pin(async move {
            shared.unlink(&link).await;
            Ok(())
        })
    }

    fn health(&self) -> Done {
        let open = self.shared.open.lock();
        let silent = open.routes.values().find(|placed| !placed.is_served());
        Box::pin(ready(silent.map_or(Ok(()), |placed| {
            let detail = format!("the listener of address {} has ended", placed.address());
            Err(Error::new(Code::Io, detail))
        })))
    }

    fn drain(&self) -> Done {
        let shared = self.shared.clone();
        Box::pin(async move {
            shared.end_all().await;
            shared.ending.close();
            shared.ending.wait().await;
            Ok(())
        })
    }

    fn stop(&self) -> Done {
        let shared = self.shared.clone();
        Box::pin(async move {
            shared.end_all().await;
            Ok(())
        })
    }
}

/// One route for people: `http://127.0.0.1:8080/api (host a.example) → counter`.
fn describe(placed: &Placed) -> String {
    let (address, route) = (placed.address(), placed.route());
    let (path, actor) = (route.place.path(), &route.endpoint.actor);
    let host = match (route.place.header(), route.place.host()) {
        (Some(header), value) => format!(" ({header}: {value})"),
        (None, "") => String::new(),
        (None, host) => format!(" (host {host})"),
    };
    let scheme = if route.tls().is_some() {
        "https"
    } else {
        "http"
    };
    format!("{scheme}://{address}{path}{host} → {actor}")
}

impl HttpServerShared {
    /// The route that the link has is served until the new one is.
    ///
    /// The lock of changes is held from the check until the switch, or until the result is dropped.
    /// Reading certificates comes before the lock, so that a slow disk delays this link only.
    ///
    /// # Errors
    ///
    /// `invalid_link` for a setting or a certificate, `conflict` for a place that is taken or an
    /// address in use, `io` for an address that cannot be bound, `unavailable` after a stop.
    async fn prepare(self: Arc<Self>, link: &Link, form: Form) -> Result<Prepared, Error> {
        let (configuration, actor) = link.seen_from(&self.id);
        let key = (link.key(), actor.clone());
        let wanted = HTTP_SERVER
            .check_link(&self.id, link)
            .and_then(|_| settings::read(&self.configuration, configuration, form))?;
        // Before the lock: files may be on a disk that does not answer.
        let tls = self.tls(&wanted).await?;
        let changing = Arc::clone(&self.changing).lock_owned().await;
        let old = {
            let open = self.open.lock();
            if open.stopped {
                return Err(Error::new(Code::Unavailable, "the HTTP server is stopped"));
            }
            open.routes.get(&key).cloned()
        };
        let address = wanted.address;
        let route = self.route(link, actor, form, wanted, tls, old.as_deref());
        let placing = self.ports.prepare(address, route, old.as_deref()).await?;
        Ok(Prepared::new(async move {
            let placed = placing.switch(old, &self.ending).await;
            self.open.lock().routes.insert(key, Arc::new(placed));
            drop(changing);
        }))
    }

    /// The certificate of a link, if it asks for one. Starts the watch of its files.
    async fn tls(&self, wanted: &Wanted) -> Result<Option<Arc<Tls>>, Error> {
        let Some(certificate) = &wanted.tls else {
            return Ok(None);
        };
        let owner = Owner {
            provider: self.id.clone(),
            observe: self.observe.clone(),
        };
        let tls = Tls::open(certificate.files.clone(), certificate.pause, owner);
        Ok(Some(tls.await?))
    }

    /// The route of a link. It takes the counter of running requests over from the former route.
    fn route(
        &self,
        link: &Link,
        actor: &Id,
        form: Form,
        wanted: Wanted,
        tls: Option<Arc<Tls>>,
        old: Option<&Placed>,
    ) -> Arc<Route> {
        let endpoint = Endpoint {
            provider: self.id.clone(),
            actor: actor.clone(),
            contract: link.contract.clone(),
            link: link.name.clone(),
            form,
            limits: wanted.call,
            deliver: self.deliver.clone(),
            observe: self.observe.clone(),
        };
        let old = old.map(|placed| placed.route().as_ref());
        Arc::new(Route::new(wanted, endpoint, tls, old))
    }

    /// Ends the route of a link. Its running requests finish in the background.
    async fn unlink(&self, link: &Link) {
        let (_, actor) = link.seen_from(&self.id);
        let placed = {
            let _changing = self.changing.lock().await;
            let mut open = self.open.lock();
            open.routes.remove(&(link.key(), actor.clone()))
        };
        if let Some(placed) = placed {
            self.ports.end(placed, &self.ending).await;
        }
    }

    /// Ends all routes, and refuses new ones.
    async fn end_all(&self) {
        let routes = {
            let _changing = self.changing.lock().await;
            let mut open = self.open.lock();
            open.stopped = true;
            std::mem::take(&mut open.routes)
        };
        for placed in routes.into_values() {
            self.ports.end(placed, &self.ending).await;
        }
    }
}
