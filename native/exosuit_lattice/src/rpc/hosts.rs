//! All other hosts, as one object for the router. The router sends calls to them if the target is not on this
//! host, and serves local targets to them.
//!
//! # How serving follows the router
//!
//! ```text
//! router: serve, withdraw ──► Wanted (a map, and the ids that changed)
//!                                │ notify
//!                                ▼
//!                             Keeper ── subscribes, drains ──► Serving per name
//! ```
//!
//! The router calls `serve` and `withdraw` under a lock and must not wait. So they only note the
//! wanted state. The keeper is one task that compares the wanted state with what is served, id by
//! id. Changes of one id that come while the keeper is busy collapse into one.
//!
//! An id has several subjects, one for each name and form. The new ones are subscribed before the
//! old ones are ended, so that a change of the key loses no call.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use exosuit_core::{Answer, Code, Deliver, Elsewhere, Id, Local, Outgoing};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::{Address, Served};
use super::{Calls, Serving};
use crate::Error;

/// All other hosts, for the router. What is served is served until this is dropped.
///
/// [`Elsewhere::serve`] and [`Elsewhere::withdraw`] return at once, from any thread. The changes of
/// one id take effect in their order, also if there is no connection now.
pub struct Hosts {
    calls: Calls,
    /// Shared with the keeper.
    wanted: Arc<Wanted>,
    ended: CancellationToken,
    tasks: TaskTracker,
}

/// The wanted state, and which ids of it changed. Its size is that of what the host runs, however
/// often it changes.
#[derive(Default)]
struct Wanted {
    /// Held for a look-up.
    state: Mutex<State>,
    /// Wakes the keeper. It stores one permit, so a change that comes before the wait is not
    /// missed.
    changed: Notify,
}

/// What `Wanted` guards.
#[derive(Default)]
struct State {
    /// What is to be served, by id.
    locals: HashMap<Id, Local>,
    /// The ids that the keeper has to look at.
    changed: BTreeSet<Id>,
    /// No further changes: everything is to be withdrawn.
    is_closed: bool,
}

/// The next step of the keeper.
enum Next {
    /// To serve this id, or to serve it no longer.
    Change(Id, Option<Local>),
    Wait,
    Stop,
}

impl Hosts {
    /// The other hosts that these calls reach. Calls from them go to `target`, which is
    /// `Router::here`. Must be called on Tokio, as it spawns the keeper.
    pub fn start(calls: Calls, target: Arc<dyn Deliver>) -> Self {
        let hosts = Self {
            calls,
            wanted: Arc::default(),
            ended: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let keeper = Keeper {
            calls: hosts.calls.clone(),
            target,
            served: HashMap::new(),
            ended: hosts.ended.clone(),
            tasks: hosts.tasks.clone(),
        };
        let keep = keeper.keep(Arc::clone(&hosts.wanted));
        let keep = hosts.ended.clone().run_until_cancelled_owned(keep);
        hosts.tasks.spawn(keep);
        hosts
    }

    /// Takes no new calls, for good. Returns when the running ones have ended, or after `grace`,
    /// which drops the rest.
    pub async fn stop(&self, grace: Duration) {
        self.wanted.close();
        self.tasks.close();
        let _late = tokio::time::timeout(grace, self.tasks.wait()).await;
        self.ended.cancel();
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl Elsewhere for Hosts {
    fn deliver(&self, call: Outgoing) -> Answer {
        let calls = self.calls.clone();
        Box::pin(async move {
            let to = Address::of(call.to, &call.invocation.payload);
            // For errors of wasmCloud hosts, which give no kind.
            let kind = match to {
                Address::Provider { .. } => Code::Provider,
                Address::Actor(_) | Address::Named { .. } => Code::Guest,
            };
            let key = call.origin_key.as_ref();
            calls.forward(&to, key, call.invocation, kind).await
        })
    }

    fn serve(&self, local: Local) {
        self.wanted.change(&local.id.clone(), Some(local));
    }

    fn withdraw(&self, id: &Id) {
        self.wanted.change(id, None);
    }
}

impl Wanted {
    /// Notes a wish. After `close`, nothing is noted.
    fn change(&self, id: &Id, local: Option<Local>) {
        let mut state = self.state.lock();
        if state.is_closed {
            return;
        }
        match local {
            Some(local) => state.locals.insert(id.clone(), local),
            None => state.locals.remove(id),
        };
        state.changed.insert(id.clone());
        self.changed.notify_one();
    }

    /// Withdraws everything, for good.
    fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let ids: Vec<_> = state.locals.drain().map(|(id, _)| id).collect();
        state.changed.extend(ids);
        self.changed.notify_one();
    }

    /// The next id to look at, with its wanted state at this moment.
    fn next(&self) -> Next {
        let mut state = self.state.lock();
        match state.changed.pop_first() {
            Some(id) => {
                let local = state.locals.get(&id).cloned();
                Next::Change(id, local)
            }
            None if state.is_closed => Next::Stop,
            None => Next::Wait,
        }
    }
}

/// The task that makes the served state equal to the wanted one, one id after the other.
struct Keeper {
    calls: Calls,
    target: Arc<dyn Deliver>,
    /// What is served now. Only this task changes it, so it needs no lock.
    served: HashMap<Id, (Local, Vec<Serving>)>,
    ended: CancellationToken,
    tasks: TaskTracker,
}

impl Keeper {
    /// Runs until everything is withdrawn after `close`, or until `ended` is cancelled.
    async fn keep(mut self, wanted: Arc<Wanted>) {
        loop {
            match wanted.next() {
                Next::Change(id, local) => self.turn(id, local).await,
                Next::Wait => wanted.changed.notified().await,
                Next::Stop => return,
            }
        }
    }

    /// Makes one id as it is wanted. An error means that the connection is closed; then nothing can
    /// be served.
    async fn turn(&mut self, id: Id, local: Option<Local>) {
        if self.served.get(&id).map(|(served, _)| served) == local.as_ref() {
            return;
        }
        // The new one is served before the old one ends, so that one of them always is.
        let begun = match local {
            // The only possible error is a closed connection. Then nothing needs to be served.
            Some(local) => self
                .begin(&local)
                .await
                .ok()
                .map(|serving| (local, serving)),
            None => None,
        };
        let ended = match begun {
            Some(begun) => self.served.insert(id, begun),
            None => self.served.remove(&id),
        };
        for serving in ended.into_iter().flat_map(|(_, serving)| serving) {
            self.end(serving);
        }
    }

    /// Subscribes to each name and form of a target.
    async fn begin(&self, local: &Local) -> Result<Vec<Serving>, Error> {
        let mut begun = Vec::new();
        for served in Served::all(local) {
            begun.push(self.calls.serve(served, Arc::clone(&self.target)).await?);
        }
        Ok(begun)
    }

    /// Ends serving in a task of its own, so that the keeper goes on. Running calls may finish:
    /// none takes longer than `longest_timeout`.
    fn end(&self, serving: Serving) {
        let longest = self.calls.0.options.longest_timeout;
        let ended = self.ended.clone();
        self.tasks
            .spawn(ended.run_until_cancelled_owned(serving.stop(longest)));
    }
}
