//! The routes of one address, and the choice among them.
//!
//! A path is found by looking up the path itself, and then each prefix that ends before a slash. So
//! the cost depends on the number of slashes up to the longest path of a route, and not on the
//! number of routes.
//!
//! Routes with a header are searched first, by header in order of name.

use std::collections::{BTreeMap, HashMap};
use std::iter::successors;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use exosuit_core::{Code, Error};
use http::StatusCode;
use http::header::{HeaderMap, HeaderName};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::endpoint::{Endpoint, GRACE};
use super::limits::{AddressLimits, Asked};
use super::place::{RoutePlace, value_of};
use super::refusal::Refusal;
use super::rules::Rules;
use super::settings::Wanted;
use super::tls::{CERTIFICATE, Files, KEY, Tls};
use crate::http::host::known_as;

/// A place and the actor behind it. Immutable: a link that changes gets a new route.
pub(crate) struct Route {
    pub(crate) place: RoutePlace,
    pub(crate) endpoint: Endpoint,
    /// `None` for a route without rules of its own.
    pub(crate) rules: Option<Box<Rules>>,
    tls: Option<Arc<Tls>>,
    /// The limits of the address that its link asks for.
    asked: Asked,
    /// Whether it takes no new requests. Its place is then free for another route.
    ending: AtomicBool,
    /// The running requests, also those of former routes of the same link.
    requests: TaskTracker,
}

impl Route {
    /// Makes the route of a link. `old` is the route that the link had until now.
    pub(crate) fn new(
        wanted: Wanted,
        endpoint: Endpoint,
        tls: Option<Arc<Tls>>,
        old: Option<&Self>,
    ) -> Self {
        Self {
            place: wanted.place,
            endpoint,
            rules: wanted.rules,
            tls,
            asked: wanted.asked,
            ending: AtomicBool::new(false),
            requests: old.map_or_else(TaskTracker::new, |old| old.requests.clone()),
        }
    }

    /// The counter of running requests.
    pub(crate) fn requests(&self) -> &TaskTracker {
        &self.requests
    }

    /// Whether it takes no new requests.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Waits until each running request is answered, or its time is up.
    ///
    /// The time is that of a body, of a call, and a grace. What is left then is not ended here.
    pub(crate) async fn finish(&self, body_timeout: Duration) {
        self.requests.close();
        let longest = body_timeout + self.endpoint.limits.timeout + 2 * GRACE;
        let _late = timeout(longest, self.requests.wait()).await;
    }

    /// The files of its certificate.
    pub(crate) fn tls(&self) -> Option<&Files> {
        self.tls.as_ref().map(|tls| tls.files())
    }

    /// The largest body that it buffers.
    fn whole_body(&self) -> u64 {
        self.endpoint.whole_body()
    }
}

/// The routes of one address: by host, empty for any, or by another header's value; and then by path.
#[derive(Default)]
pub(crate) struct Routes {
    hosts: Hosts,
    /// By the names of the headers that are asked for, in their order.
    headers: BTreeMap<Box<str>, (HeaderName, Hosts)>,
}

/// The paths of each host, or of each value of a header.
type Hosts = HashMap<Box<str>, Paths>;

/// The routes of one host. `longest` only grows, and saves look-ups of longer prefixes.
#[derive(Default)]
struct Paths {
    routes: HashMap<Box<str>, Arc<Route>>,
    longest: usize,
}

impl Paths {
    /// The route of the path itself, or of the nearest path above it.
    fn find(&self, path: &str) -> Option<&Arc<Route>> {
        let prefixes = successors(Some(path), |path| path.rfind('/').map(|end| &path[..end]));
        prefixes
            .skip_while(|path| path.len() > self.longest)
            .find_map(|path| self.routes.get(path))
            // A path without a slash: `*`.
            .or_else(|| self.routes.get(""))
    }
}

