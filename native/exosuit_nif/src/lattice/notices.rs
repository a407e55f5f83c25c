//! What happens to the connections, and which calls are refused, on the way to the host's events.

use std::sync::Arc;

use exosuit_core::{Notice, Observe};
use exosuit_lattice::{Calls, Connection, Notice as Happened};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::notices::Notices;
use crate::runtime::runtime;

/// Tells what happens to a connection, until it is closed.
pub(super) fn forward(connection: &Connection, name: &'static str, observe: &Arc<Notices>) {
    let mut happenings = connection.notices();
    let observe = Arc::clone(observe);
    runtime().spawn(async move {
        while let Some(happened) = next(&mut happenings).await {
            let is_over = happened == Happened::Closed;
            if let Some(notice) = translate(name, happened) {
                observe.observe(notice);
            }
            if is_over {
                return;
            }
        }
    });
}

/// Tells which calls from the lattice are refused, until there can be none.
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

/// Tells whose clock is not ours, until nobody can call any more.
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

/// The next; what was missed was more than anybody reads.
async fn next<T: Clone>(receiver: &mut Receiver<T>) -> Option<T> {
    loop {
        match receiver.recv().await {
            Ok(value) => return Some(value),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}

fn translate(connection: &'static str, happened: Happened) -> Option<Notice> {
    let (change, error) = match happened {
        Happened::Connected => ("lattice_connected", None),
        Happened::Disconnected => ("lattice_disconnected", None),
        Happened::Failed(error) => ("lattice_unreachable", Some(error)),
        Happened::SlowConsumer => ("lattice_slow_consumer", None),
        Happened::Refused(error) => ("lattice_refused", Some(error)),
        Happened::LameDuck => ("lattice_lame_duck", None),
        // By us.
        Happened::Closed => return None,
    };
    Some(Notice::Connection {
        connection,
        change,
        error: error.map(Into::into),
    })
}
