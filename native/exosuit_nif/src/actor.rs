//! Actors in the router's table. [`settings`] decodes the settings that they are published with.
//!
//! The life of an entry: `actor_specify` creates it, `actor_publish` opens it to calls,
//! `actor_supersede` ends a version that another one has replaced, `actor_retire` or `actor_forget`
//! removes it. Between them calls wait for a short time, or fail at once after `actor_fail`.
//!
//! # Threads
//!
//! `Exosuit.Router` calls these NIFs, mostly for the process of the actor (`Exosuit.Actor`). Most of
//! them change the router's table, under a lock that is held for microseconds, and run on a normal
//! scheduler. Creating an actor in the engine opens its granted directories, and a file system may
//! not answer for seconds. So `actor_publish` runs on a dirty I/O scheduler, and `actor_rehearse`
//! uses a blocking thread of Tokio.
//!
//! # When a process ends
//!
//! A publication monitors the process that made it. When that process ends, for any reason, the
//! router drops the calls that run in the publication. The entry stays with its limits, and later
//! calls wait for the next publication, for `restart_wait_ms` of the host at most. Processes crash,
//! entries do not: only `actor_retire` and `actor_forget` remove one.
//!
//! An update publishes twice from one process. Both publications exist for a while: new calls go to
//! the later one, and running calls finish in the earlier one.

pub(crate) mod settings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use exosuit_core::{Answer, Code, Deliver, Error, Identity, Invocation};
use exosuit_engine::Actor;
use exosuit_router::{ActorLimits, Publication};
use rustler::types::atom;
use rustler::{Atom, Encoder, Env, LocalPid, Monitor, Resource, ResourceArc, Term};
use tokio::task::spawn_blocking;

use self::settings::{ActorSettings, Claimed};
use crate::engine::engine;
use crate::host::{Host, HostState};
use crate::module::CompiledModule;
use crate::reply::{To, answer, done};
use crate::runtime::{Reaped, runtime};
use crate::term::{failure, id, ok};

/// A published version of an actor. It ends with the process that published it, or with the last
/// reference to it.
///
/// Retracting it twice does no harm: the router ignores a publication that has been followed by
/// another one, or has ended.
pub(crate) struct Published {
    /// The host whose table has the entry. It may be the last reference to that host, whose end
    /// closes sockets, so it is dropped on Tokio.
    host: Reaped<Arc<HostState>>,
    /// The handle that the router gave for this version.
    publication: Publication,
}

#[rustler::resource_impl]
impl Resource for Published {
    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.host.router.retract_actor(&self.publication);
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.host.router.retract_actor(&self.publication);
    }
}

/// The router calls an actor through this. The engine unmaps its code on Tokio when the last call
/// ends.
///
/// Without `Reaped`, the last reference could be dropped by a call that ends on a scheduler, and
/// unmapping the code of a large module takes milliseconds.
impl Deliver for Reaped<Actor> {
    fn deliver(&self, invocation: Invocation) -> Answer {
        Actor::deliver(self, invocation)
    }

    fn set_instances(&self, instances: u32) {
        Actor::set_instances(self, instances);
    }

    fn names_links(&self) -> bool {
        Actor::names_links(self)
    }
}

/// Creates an actor's entry, or changes its limits: how many instances run at once, how many calls
/// wait, and how long a call may take in milliseconds (`nil` for no bound of its own).
///
/// Calls to a new entry wait until it is published. Changed limits hold at once; running calls are
/// not interrupted by smaller ones. Returns `:ok`, or the error `conflict` if the id is the name of
/// something else on this host.
#[rustler::nif]
fn actor_specify<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    actor: &str,
    instances: u32,
    queue: u32,
    deadline_ms: Option<u64>,
) -> Term<'a> {
    let limits = ActorLimits {
        instances,
        queue,
        deadline: deadline_ms.map(Duration::from_millis),
    };
    done(
        env,
        id(actor).and_then(|id| host.router().specify_actor(id, limits)),
    )
}

/// Removes an actor's entry. Its running calls are dropped, waiting ones are refused, and its links
/// stay. Also forgets how much the actor has logged. An unknown actor is not an error.
#[rustler::nif]
fn actor_forget<'a>(env: Env<'a>, host: ResourceArc<Host>, actor: &str) -> Term<'a> {
    let forget = |id| {
        host.router().forget_actor(&id);
        host.state().log.forget(&id);
    };
    done(env, id(actor).map(forget))
}

/// Removes an actor's entry at once, and lets its running calls finish. Answers when they have, or
/// after `drain_ms`, which drops the rest.
///
/// The caller must hold the publication until then: its end would drop the running calls at once.
/// `Exosuit.Actor` therefore ends only after this answer.
#[rustler::nif]
fn actor_retire<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    actor: &str,
    drain_ms: u64,
    to: To<'a>,
) -> Term<'a> {
    let id = match id(actor) {
        Ok(id) => id,
        Err(error) => return failure(env, &error),
    };
    let log = Arc::clone(&host.state().log);
    let retiring = host
        .router()
        .retire_actor(&id, Duration::from_millis(drain_ms));
    answer(env, to, async move {
        retiring.await;
        log.forget(&id);
        Ok(())
    })
    .encode(env)
}

