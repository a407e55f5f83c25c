//! Actors: the entry of an actor, which outlives its processes, and the publications of these processes.
//!
//! An entry is in one of three states, which two watch channels hold:
//!
//! | `running` | `failure` | a call |
//! |---|---|---|
//! | something | – | runs there |
//! | nothing | nothing | waits for `restart_wait`, with at most `max_restart_waiters` others |
//! | nothing | an error | is refused with that error |
//!
//! Calls hold the [`Running`] that they were delivered to. A later publication does not move them: it takes the
//! calls that are decided from then on, and the former one ends when the last of its calls does.
//!
//! Nothing here drops a target under the lock of the table. Dropping one unmaps code and may call into Elixir's
//! processes, so replaced values are returned to the caller, who drops them outside.
//!
//! # The life of an actor
//!
//! 1. `Router::specify_actor` creates the entry. Calls wait from now on.
//! 2. `Router::publish_actor` sets `running`. Waiting calls wake and go on.
//! 3. An update publishes again. Calls of the former publication hold it; `Router::supersede_actor`
//!    waits for them.
//! 4. A crash retracts the publication. Its calls end, new ones wait for the next publication.
//! 5. If the host gives up, `Router::fail_actor` sets `failure`. A later publication clears it.
//! 6. `Router::forget_actor` or `Router::retire_actor` removes the entry.
//!
//! # The tokens
//!
//! ```text
//! forgotten            ends everything: running and waiting calls
//! ├── closed           ends the waiting calls (a retired actor cancels it first)
//! └── stopped          one for each publication: ends the calls in it
//! ```
//!
//! Cancelling a parent cancels its children, so `forget_actor` needs one call. `finished` of a
//! publication is separate: it is cancelled when the last call has let go of its `Running`.

use std::sync::Arc;

use exosuit_core::{Deliver, Error, Id, Identity};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::admission::Admission;
use crate::count::Count;
use crate::{ActorLimits, refusal};

/// The part of an actor that stays while its process restarts: its slots, and the calls that wait for it.
pub(crate) struct Actor {
    pub(crate) id: Id,
    /// Its slots and its queue. They stay while the process restarts, so a restart does not admit
    /// more calls.
    pub(crate) admission: Arc<Admission>,
    /// The number of calls that wait for it to run. Bounded, because each call holds its payload.
    pub(crate) patient: Count,
    /// Ends all running and waiting calls.
    pub(crate) forgotten: CancellationToken,
    /// Ends the waiting calls. It is a child of `forgotten`.
    pub(crate) closed: CancellationToken,
    /// The current publication. A watch channel, because a call reads it without waiting and those
    /// that wait for a restart are woken by it.
    running: watch::Sender<Option<Arc<Running>>>,
    /// The known reason why it will not run.
    failure: watch::Sender<Option<Error>>,
}

/// The publication of a process, as calls hold it.
///
/// Each call holds one `Arc`, and so does each response that still streams.
pub(crate) struct Running {
    /// Distinguishes publications of one entry: it counts up.
    pub(crate) generation: u64,
    /// The actor in the engine.
    pub(crate) target: Arc<dyn Deliver>,
    /// Drops the calls that run here. A child of the actor's `forgotten`.
    pub(crate) stopped: CancellationToken,
    /// Every call in the publication holds this structure, so it is dropped when the last call ends.
    _last: DropGuard,
}

/// The publication of an actor's process. The process gives it back when it ends.
///
/// Clones stand for the same publication. Only [`Router::retract_actor`](crate::Router::retract_actor) and
/// [`Router::supersede_actor`](crate::Router::supersede_actor) end it: dropping it does nothing,
/// because the process that owns it may be restarted by its supervisor.
#[derive(Debug, Clone)]
pub struct Publication {
    pub(crate) id: Id,
    pub(crate) generation: u64,
    pub(crate) stopped: CancellationToken,
    /// Cancelled when it serves no new call, and all its calls have ended.
    pub(crate) finished: CancellationToken,
}

/// An actor as an inventory shows it.
#[derive(Debug, Clone)]
pub struct ActorState {
    /// Its id.
    pub id: Id,
    /// How many calls it takes.
    pub limits: ActorLimits,
    /// Whether its process runs.
    pub published: bool,
    /// How many calls run in it, or hold a place while it restarts.
    pub running: usize,
    /// How many calls wait for a place.
    pub waiting: usize,
    /// The identity of its last publication.
    pub identity: Option<Arc<Identity>>,
}

