//! The addresses that the HTTP servers of one host listen on, and which routes are served there.
//!
//! # The life of an address
//!
//! ```text
//! prepare ──► Placing ──► switch ──► Placed ──► end ──► Retired ──► finished
//!              bound,      served               accepts   running
//!              unserved                         nothing   requests end
//! ```
//!
//! A dropped `Placing` frees an address that it has bound. A dropped `Placed` ends its requests at
//! once, which happens only if a provider is dropped without a stop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use exosuit_core::Error;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::task::TaskTracker;

use super::listener::Listener;
use super::routes::Route;

/// The addresses that the HTTP servers of one host listen on. Servers of different applications may share an
/// address, told apart by host and path.
///
/// An address is bound with its first route and freed with its last one. A route that changes binds its new
/// address before it frees the old one, so that a change which fails leaves everything as it was.
#[derive(Default)]
pub struct HttpPorts {
    /// Ports to use in place of those that links name: for several hosts on one machine.
    instead: BTreeMap<u16, u16>,
    /// Locked while an address is bound or freed, and from the check of a route until it is served, so that
    /// two links cannot take the same place.
    open: Arc<Mutex<Open>>,
}

/// The listeners by address. Weak: a listener lives as long as its routes.
type Open = BTreeMap<SocketAddr, Weak<Listener>>;

/// A route that is served. Dropped, it ends at once; ended by [`HttpPorts::end`], its requests may finish.
pub(crate) struct Placed {
    listener: Arc<Listener>,
    route: Arc<Route>,
    /// The address as the link asked for it, perhaps with port 0. A link that asks for the same
    /// keeps its listener.
    asked: SocketAddr,
}

/// A route that is ready to be served: its address is bound and its place is free. Dropped, it gives both back.
pub(crate) struct Placing {
    placed: Placed,
    /// The last field, so that it is dropped last: until then nobody else finds the address in use.
    open: OwnedMutexGuard<Open>,
}

impl Placed {
    /// The address with the real port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.bound()
    }

    /// The route that it serves.
    pub(crate) fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Whether the listener accepts. If not, the health check fails and the provider is restarted.
    pub(crate) fn is_served(&self) -> bool {
        self.listener.accepts()
    }

    /// Whether it is on this listener.
    fn is_on(&self, listener: &Arc<Listener>) -> bool {
        Arc::ptr_eq(&self.listener, listener)
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.listener.remove(&self.route);
    }
}

impl HttpPorts {
    /// Addresses with some ports replaced.
    pub fn with_instead(instead: BTreeMap<u16, u16>) -> Self {
        Self {
            instead,
            ..Self::default()
        }
    }

    /// Prepares a route at an address, to replace `old`, the route that its link has now. If this fails, `old`
    /// is served as before.
    ///
    /// # Errors
    ///
    /// `conflict` if the place is taken, if limits or certificates differ, or if another process
    /// has the port; `io` for other failures to bind.
    pub(crate) async fn prepare(
        &self,
        mut address: SocketAddr,
        route: Arc<Route>,
        old: Option<&Placed>,
    ) -> Result<Placing, Error> {
        if let Some(port) = self.instead.get(&address.port()) {
            address.set_port(*port);
        }
        let open = Arc::clone(&self.open).lock_owned().await;
        let listener = match old {
            Some(old) if old.asked == address => Some(Arc::clone(&old.listener)),
            _ => open.get(&address).and_then(Weak::upgrade),
        };
        let listener = if let Some(listener) = listener.filter(|listener| listener.is_open()) {
            let same = old.filter(|old| old.is_on(&listener));
            listener.check(&route, same.map(Placed::route))?;
            listener
        } else {
            // The link may name the same address in another spelling. Then it is free as soon as `old` ends.
            let last = old.filter(|old| old.listener.has_only(&old.route));
            Listener::bind(address, &route, last.map(|old| old.listener.as_ref()))?
        };
        let asked = address;
        let placed = Placed {
            listener,
            route,
            asked,
        };
        Ok(Placing { placed, open })
    }

    /// Takes no new requests for a route, and frees the address if it was the last one there. Does not wait for
    /// running requests: they finish in `ending`, or are ended when their time is up.
    pub(crate) async fn end(&self, placed: Arc<Placed>, ending: &TaskTracker) {
        let retired = retire(&mut *self.open.lock().await, placed).await;
        ending.spawn(retired.finish());
    }
}

impl Placing {
    /// Serves the route from now on, and takes no new requests for the old one.
    pub(crate) async fn switch(mut self, old: Option<Arc<Placed>>, ending: &TaskTracker) -> Placed {
        let Placed {
            listener, route, ..
        } = &self.placed;
        let same = old.as_ref().filter(|old| old.is_on(listener));
        listener.put(route, same.map(|old| &old.route));
        if listener.start() {
            self.open.retain(|_, listener| listener.strong_count() > 0);
            let bound = listener.bound();
            self.open.insert(bound, Arc::downgrade(listener));
        }
        let moved = old.filter(|old| !old.is_on(&self.placed.listener));
        if let Some(old) = moved {
            ending.spawn(retire(&mut self.open, old).await.finish());
        }
        self.placed
    }
}

/// A route that takes nothing new.
struct Retired {
    placed: Arc<Placed>,
    /// It was the last of its address, which is free by now.
    last: bool,
}

/// Takes no new requests for a route. Frees the address if it was the last route there.
async fn retire(open: &mut Open, placed: Arc<Placed>) -> Retired {
    let last = placed.listener.retire(&placed.route);
    if last {
        let bound = placed.listener.bound();
        let this = |open: &Weak<Listener>| open.as_ptr() == Arc::as_ptr(&placed.listener);
        if open.get(&bound).is_some_and(this) {
            open.remove(&bound);
        }
        placed.listener.stop_accepting().await;
    }
    Retired { placed, last }
}

impl Retired {
    /// Waits until the running requests are answered, or their time is up.
    async fn finish(self) {
        let Placed {
            listener, route, ..
        } = self.placed.as_ref();
        if self.last {
            listener.finish().await;
        } else {
            route.finish(listener.body_timeout()).await;
        }
    }
}
