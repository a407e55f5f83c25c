//! A socket that accepts, and the connections that came of it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use exosuit_core::{Code, Error};
use parking_lot::{Mutex, RwLock};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use super::connection::serve;
use super::connection_limits::ConnectionLimits;
use super::crowd::Crowd;
use super::endpoint::GRACE;
use super::listener_state::{Ending, ListenerState};
use super::peers::Connected;
use super::routes::{Route, Routes};

/// How long to wait when the operating system has no descriptor left, instead of asking at once.
const PAUSE: Duration = Duration::from_millis(100);

/// One address, bound. Dropped, it takes its connections with it; closed, it lets them finish.
pub(crate) struct Listener {
    bound: SocketAddr,
    /// Held by what accepts, or by `waiting` before that.
    socket: Weak<TcpListener>,
    /// Until it accepts: clients wait in the backlog of the operating system.
    waiting: Mutex<Option<Arc<TcpListener>>>,
    state: Arc<ListenerState>,
    accepting: TaskTracker,
    connections: TaskTracker,
    _kill: DropGuard,
}

impl Listener {
    /// Binds at once for a first route, so that an address in use is the caller's error; serves and
    /// accepts nothing yet. `old` is a listener that is about to end, whose port may be the same.
    pub(crate) fn bind(
        asked: SocketAddr,
        route: &Arc<Route>,
        old: Option<&Self>,
    ) -> Result<Arc<Self>, Error> {
        let routes = Routes::default();
        routes.check(asked, route, None)?;
        let socket = bind(asked, old).map_err(|error| refused(asked, &error))?;
        let bound = socket
            .local_addr()
            .map_err(|error| refused(asked, &error))?;
        let ending = Ending::default();
        let socket = Arc::new(socket);
        Ok(Arc::new(Self {
            bound,
            socket: Arc::downgrade(&socket),
            waiting: Mutex::new(Some(socket)),
            accepting: TaskTracker::new(),
            connections: TaskTracker::new(),
            _kill: ending.now.clone().drop_guard(),
            state: Arc::new(ListenerState {
                bound,
                terms: RwLock::new(ConnectionLimits::new(routes.limits())),
                tls: RwLock::new(routes.tls()),
                peers: Arc::default(),
                crowd: Crowd::default(),
                routes: RwLock::new(routes),
                ending,
            }),
        }))
    }

    /// Accepts from now on; whether it did not before.
    pub(crate) fn start(&self) -> bool {
        let Some(socket) = self.waiting.lock().take() else {
            return false;
        };
        let (state, connections) = (self.state.clone(), self.connections.clone());
        self.accepting.spawn(accept(socket, state, connections));
        self.accepting.close();
        true
    }

    /// The address that it has.
    pub(crate) fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Whether it accepts.
    pub(crate) fn is_open(&self) -> bool {
        let ending = &self.state.ending;
        !ending.gently.is_cancelled() && !ending.now.is_cancelled()
    }

    /// Whether it accepts, and the task that does so runs.
    pub(crate) fn accepts(&self) -> bool {
        self.is_open() && !self.accepting.is_empty()
    }

    /// For a request's body, and for a client that stops reading its answer.
    pub(crate) fn body_timeout(&self) -> Duration {
        self.state.terms.read().limits.body_timeout
    }

    /// Whether a route may be served, in the place of another of its link.
    pub(crate) fn check(&self, route: &Arc<Route>, old: Option<&Arc<Route>>) -> Result<(), Error> {
        self.state.routes.read().check(self.bound, route, old)
    }

    /// Serves a route, in the place of another of its link; `check` must have allowed that.
    pub(crate) fn put(&self, route: &Arc<Route>, old: Option<&Arc<Route>>) {
        let mut routes = self.state.routes.write();
        routes.put(route, old);
        self.state.adjust(&routes);
    }

    /// Whether this route alone is served.
    pub(crate) fn has_only(&self, route: &Arc<Route>) -> bool {
        self.state.routes.read().has_only(route)
    }

    /// Serves a route no more. Without any it ends at once; one that ends still has its requests.
    pub(crate) fn remove(&self, route: &Arc<Route>) {
        let mut routes = self.state.routes.write();
        routes.remove(route);
        if routes.is_empty() {
            self.state.ending.now.cancel();
        } else if !routes.is_idle() {
            self.state.adjust(&routes);
        }
    }

    /// Takes nothing new for a route; whether it was the last.
    pub(crate) fn retire(&self, route: &Route) -> bool {
        self.state.routes.write().retire(route)
    }

