//! Forwards events of the connections and of calls between hosts to the host's notices.
//!
//! Called when a host joins a lattice. Each function starts a task on Tokio that ends with its
//! source, so leaving the lattice needs no call here. Sources are broadcast channels, which drop old
//! values instead of waiting for a slow reader: reporting an event must not slow a connection.
//!
//! | event of a connection | its notice |
//! |---|---|
//! | connected, disconnected | `lattice_connected`, `lattice_disconnected` |
//! | a try failed | `lattice_unreachable`, with the error |
//! | messages were dropped, as this host read too slowly | `lattice_slow_consumer` |
//! | the server reports an error: a missing permission, too many connections | `lattice_refused`, with the error |
//! | the server is about to stop | `lattice_lame_duck` |
//! | closed | none |

use std::sync::Arc;

use exosuit_core::{Notice, Observe};
use exosuit_lattice::{Calls, Connection, Notice as ConnectionNotice};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::notices::Notices;
use crate::runtime::runtime;

/// Forwards the events of a connection, until it is closed. `name` is how events tell the host's
/// connections apart.
pub(super) fn forward(connection: &Connection, name: &'static str, observe: &Arc<Notices>) {
    let mut notices = connection.notices();
    let observe = Arc::clone(observe);
    runtime().spawn(async move {
        while let Some(notice) = next(&mut notices).await {
            let is_over = notice == ConnectionNotice::Closed;
            if let Some(notice) = translate(name, notice) {
                observe.observe(notice);
            }
            if is_over {
                return;
            }
        }
    });
}

/// Forwards refused calls from the lattice. The lattice counts them: one notice stands for `count`.
pub(super) fn forward_refusals(calls: &Calls, observe: &Arc<Notices>) {
    let mut refusals = calls.refusals();
    let observe = Arc::clone(observe);
    runtime().spawn(async move {
        while let Some(refusal) = next(&mut refusals).await {
            observe.observe(Notice::CallsRefused {
                target: refusal.target,
                kind: refusal.error.code(),
                count: refusal.count,
                error: refusal.error.into(),
            });
        }
    });
}

/// Forwards differences between this host's clock and those of others.
pub(super) fn forward_skews(calls: &Calls, observe: &Arc<Notices>) {
    let mut skews = calls.skews();
    let observe = Arc::clone(observe);
    runtime().spawn(async move {
        while let Some(skew) = next(&mut skews).await {
            observe.observe(Notice::ClockSkew {
                source: skew.source,
                milliseconds: skew.milliseconds,
            });
        }
    });
}

/// The next value. If values were missed, continues with the oldest that is left: the events are
/// for people, who do not read that many.
async fn next<T: Clone>(receiver: &mut Receiver<T>) -> Option<T> {
    loop {
        match receiver.recv().await {
            Ok(value) => return Some(value),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}

/// The notice for an event of a connection; `None` for its end.
fn translate(connection: &'static str, notice: ConnectionNotice) -> Option<Notice> {
    let (change, error) = match notice {
        ConnectionNotice::Connected => ("lattice_connected", None),
        ConnectionNotice::Disconnected => ("lattice_disconnected", None),
        ConnectionNotice::Failed(error) => ("lattice_unreachable", Some(error)),
        ConnectionNotice::SlowConsumer => ("lattice_slow_consumer", None),
        ConnectionNotice::Refused(error) => ("lattice_refused", Some(error)),
        ConnectionNotice::LameDuck => ("lattice_lame_duck", None),
        // Only this host closes its connections, so nobody needs to hear of it.
        ConnectionNotice::Closed => return None,
    };
    Some(Notice::Connection {
        connection,
        change,
        error: error.map(Into::into),
    })
}
