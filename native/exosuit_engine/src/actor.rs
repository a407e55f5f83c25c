//! An actor: a module with an identity, limits, and a way for its calls.
//!
//! The calls of an actor share [`Inner`]; its instances share only [`ActorShared`], which knows no code.
//!
//! # Who owns what
//!
//! ```text
//! Actor ──┬─► Inner ──┬─► ActorShared ─► EngineCore     held by each running call
//!         │           └─► Module ─► code                held by each running call
//!         ├─► Pool  ─► warm instances                   held by the actor alone
//!         └─► Pins  ─► instances with resources         held by the actor alone
//! ```
//!
//! `exosuit_nif` makes an actor for each publication, and the router holds it. When the router drops it, the warm and
//! the pinned instances go at once. Running calls go on until they end or are dropped: they hold [`Inner`], so the
//! code stays mapped for them. Each call has a weak reference to the pools, so an instance that is ready to rest after
//! that is dropped instead.
//!
//! # How a call ends
//!
//! [`Actor::deliver`](Deliver::deliver) returns a future. Whoever polls it runs the guest: a scheduler of the BEAM for
//! the first poll of a call from Elixir, a thread of Tokio otherwise. It ends by the answer, by a trap, or at the
//! deadline, for which a timer of Tokio runs beside the guest. The epoch makes a guest in a loop yield after each
//! millisecond, so the timer always gets its turn.
//!
//! Dropping the future drops the instance with its memory: that is how a cancelled call, a dead caller and a stopped
//! actor end a guest. The guest notices nothing and cannot prevent it. A call to the outside that it waits for is
//! dropped with it.
//!
//! # What its bounds are
//!
//! The engine bounds how many instances of an actor are at work ([`Share`]). How many of its calls run, and how many
//! wait for that, is the router's (`admission` of `exosuit_router`), which knows the calls before they come here.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Instant;

use exosuit_core::{Answer, Context, Deliver, Id, Invocation, LogLevel, Reply, bounded};
use tokio::sync::Semaphore;

use crate::abi::{Pins, Pool};
use crate::actor_shared::{ActorShared, ReportLosses};
use crate::configuration::MAX_TABLE_ELEMENTS;
use crate::share::Share;
use crate::simulation::Simulated;
use crate::{ActorOptions, Error, Limits, Module, sandbox};

/// The most unanswered imports that the log names at the start of an actor.
const MAX_NAMED: usize = 16;

/// A module with an identity, limits and a way out. Cheap to clone; calls run concurrently, each
/// in an instance that it has to itself.
///
/// It answers at the deadline of a call at the latest. It does not decide who may call it, nor where its
/// own calls go: both are the router's.
#[derive(Clone)]
pub struct Actor {
    inner: Arc<Inner>,
    /// Its warm instances. Outside of `inner`, which running calls hold: warm instances go with the actor,
    /// not with its last call.
    pool: Option<Arc<Pool>>,
    /// Its instances that hold resources for callers. They go with the actor as well.
    pins: Arc<Pins>,
}

/// The part of an actor that its calls hold while they run. The code stays mapped until the last call ends, even if
/// the actor is gone.
struct Inner {
    shared: Arc<ActorShared>,
    module: Module,
}

impl Actor {
    /// An actor of this module. Fails if an instance would start beyond the limits, or if a granted directory cannot
    /// be found. May block for ten seconds in the second case.
    ///
    /// Limits on tables beyond the size of a slot are lowered to it here, so that the limiter names the limit that
    /// holds.
    pub(crate) fn new(module: &Module, options: ActorOptions) -> Result<Self, Error> {
        module.starts_within(&options.limits)?;
        let engine = module.core();
        let pool = Pool::new(options.instances, engine.reserve());
        let shared = Arc::new(ActorShared {
            simulated: Simulated::new(options.simulation, options.id.as_str()),
            id: options.id,
            limits: Limits {
                table_elements: options.limits.table_elements.min(MAX_TABLE_ELEMENTS),
                ..options.limits
            },
            engine: Arc::clone(engine),
            config: options.config,
            grants: sandbox::located(options.grants)?,
            outbound: options.outbound,
            log: options.log,
            share: Share::of(engine.slots(), &module.0.needs),
            opening: Arc::new(Semaphore::new(sandbox::MAX_OPENING)),
        });
        let module = module.clone();
        let inner = Arc::new(Inner { shared, module });
        let pins = Pins::new();
        Ok(Self { inner, pool, pins })
    }