impl Routes {
    /// The route of a request. Routes by a header come first, then routes by host, then those for any host;
    /// among these, the longest path wins.
    ///
    /// If a header occurs several times and one of its values names a route, the request is refused: it is not
    /// clear which was meant.
    pub(crate) fn find(
        &self,
        host: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<&Arc<Route>, Refusal> {
        for (name, hosts) in self.headers.values() {
            let values = headers.get_all(name).iter();
            let values = values.filter_map(|value| value.to_str().ok());
            let mut routes = values.filter_map(|value| hosts.get(value)?.find(path));
            if let Some(route) = routes.next() {
                let is_clear = value_of(headers, name).is_some();
                let refusal = Refusal::Request(StatusCode::BAD_REQUEST);
                return is_clear.then_some(route).ok_or(refusal);
            }
        }
        let find = |host: &str| self.hosts.get(host)?.find(path);
        let own = if host.is_empty() {
            None
        } else {
            find(&known_as(host))
        };
        own.or_else(|| find(""))
            .ok_or(Refusal::Request(StatusCode::NOT_FOUND))
    }

    /// The routes that are distinguished in the same way as this one.
    fn hosts(&mut self, place: &RoutePlace) -> &mut Hosts {
        match place.header() {
            None => &mut self.hosts,
            Some(name) => {
                let hosts = self.headers.entry(name.as_str().into());
                &mut hosts.or_insert_with(|| (name.clone(), Hosts::new())).1
            }
        }
    }

    /// Adds a route, and removes the one that its link had; `check` must have allowed that.
    pub(crate) fn put(&mut self, route: &Arc<Route>, old: Option<&Arc<Route>>) {
        if let Some(old) = old {
            self.remove(old);
        }
        let hosts = self.hosts(&route.place);
        let paths = hosts.entry(route.place.host().into()).or_default();
        paths.longest = paths.longest.max(route.place.path().len());
        paths
            .routes
            .insert(route.place.path().into(), route.clone());
    }

    /// Checks whether a route may be added. It may replace the present route of its link.
    ///
    /// # Errors
    ///
    /// `conflict` if the place is taken, if the certificate is another one, or if a limit of the
    /// address differs; `invalid_link` if a buffered body would not fit into the limit of buffers.
    pub(crate) fn check(
        &self,
        address: SocketAddr,
        route: &Arc<Route>,
        old: Option<&Arc<Route>>,
    ) -> Result<(), Error> {
        let others = || {
            let others = self.live();
            others.filter(move |other| old.is_none_or(|old| !Arc::ptr_eq(old, other)))
        };
        if let Some(other) = others().find(|other| other.place == route.place) {
            return Err(taken(address, other));
        }
        let mut asked = route.asked.clone();
        let mut largest = route.whole_body();
        for other in others() {
            if route.tls() != other.tls() {
                return Err(unlike_tls(address, route, other));
            }
            if let Some(conflict) = route.asked.conflict(&other.asked) {
                return Err(unlike(address, route, other, conflict));
            }
            asked.merge(&other.asked);
            largest = largest.max(other.whole_body());
        }
        asked.allow_body(largest)
    }

    /// Removes this route, unless another one has its place by now.
    pub(crate) fn remove(&mut self, route: &Arc<Route>) {
        let hosts = self.hosts(&route.place);
        let Some(paths) = hosts.get_mut(route.place.host()) else {
            return;
        };
        let path = route.place.path();
        if paths
            .routes
            .get(path)
            .is_some_and(|found| Arc::ptr_eq(found, route))
        {
            paths.routes.remove(path);
        }
        if paths.routes.is_empty() {
            hosts.remove(route.place.host());
        }
        self.headers.retain(|_, (_, hosts)| !hosts.is_empty());
    }

    /// Takes no new requests for a route. Returns whether it was the last route that took any.
    pub(crate) fn retire(&self, route: &Route) -> bool {
        route.ending.store(true, Ordering::Release);
        self.is_idle()
    }

    /// Whether this route alone takes requests.
    pub(crate) fn has_only(&self, route: &Arc<Route>) -> bool {
        self.live().all(|live| Arc::ptr_eq(live, route))
    }

    /// Whether no route takes requests.
    pub(crate) fn is_idle(&self) -> bool {
        self.live().next().is_none()
    }

    /// Whether there is no route, not even one that ends.
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.headers.is_empty()
    }

    /// The limits that the routes together ask for.
    pub(crate) fn limits(&self) -> AddressLimits {
        let mut asked = Asked::default();
        let mut largest = 0;
        for route in self.live() {
            asked.merge(&route.asked);
            largest = largest.max(route.whole_body());
        }
        asked.limits(largest)
    }

    /// The certificate, which all routes of an address share.
    pub(crate) fn tls(&self) -> Option<Arc<Tls>> {
        self.live().find_map(|route| route.tls.clone())
    }

    /// The longest time that one of the routes gives its actor.
    pub(crate) fn longest_timeout(&self) -> Duration {
        let timeouts = self.all().map(|route| route.endpoint.limits.timeout);
        timeouts.max().unwrap_or_default()
    }

    /// The routes that take requests.
    fn live(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.all().filter(|route| !route.is_ending())
    }

    /// All routes, those that end included.
    fn all(&self) -> impl Iterator<Item = &Arc<Route>> {
        let others = self.headers.values().map(|(_, hosts)| hosts);
        let hosts = std::iter::once(&self.hosts).chain(others);
        hosts.flat_map(|hosts| hosts.values().flat_map(|paths| paths.routes.values()))
    }
}

/// The error for a place that another route has.
fn taken(address: SocketAddr, other: &Route) -> Error {
    let (place, actor) = (&other.place, &other.endpoint.actor);
    let detail = format!(
        "address {address} already serves the actor {actor}{place}: give each link an address, a \
         host or a path of its own"
    );
    Error::new(Code::Conflict, detail)
}

/// The error for two routes of one address that ask for different limits.
fn unlike(
    address: SocketAddr,
    route: &Route,
    other: &Route,
    (key, own, theirs): (&str, u64, u64),
) -> Error {
    let (actor, theirs_is) = (&route.endpoint.actor, &other.endpoint.actor);
    let detail = format!(
        "{key} is {own} for the actor {actor} and {theirs} for the actor {theirs_is}, both on \
         address {address}: it belongs to the address, so give both the same, or one another address"
    );
    Error::new(Code::Conflict, detail)
}

/// The error for two routes of one address with different TLS settings. A connection agrees on TLS before it
/// names its route, so both must use the same.
fn unlike_tls(address: SocketAddr, route: &Route, other: &Route) -> Error {
    let (actor, theirs) = (&route.endpoint.actor, &other.endpoint.actor);
    let detail = format!(
        "the actors {actor} and {theirs} ask for different certificates on address {address}, or \
         one for none: give both the same {CERTIFICATE} and {KEY}, or one another address"
    );
    Error::new(Code::Conflict, detail)
}
