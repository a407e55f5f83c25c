//! A socket that accepts, and the connections that came of it.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use exosuit_core::{Code, Error};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::RwLock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::endpoint::{Budget, Endpoint, GRACE};
use super::settings::Limits;

/// How long to wait when the operating system has no descriptor left, instead of asking at once.
const PAUSE: Duration = Duration::from_millis(100);

/// How long an idle connection stays open when the listener ends: its client may have sent the next
/// request already, and is told with the answer that it was the last.
const LINGER: Duration = Duration::from_millis(200);

/// One address, bound. Dropped, it takes its connections with it; closed, it lets them finish.
pub(crate) struct Listener {
    asked: SocketAddr,
    bound: SocketAddr,
    terms: Arc<RwLock<Arc<Terms>>>,
    ending: Ending,
    accepting: TaskTracker,
    connections: TaskTracker,
    _kill: DropGuard,
}

/// What new connections are served under.
struct Terms {
    limits: Limits,
    slots: Arc<Semaphore>,
    budget: Budget,
}

#[derive(Clone, Default)]
struct Ending {
    /// No new connection, no new request.
    gently: CancellationToken,
    /// No connection.
    now: CancellationToken,
}

impl Terms {
    fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(limits.max_connections)),
            budget: Budget::new(limits.max_buffered_bytes),
            limits,
        })
    }
}

impl Listener {
    /// Binds at once, so that an address in use is the caller's error, and accepts from then on.
    pub(crate) fn bind(
        asked: SocketAddr,
        limits: Limits,
        endpoint: Endpoint,
    ) -> Result<Self, Error> {
        let socket = bind(asked).map_err(|error| refused(asked, &error))?;
        let bound = socket
            .local_addr()
            .map_err(|error| refused(asked, &error))?;
        let ending = Ending::default();
        let listener = Self {
            asked,
            bound,
            terms: Arc::new(RwLock::new(Terms::new(limits))),
            _kill: ending.now.clone().drop_guard(),
            ending,
            accepting: TaskTracker::new(),
            connections: TaskTracker::new(),
        };
        listener.accepting.spawn(accept(
            socket,
            Arc::new(endpoint),
            listener.terms.clone(),
            listener.ending.clone(),
            listener.connections.clone(),
        ));
        listener.accepting.close();
        Ok(listener)
    }

    /// The address that was asked for.
    pub(crate) fn asked(&self) -> SocketAddr {
        self.asked
    }

    /// The address that it has.
    pub(crate) fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Serves the connections that are still to come under these limits.
    pub(crate) fn adjust(&self, limits: &Limits) {
        let mut terms = self.terms.write();
        if terms.limits != *limits {
            *terms = Terms::new(limits.clone());
        }
    }

    /// Frees the address. Requests that run go on.
    pub(crate) async fn stop_accepting(&self) {
        self.ending.gently.cancel();
        self.accepting.wait().await;
    }

    /// Frees the address, and ends when each request that runs has its answer or its time is up.
    pub(crate) async fn close(self) {
        self.stop_accepting().await;
        self.connections.close();
        let longest = {
            let limits = &self.terms.read().limits;
            limits.body_timeout + limits.timeout + 2 * GRACE
        };
        if timeout(longest, self.connections.wait()).await.is_err() {
            self.ending.now.cancel();
            self.connections.wait().await;
        }
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = std::net::TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

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

async fn accept(
    socket: TcpListener,
    endpoint: Arc<Endpoint>,
    terms: Arc<RwLock<Arc<Terms>>>,
    ending: Ending,
    connections: TaskTracker,
) {
    let next = async || {
        let slots = terms.read().slots.clone();
        let slot = slots.acquire_owned().await.ok()?;
        loop {
            if let Ok((stream, _)) = socket.accept().await {
                return Some((stream, slot));
            }
            sleep(PAUSE).await;
        }
    };
    let take = |stream, slot: OwnedSemaphorePermit| {
        let (endpoint, ending, terms) = (endpoint.clone(), ending.clone(), terms.read().clone());
        connections.spawn(async move {
            serve(stream, &endpoint, &terms, &ending).await;
            drop(slot);
        });
    };
    loop {
        tokio::select! {
            () = ending.gently.cancelled() => break,
            () = ending.now.cancelled() => return,
            accepted = next() => match accepted {
                Some((stream, slot)) => take(stream, slot),
                None => return,
            },
        }
    }
    // Whoever is connected as far as the kernel knows counts on an answer.
    let slots = terms.read().slots.clone();
    for stream in backlog(socket) {
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            return;
        };
        take(stream, slot);
    }
}

/// The connections that are waiting to be accepted, and no later ones.
fn backlog(socket: TcpListener) -> impl Iterator<Item = TcpStream> {
    let socket = socket.into_std().ok();
    std::iter::from_fn(move || {
        let (stream, _) = socket.as_ref()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        TcpStream::from_std(stream).ok()
    })
}

async fn serve(stream: TcpStream, endpoint: &Endpoint, terms: &Terms, ending: &Ending) {
    let limits = &terms.limits;
    // Answers are written whole: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.body_timeout));

    let answer = service_fn(async |request| {
        let mut answer = endpoint.answer(request, limits, &terms.budget).await;
        if ending.gently.is_cancelled() {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
        Ok::<_, Infallible>(answer)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_header_size(limits.max_header_bytes)
            .max_buf_size(limits.max_header_bytes.max(MIN_BUFFER))
            .serve_connection(TokioIo::new(Box::pin(stream)), answer)
    );
    let last_chance = async {
        ending.gently.cancelled().await;
        sleep(LINGER).await;
    };
    tokio::select! {
        // What is wrong with a connection is its client's to know.
        _ = connection.as_mut() => return,
        () = ending.now.cancelled() => return,
        () = last_chance => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = ending.now.cancelled() => {}
    }
}

/// A larger buffer makes large bodies cheaper to read.
const MIN_BUFFER: usize = 256 << 10;