    /// Instantiates the module once, as a call would, and drops the instance, so that a module that cannot start fails
    /// before anybody depends on it. A full pool is no failure: a later call may find room. The start function of the
    /// module runs, and may log and call out.
    ///
    /// It takes no permit of the actor's share, and needs a Tokio context. Dropping the future ends it.
    ///
    /// # Errors
    ///
    /// Those of a call that fails before its guest runs: `trap`, `limit`, `io` for a directory that does not open, and
    /// `deadline`.
    pub async fn rehearse(&self, deadline: Instant) -> Result<(), exosuit_core::Error> {
        let context = Context::until(deadline);
        let Inner { shared, module } = &*self.inner;
        let starting = pin!(async {
            let instance = module.0.prepared.instantiate(shared, context);
            let instance = pin!(instance);
            match shared.engine.ticker().during(instance).await {
                Ok(()) | Err(Error::Overloaded(_)) => Ok(()),
                Err(error) => Err(error.into()),
            }
        });
        bounded(starting, deadline, None).await
    }

    /// Logs the imports that nothing here answers, the first sixteen by name. Called when the actor begins to serve,
    /// so that a rehearsal or a refused publication logs nothing.
    pub fn warn_of_unanswered(&self) {
        let Inner { shared, module } = &*self.inner;
        let ActorShared { id, log, .. } = &**shared;
        let unanswered = module.unanswered();
        let warn = |text: String| log.write(id, LogLevel::Warning, &text);
        for import in unanswered.iter().take(MAX_NAMED) {
            warn(format!(
                "nothing here answers the import {import}: a call of it fails"
            ));
        }
        if let Some(more @ 1..) = unanswered.len().checked_sub(MAX_NAMED) {
            warn(format!("nothing here answers {more} more imports"));
        }
    }

    /// The id of the actor on this host: the origin of its calls, and the name on its log lines.
    pub fn id(&self) -> &Id {
        &self.inner.shared.id
    }

    /// The code that runs. Two actors of one content have one module: see [`Module::shares_code_with`].
    pub fn module(&self) -> &Module {
        &self.inner.module
    }
}

impl Deliver for Actor {
    /// Calls the guest. The pool is held weakly: a running call must not keep the warm instances of an actor
    /// that was replaced.
    fn deliver(&self, invocation: Invocation) -> Answer {
        let actor = Arc::clone(&self.inner);
        let pool = self.pool.as_ref().map_or_else(Weak::new, Arc::downgrade);
        let pins = Arc::downgrade(&self.pins);
        Box::pin(async move {
            let deadline = invocation.context.deadline;
            // Pinned on the spot: the future has kilobytes, and each move would copy them.
            let call = pin!(answer(&actor, &pool, &pins, invocation));
            bounded(call, deadline, None).await
        })
    }

    /// Bounds how many instances may hold resources for callers: no more than the router admits calls. Calls
    /// themselves are not counted here.
    fn set_instances(&self, instances: u32) {
        self.pins.set_instances(instances as usize);
    }

    /// Wasmbus modules name the link of a call (its *binding*). Components cannot: theirs is `default`.
    fn names_links(&self) -> bool {
        !self.inner.module.is_component()
    }
}

/// Runs a call, with the epoch advancing while it is polled. Lost log lines are reported at its end, also if it is
/// dropped.
///
/// The check of the deadline at the start is for calls that waited in the router's queue: they need no instance any
/// more. The future inside is pinned on the stack of this one, for the same reason as in [`Actor::deliver`].
async fn answer(
    actor: &Inner,
    pool: &Weak<Pool>,
    pins: &Weak<Pins>,
    call: Invocation,
) -> Result<Reply, exosuit_core::Error> {
    if Instant::now() >= call.context.deadline {
        return Err(Error::Deadline.into());
    }
    let Inner { shared, module } = actor;
    let _losses = ReportLosses(shared);
    let call = pin!(module.0.prepared.call(shared, pool, pins, call));
    Ok(shared.engine.ticker().during(call).await?)
}
