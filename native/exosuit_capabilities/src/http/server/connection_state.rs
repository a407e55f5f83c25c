//! The state that the requests of one connection share, and the requests that run.
//!
//! The counters are atomics in relaxed order. They decide when a connection may end, and a decision
//! that is a moment late does no harm.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::sleep;

use super::budget::Budget;
use super::clients::ClientShare;
use super::connection_limits::ConnectionLimits;
use super::head::Arrival;
use super::listener_state::{LINGER, ListenerState};
use super::piece::Pieces;
use super::streams::Reading;

/// The number of requests that a client of HTTP/2 may give up before they are answered, beyond
/// those that it lets be answered. Each has cost a call.
const MAX_ABANDONED: usize = 100;

/// The time for the end of an HTTP/2 connection after all requests are answered.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The state that the requests of one connection share.
pub(crate) struct Connection {
    /// The state of its address.
    pub(crate) listener: Arc<ListenerState>,
    /// The limits that held when it began.
    pub(crate) limits: Arc<ConnectionLimits>,
    /// The share of its client, over all connections of this client.
    pub(crate) share: Arc<ClientShare>,
    /// Address and scheme, for guests.
    pub(crate) arrival: Arrival,
    /// The parts of answers that the client has not taken yet. `None` on HTTP/1.1.
    pub(crate) pieces: Option<Arc<Pieces>>,
    /// The requests that run.
    running: AtomicUsize,
    /// Changes whenever a request begins or ends.
    changes: AtomicUsize,
    /// Requests that were given up, less those that were answered since.
    abandoned: AtomicUsize,
    /// Notified when `abandoned` is too many.
    pub(crate) flooded: Notify,
}

impl Connection {
    /// A connection without requests.
    pub(crate) fn new(
        listener: Arc<ListenerState>,
        limits: Arc<ConnectionLimits>,
        share: Arc<ClientShare>,
        (is_secure, is_http2): (bool, bool),
    ) -> Self {
        Self {
            arrival: Arrival {
                bound: listener.bound,
                is_secure,
            },
            listener,
            share,
            pieces: is_http2.then(|| Pieces::new(limits.address.download())),
            limits,
            running: AtomicUsize::new(0),
            changes: AtomicUsize::new(0),
            abandoned: AtomicUsize::new(0),
            flooded: Notify::new(),
        }
    }

    /// Whether it speaks HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        self.pieces.is_some()
    }

    /// Ends when the connection should take no further request: its listener ends, or others need its room
    /// while it is idle.
    pub(crate) async fn last_request(&self) {
        let is_idle = || self.running.load(Relaxed) == 0;
        tokio::select! {
            () = self.listener.last_chance() => {}
            () = self.listener.crowd.asks(is_idle) => {}
        }
    }

    /// Ends when no request has run for this long.
    pub(crate) async fn idle(&self, longest: Duration) {
        loop {
            let changes = self.changes.load(Relaxed);
            sleep(longest).await;
            if self.running.load(Relaxed) == 0 && self.changes.load(Relaxed) == changes {
                return;
            }
        }
    }

    /// Ends when the client has not taken a part of an answer for too long.
    pub(crate) async fn stuck(&self) {
        match &self.pieces {
            Some(pieces) => pieces.stuck().await,
            None => pending().await,
        }
    }

    /// Ends when all requests are answered, and a little later, so that the last answer can be sent.
    pub(crate) async fn settled(&self) {
        while self.running.load(Relaxed) > 0 {
            sleep(LINGER).await;
        }
        sleep(LAST_WORDS.min(self.limits.address.header_timeout)).await;
    }
}

/// A request that runs, until the body of its answer has been sent.
pub(crate) struct Running {
    connection: Arc<Connection>,
    /// Its permits among the HTTP/2 requests of its client and of the address. Over HTTP/1.1 connections bound the
    /// requests.
    _places: Option<[OwnedSemaphorePermit; 2]>,
    is_answered: bool,
}

impl Running {
    /// Counts a request. `None` if its client or the address has as many HTTP/2 requests as it may.
    pub(crate) fn begin(connection: &Arc<Connection>) -> Option<Self> {
        let places = if connection.is_http2() {
            let own = connection.share.streams.clone().try_acquire_owned().ok()?;
            let all = connection.limits.streams.clone().try_acquire_owned().ok()?;
            Some([own, all])
        } else {
            None
        };
        connection.running.fetch_add(1, Relaxed);
        connection.changes.fetch_add(1, Relaxed);
        Some(Self {
            connection: connection.clone(),
            _places: places,
            is_answered: false,
        })
    }

    /// Notes that the answer is ready: the request no longer counts as given up. Returns the watch
    /// of the client's reading, on HTTP/2.
    pub(crate) fn answered(&mut self) -> Option<Arc<Reading>> {
        self.is_answered = true;
        let abandoned = &self.connection.abandoned;
        let _ = abandoned.try_update(Relaxed, Relaxed, |count| count.checked_sub(1));
        self.connection.is_http2().then(Reading::current)?
    }

    /// The budget of its client.
    pub(crate) fn budget(&self) -> &Budget {
        &self.connection.share.budget
    }

    /// How long a part of its answer may wait for room.
    pub(crate) fn longest_wait(&self) -> Duration {
        self.connection.limits.address.body_timeout
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let connection = &self.connection;
        if connection.running.fetch_sub(1, Relaxed) == 1 {
            connection.listener.crowd.idle();
        }
        connection.changes.fetch_add(1, Relaxed);
        if !self.is_answered && connection.abandoned.fetch_add(1, Relaxed) >= MAX_ABANDONED {
            connection.flooded.notify_one();
        }
    }
}