impl Actor {
    /// An actor that does not run yet: calls to it wait.
    pub(crate) fn new(id: Id, limits: ActorLimits) -> Self {
        let forgotten = CancellationToken::new();
        Self {
            id,
            admission: Admission::new(limits),
            patient: Count::default(),
            closed: forgotten.child_token(),
            forgotten,
            running: watch::Sender::new(None),
            failure: watch::Sender::new(None),
        }
    }

    /// The publication in which a call would run now.
    pub(crate) fn running(&self) -> Option<Arc<Running>> {
        self.running.borrow().clone()
    }

    /// Sets other limits at once.
    ///
    /// The target is told as well: an actor keeps that many instances for reuse, and no more.
    pub(crate) fn change(&self, limits: ActorLimits) {
        self.admission.change(limits);
        if let Some(running) = self.running() {
            running.target.set_instances(limits.instances);
        }
    }

    /// Serves calls by `target` from now on. Returns the former publication, because code of other
    /// crates must not be dropped under the lock of the table.
    ///
    /// The failure is cleared before `running` is set. A call that is woken by the new publication
    /// can therefore not see an old failure.
    pub(crate) fn publish(
        &self,
        generation: u64,
        target: Arc<dyn Deliver>,
    ) -> (Publication, Option<Arc<Running>>) {
        target.set_instances(self.admission.limits().instances);
        let stopped = self.forgotten.child_token();
        let finished = CancellationToken::new();
        let publication = Publication {
            id: self.id.clone(),
            generation,
            stopped: stopped.clone(),
            finished: finished.clone(),
        };
        let running = Running {
            generation,
            target,
            stopped,
            _last: finished.drop_guard(),
        };
        self.failure.send_replace(None);
        let before = self.running.send_replace(Some(Arc::new(running)));
        (publication, before)
    }

    /// Ends this publication, if it is still the current one.
    ///
    /// `None` if another publication has followed. The comparison and the change are one step under
    /// the channel's lock, so a retraction cannot end a successor that is published at the same
    /// time.
    pub(crate) fn retract(&self, generation: u64) -> Option<Arc<Running>> {
        let mut ended = None;
        self.running.send_if_modified(|running| {
            if running
                .as_ref()
                .is_some_and(|running| running.generation == generation)
            {
                ended = running.take();
            }
            ended.is_some()
        });
        ended
    }

    /// Whether it does not run, and no start is due.
    ///
    /// Such an actor is not announced to other hosts, so that they call it elsewhere.
    pub(crate) fn is_given_up(&self) -> bool {
        self.running.borrow().is_none() && self.failure.borrow().is_some()
    }

    /// Waits until it runs.
    ///
    /// Returns at once if it runs already. It may have stopped again before the caller looks, so
    /// the caller decides anew.
    pub(crate) async fn published(&self) {
        let mut running = self.running.subscribe();
        // It fails only if the sender is gone, and the sender is a field of this struct.
        let _ = running.wait_for(Option::is_some).await;
    }

    /// Fails the waiting calls, and later ones, with this error, until the actor is published.
    ///
    /// An actor that runs keeps serving: only those that wait look at the failure.
    pub(crate) fn fail(&self, error: Error) {
        self.failure.send_replace(Some(error));
    }

    /// Waits until it is known that it will not run. Returns the reason.
    pub(crate) async fn failed(&self) -> Error {
        let mut failure = self.failure.subscribe();
        let found = failure.wait_for(Option::is_some).await;
        // An error would say that the sender is gone, which is a field of ours.
        let error = found.ok().and_then(|error| error.clone());
        error.unwrap_or_else(|| refusal::not_running(&self.id))
    }

    /// The numbers are read one after the other, so they may belong to different moments.
    pub(crate) fn state(&self, identity: Option<Arc<Identity>>) -> ActorState {
        ActorState {
            id: self.id.clone(),
            limits: self.admission.limits(),
            published: self.running.borrow().is_some(),
            running: self.admission.running(),
            waiting: self.admission.waiting(),
            identity,
        }
    }
}