/// Refuses calls to an actor at once with this reason, until it is published. Waiting calls are
/// refused, too. The control plane uses it when it has given up starting the actor, so that callers
/// need not wait for `restart_wait_ms` each time.
#[rustler::nif]
fn actor_fail<'a>(env: Env<'a>, host: ResourceArc<Host>, actor: &str, reason: String) -> Term<'a> {
    done(
        env,
        id(actor).map(|id| {
            host.router()
                .fail_actor(&id, Error::new(Code::Unavailable, reason));
        }),
    )
}

/// Instantiates an actor once within `timeout_ms`, drops it, and answers whether that worked. It
/// has no entry in the table, and gets no calls.
///
/// An update rehearses the new version before it replaces the running one, so that a module that
/// traps at its start, or a directory that is missing, leaves the old version as it is. The start
/// function of the guest runs, so it may log and call out.
#[rustler::nif]
fn actor_rehearse<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    actor: &str,
    module: ResourceArc<CompiledModule>,
    settings: ActorSettings,
    timeout_ms: u64,
    to: To<'a>,
) -> Term<'a> {
    let id = match id(actor) {
        Ok(id) => id,
        Err(error) => return failure(env, &error),
    };
    let options = settings.into_options(id, host.state());
    // `Instant` overflows for huge timeouts; a day is long enough.
    let timeout = Duration::from_millis(timeout_ms).min(Duration::from_hours(24));
    answer(env, to, async move {
        let deadline = Instant::now() + timeout;
        // Opening the granted directories may block in the file system.
        let made = spawn_blocking(move || {
            engine()?
                .actor(module.module(), options)
                .map_err(Error::from)
        });
        let made = made.await;
        let made = made.map_err(|_| Error::new(Code::Internal, "the engine panicked"))??;
        made.rehearse(deadline).await
    })
    .encode(env)
}

/// Ends a publication that another one has replaced: when its calls have finished, or after
/// `grace_ms`, which drops the rest. Sends no message.
///
/// The process may forget the handle after this call: the task holds it. If the process ends before
/// that, the monitor retracts the publication, and its calls are dropped.
#[rustler::nif]
fn actor_supersede(publication: ResourceArc<Published>, grace_ms: u64) -> Atom {
    let grace = Duration::from_millis(grace_ms);
    let router = &publication.host.router;
    let ending = router.supersede_actor(&publication.publication, grace);
    runtime().spawn(async move {
        ending.await;
        // Dropping it earlier would retract it together with its running calls.
        drop(publication);
    });
    atom::ok()
}

/// Opens an actor's entry to calls, for as long as the calling process lives. `actor` is its id and
/// the lineage of its code. Opening the granted directories may block in the file system.
///
/// Returns `{:ok, publication}`. An error leaves the entry as it was: a former publication continues
/// to serve. Links that are bound to another lineage have no effect from now on (see `lineage` of
/// `exosuit_router`). A call alias that belongs to another actor is reported as a notice, and the
/// actor serves without it.
#[rustler::nif(schedule = "DirtyIo")]
fn actor_publish<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    actor: (&str, &str),
    module: ResourceArc<CompiledModule>,
    claimed: Claimed,
    settings: ActorSettings,
) -> Term<'a> {
    let published = publish(host.state(), actor, &module, claimed.into(), settings)
        .and_then(|published| watched(env, published));
    match published {
        Ok(published) => ok(env, published),
        Err(error) => failure(env, &error),
    }
}

/// Creates the actor in the engine, and publishes it in the router. Logs the imports that nothing
/// answers after the publication succeeded, so that a refused one warns of nothing.
fn publish(
    host: &Arc<HostState>,
    (actor, lineage): (&str, &str),
    module: &CompiledModule,
    identity: Identity,
    settings: ActorSettings,
) -> Result<ResourceArc<Published>, Error> {
    let id = id(actor)?;
    let options = settings.into_options(id.clone(), host);
    let target = Arc::new(Reaped::new(engine()?.actor(module.module(), options)?));
    let publication =
        host.router
            .publish_lineage(&id, lineage, identity, Arc::clone(&target) as _)?;
    target.warn_of_unanswered();
    Ok(ResourceArc::new(Published {
        host: Reaped::new(Arc::clone(host)),
        publication,
    }))
}

/// Ends the publication with the calling process. A process can end while its NIF runs on a dirty
/// scheduler; then there is nothing to monitor, and the publication ends here by its drop.
fn watched(
    env: Env<'_>,
    published: ResourceArc<Published>,
) -> Result<ResourceArc<Published>, Error> {
    match published.monitor(Some(env), &env.pid()) {
        Some(_monitor) => Ok(published),
        None => Err(Error::new(
            Code::Dropped,
            "the process that publishes the actor has ended",
        )),
    }
}
