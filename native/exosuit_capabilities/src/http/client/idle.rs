//! Connections that serve no request, closed when another connection needs their place.
//!
//! The pool of hyper-util keeps them and cannot be told to close one. A connection therefore counts the requests
//! that it has begun to send and the responses that have been read, and tells hyper that its server has closed
//! it: hyper then sends a request that it had not begun over another connection.
//!
//! | counter | grows when |
//! |---|---|
//! | `asked` | the first byte of a request is written after something was read |
//! | `answered` | the body of a response was read, or dropped |
//!
//! A connection with equal counters is idle. One that has not been asked yet is not: the request
//! that it was made for is about to come. If the counting is wrong, it errs to "busy", which only
//! costs a slot until the idle timeout.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The open connections of a client.
///
/// One per client. The list is as long as connections are open, which is bounded.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// All open connections, in no order.
    open: Mutex<Vec<Arc<Usage>>>,
    /// Notified when a connection has become idle.
    idle: Notify,
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Usage {
    /// The id of the actor whose requests it serves.
    caller: Box<str>,
    /// The target that it serves, with its mark. The pool uses the connection only for requests to this target.
    target: Box<str>,
    /// The list that it is in.
    connections: Arc<Connections>,
    state: Mutex<State>,
}

/// What `Usage` guards. The lock is held for a few instructions.
#[derive(Debug)]
struct State {
    /// The number of requests that it has begun to send. A request whose response begins before it was sent completely
    /// may count twice; then the connection never counts as idle.
    asked: u64,
    /// The number of responses that have been read, or given up.
    answered: u64,
    /// When the last response ended.
    since: Instant,
    /// Another connection needs its slot: it closes as soon as it is idle.
    is_closing: bool,
    /// The task that reads from it, woken to notice `is_closing`.
    reader: Option<Waker>,
}

/// The usage of a connection for as long as it is open.
pub(crate) struct Open(Arc<Usage>);

/// One response of a connection, until it is dropped.
pub(crate) struct Answering(Arc<Usage>);

impl Connections {
    /// Notes a new connection. It is removed when the result is dropped.
    pub(crate) fn open(self: &Arc<Self>, caller: &str, target: &str) -> Open {
        let usage = Arc::new(Usage {
            caller: caller.into(),
            target: target.into(),
            connections: Arc::clone(self),
            state: Mutex::new(State {
                asked: 0,
                answered: 0,
                since: Instant::now(),
                is_closing: false,
                reader: None,
            }),
        });
        self.open.lock().push(Arc::clone(&usage));
        Open(usage)
    }

    /// Closes the connection that has been idle for longest, and one more whenever a connection becomes idle: of this
    /// caller, or of any caller. Connections to the target itself stay, because the pool gives them to waiting
    /// requests.
    ///
    /// It never returns: the caller drops it when it has a slot.
    pub(crate) async fn make_room(&self, caller: Option<&str>, target: &str) -> Infallible {
        loop {
            let mut idle = pin!(self.idle.notified());
            idle.as_mut().enable();
            self.close_one(caller, target);
            idle.await;
        }
    }

    /// Closes the connection that has been idle for longest, if there is one.
    fn close_one(&self, caller: Option<&str>, target: &str) {
        let open = self.open.lock();
        let others = open.iter().filter(|usage| {
            *usage.target != *target && caller.is_none_or(|caller| *usage.caller == *caller)
        });
        let idle = others.filter_map(|usage| Some((usage.idle_since()?, usage)));
        if let Some((_since, usage)) = idle.min_by_key(|(since, _)| *since) {
            usage.close();
        }
    }
}

impl Usage {
    /// Notes that a response has begun. It ends when the result is dropped.
    pub(crate) fn answering(self: Arc<Self>) -> Answering {
        Answering(self)
    }

    /// Since when it is idle; `None` if it is busy or closing.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        (state.is_idle() && !state.is_closing).then_some(state.since)
    }

    /// Asks it to close when it is idle, and wakes its reader.
    fn close(&self) {
        let mut state = self.state.lock();
        state.is_closing = true;
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }
}

impl State {
    /// Whether each request has been answered. A new connection is not idle.
    fn is_idle(&self) -> bool {
        self.asked > 0 && self.asked == self.answered
    }
}

impl Open {
    /// The shared state, for the responses.
    pub(crate) fn usage(&self) -> Arc<Usage> {
        Arc::clone(&self.0)
    }

    /// Notes that a request begins.
    pub(crate) fn asks(&self) {
        self.0.state.lock().asked += 1;
    }

    /// Whether the connection must end now. If not, the reader is woken when that changes.
    pub(crate) fn is_over(&self, reader: &Context<'_>) -> bool {
        let mut state = self.0.state.lock();
        if state.is_closing && state.is_idle() {
            return true;
        }
        match &mut state.reader {
            Some(waker) => waker.clone_from(reader.waker()),
            none => *none = Some(reader.waker().clone()),
        }
        false
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.0.connections.open.lock();
        open.retain(|usage| !Arc::ptr_eq(usage, &self.0));
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.answered += 1;
        state.since = Instant::now();
        if state.is_idle() {
            if state.is_closing
                && let Some(reader) = state.reader.take()
            {
                reader.wake();
            }
            drop(state);
            self.0.connections.idle.notify_waiters();
        }
    }
}