    /// Frees the address. Requests that run go on.
    pub(crate) async fn stop_accepting(&self) {
        self.state.ending.gently.cancel();
        self.accepting.wait().await;
    }

    /// When it has stopped accepting: ends when each request that runs has its answer or its time
    /// is up.
    pub(crate) async fn finish(&self) {
        self.connections.close();
        let timeouts = self.body_timeout() + self.state.routes.read().longest_timeout();
        let longest = timeouts + 2 * GRACE;
        if timeout(longest, self.connections.wait()).await.is_err() {
            self.state.ending.now.cancel();
            self.connections.wait().await;
        }
    }
}

fn bind(address: SocketAddr, old: Option<&Listener>) -> std::io::Result<TcpListener> {
    let old = old.filter(|old| old.bound.port() == address.port());
    let old = old.and_then(|old| old.socket.upgrade());
    let socket = match (std::net::TcpListener::bind(address), old) {
        (Err(error), Some(old)) if error.kind() == ErrorKind::AddrInUse => {
            bind_beside(address, &old)?
        }
        (bound, _) => bound?,
    };
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// Binds an address that overlaps that of a socket of our own, `0.0.0.0:80` beside `127.0.0.1:80`.
/// The port of anybody else is refused as ever: only the two share it, and only until they are bound.
fn bind_beside(address: SocketAddr, old: &TcpListener) -> std::io::Result<std::net::TcpListener> {
    let old = SockRef::from(old);
    old.set_reuse_port(true)?;
    let bound = bind_sharing(address);
    old.set_reuse_port(false)?;
    bound
}

fn bind_sharing(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_reuse_port(false)?;
    Ok(socket.into())
}

/// As the standard library has it.
const BACKLOG: i32 = 128;

fn refused(address: SocketAddr, error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::AddrInUse => Error::new(
            Code::Conflict,
            format!("address {address} is in use: stop what listens there, or choose another"),
        ),
        _ => Error::new(
            Code::Io,
            format!("cannot listen on address {address}: {error}"),
        ),
    }
}

async fn accept(socket: Arc<TcpListener>, state: Arc<ListenerState>, connections: TaskTracker) {
    let take = |entered: Entered, slot: OwnedSemaphorePermit| {
        let (state, tasks) = (state.clone(), connections.clone());
        connections.spawn(async move {
            let share = entered.connected.share();
            serve(entered.stream, state, (entered.terms, share), tasks).await;
            drop((entered.connected, slot));
        });
    };
    loop {
        tokio::select! {
            () = state.ending.gently.cancelled() => break,
            () = state.ending.now.cancelled() => return,
            (entered, slot) = next(&socket, &state) => take(entered, slot),
        }
    }
    // Whoever is connected as far as the kernel knows counts on an answer.
    for accepted in backlog(socket) {
        if let Some(entered) = enter(accepted, &state) {
            let slot = entered.terms.slots.clone().try_acquire_owned();
            let Ok(slot) = slot else { return };
            take(entered, slot);
        }
    }
}

/// A client that its share lets in.
struct Entered {
    stream: TcpStream,
    connected: Connected,
    terms: Arc<ConnectionLimits>,
}

/// Closes a connection beyond its client's share: if it waited, it would delay others.
fn enter((stream, peer): (TcpStream, SocketAddr), state: &ListenerState) -> Option<Entered> {
    let terms = state.terms.read().clone();
    let connected = state.peers.connect(peer.ip(), &terms)?;
    Some(Entered {
        stream,
        connected,
        terms,
    })
}

/// The next client that is let in, with its place among all.
async fn next(socket: &TcpListener, state: &ListenerState) -> (Entered, OwnedSemaphorePermit) {
    loop {
        match socket.accept().await {
            Ok(accepted) => {
                if let Some(entered) = enter(accepted, state) {
                    let slot = room(state, entered.terms.slots.clone()).await;
                    return (entered, slot);
                }
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// A place; where there is none, that of a connection that nobody uses.
async fn room(state: &ListenerState, slots: Arc<Semaphore>) -> OwnedSemaphorePermit {
    if let Ok(slot) = slots.clone().try_acquire_owned() {
        return slot;
    }
    let _waits = state.crowd.wait();
    let slot = slots.acquire_owned().await;
    slot.expect("the semaphore is never closed")
}

/// The connections that are waiting to be accepted, and no later ones.
fn backlog(socket: Arc<TcpListener>) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    let socket = Arc::into_inner(socket).and_then(|socket| socket.into_std().ok());
    std::iter::from_fn(move || {
        let (stream, peer) = socket.as_ref()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, peer))
    })
}
