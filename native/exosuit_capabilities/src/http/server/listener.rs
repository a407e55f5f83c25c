//! A listener: binds one address, accepts connections, and drains them when it ends.
//!
//! # The accept loop
//!
//! It accepts a connection, checks the share of its client, and then takes a slot. While there is
//! no slot it accepts nothing more: further clients wait in the backlog of the operating system,
//! and idle connections are asked to close. Every error of `accept` leads to a pause, because
//! running out of file descriptors is the usual one.
//!
//! # The end
//!
//! 1. `gently` is cancelled: nothing more is accepted, and the connections in the backlog are taken
//!    over.
//! 2. Connections finish their request, say `connection: close`, and end.
//! 3. When the time of the slowest request is up, `now` is cancelled.

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

use super::clients::ClientConnection;
use super::connection::serve;
use super::connection_limits::ConnectionLimits;
use super::crowd::Crowd;
use super::endpoint::GRACE;
use super::listener_state::{Ending, ListenerState};
use super::routes::{Route, Routes};

/// How long to wait when the operating system has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// A bound address. Dropped, it ends its connections; [`Listener::finish`] lets them finish.
///
/// The socket is held by the accepting task, so it is closed as soon as that task ends.
pub(crate) struct Listener {
    /// The address with the real port.
    bound: SocketAddr,
    /// The accepting task holds the socket; before it starts, `waiting` does.
    socket: Weak<TcpListener>,
    /// The socket until it accepts. Until then clients wait in the backlog of the operating system.
    waiting: Mutex<Option<Arc<TcpListener>>>,
    /// Shared with all connections.
    state: Arc<ListenerState>,
    /// The task that accepts.
    accepting: TaskTracker,
    /// The connections, and the streams of HTTP/2.
    connections: TaskTracker,
    /// Cancels `now` when the listener is dropped.
    _kill: DropGuard,
}

impl Listener {
    /// Binds the address for a first route, so that an address in use is an error of the caller. Accepts nothing
    /// yet. `old` is a listener that is about to end, and may have the same port.
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
                limits: RwLock::new(ConnectionLimits::new(routes.limits())),
                tls: RwLock::new(routes.tls()),
                clients: Arc::default(),
                crowd: Crowd::default(),
                routes: RwLock::new(routes),
                ending,
            }),
        }))
    }

    /// Accepts from now on. Returns whether it did not before.
    pub(crate) fn start(&self) -> bool {
        let Some(socket) = self.waiting.lock().take() else {
            return false;
        };
        let (state, connections) = (self.state.clone(), self.connections.clone());
        self.accepting.spawn(accept(socket, state, connections));
        self.accepting.close();
        true
    }

    /// The address with the real port.
    pub(crate) fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Whether it has not begun to end.
    pub(crate) fn is_open(&self) -> bool {
        let ending = &self.state.ending;
        !ending.gently.is_cancelled() && !ending.now.is_cancelled()
    }

    /// Whether the task that accepts runs.
    pub(crate) fn accepts(&self) -> bool {
        self.is_open() && !self.accepting.is_empty()
    }

    /// The time for a body, and for a client that stops reading.
    pub(crate) fn body_timeout(&self) -> Duration {
        self.state.limits.read().address.body_timeout
    }

    /// Whether a route may be added, in place of the former one of its link.
    pub(crate) fn check(&self, route: &Arc<Route>, old: Option<&Arc<Route>>) -> Result<(), Error> {
        self.state.routes.read().check(self.bound, route, old)
    }

    /// Adds a route, in place of the former one of its link. `check` must have allowed it, under
    /// the lock of `HttpPorts`.
    pub(crate) fn put(&self, route: &Arc<Route>, old: Option<&Arc<Route>>) {
        let mut routes = self.state.routes.write();
        routes.put(route, old);
        self.state.adjust(&routes);
    }

    /// Whether this is the only route that takes requests.
    pub(crate) fn has_only(&self, route: &Arc<Route>) -> bool {
        self.state.routes.read().has_only(route)
    }

    /// Removes a route. The listener ends at once with its last route; one that ends counts as long
    /// as it has requests.
    pub(crate) fn remove(&self, route: &Arc<Route>) {
        let mut routes = self.state.routes.write();
        routes.remove(route);
        if routes.is_empty() {
            self.state.ending.now.cancel();
        } else if !routes.is_idle() {
            self.state.adjust(&routes);
        }
    }

    /// Takes no new requests for a route. Returns whether it was the last that took any.
    pub(crate) fn retire(&self, route: &Route) -> bool {
        self.state.routes.write().retire(route)
    }

    /// Frees the address. Requests that run go on.
    pub(crate) async fn stop_accepting(&self) {
        self.state.ending.gently.cancel();
        self.accepting.wait().await;
    }

    /// Waits until each running request is answered, or its time is up. Call it after `stop_accepting`.
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

/// Binds an address. If our own former listener has the port, binds beside it.
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
/// A port of another program is refused as usual: only these two sockets share the port, until both are bound.
///
/// `0.0.0.0:80` and `127.0.0.1:80` overlap, so the kernel refuses the second unless both sockets
/// allow to share. Both stop allowing it right after.
fn bind_beside(address: SocketAddr, old: &TcpListener) -> std::io::Result<std::net::TcpListener> {
    let old = SockRef::from(old);
    old.set_reuse_port(true)?;
    let bound = bind_sharing(address);
    old.set_reuse_port(false)?;
    bound
}

/// Binds a socket that shares its port while it is bound.
fn bind_sharing(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_reuse_port(false)?;
    Ok(socket.into())
}

/// The length of the backlog, as the standard library has it.
const BACKLOG: i32 = 128;

/// The error for an address that cannot be bound.
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

/// Accepts connections until the listener ends.
async fn accept(socket: Arc<TcpListener>, state: Arc<ListenerState>, connections: TaskTracker) {
    let take = |entered: Entered, slot: OwnedSemaphorePermit| {
        let (state, tasks) = (state.clone(), connections.clone());
        connections.spawn(async move {
            let share = entered.connected.share();
            serve(entered.stream, state, (entered.limits, share), tasks).await;
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
    // Connections in the backlog are established for their clients, who expect an answer.
    for accepted in backlog(socket) {
        if let Some(entered) = enter(accepted, &state) {
            let slot = entered.limits.slots.clone().try_acquire_owned();
            let Ok(slot) = slot else { return };
            take(entered, slot);
        }
    }
}

/// A connection that its client's share allows.
struct Entered {
    stream: TcpStream,
    connected: ClientConnection,
    limits: Arc<ConnectionLimits>,
}

/// Admits a connection, or closes it if its client has its share: waiting would delay other clients.
fn enter((stream, peer): (TcpStream, SocketAddr), state: &ListenerState) -> Option<Entered> {
    let limits = state.limits.read().clone();
    let connected = state.clients.connect(peer.ip(), &limits)?;
    Some(Entered {
        stream,
        connected,
        limits,
    })
}

/// The next connection that is admitted, with its permit.
async fn next(socket: &TcpListener, state: &ListenerState) -> (Entered, OwnedSemaphorePermit) {
    loop {
        match socket.accept().await {
            Ok(accepted) => {
                if let Some(entered) = enter(accepted, state) {
                    let slot = room(state, entered.limits.slots.clone()).await;
                    return (entered, slot);
                }
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// A permit for one more connection. If there is none, asks idle connections to close, and waits.
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
