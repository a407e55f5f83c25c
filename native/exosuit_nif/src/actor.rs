//! Actors in the router's table. [`settings`] is what they are published with.

pub(crate) mod settings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use exosuit_core::{Answer, Code, Deliver, Error, Identity, Invocation};
use exosuit_engine::Actor;
use exosuit_router::{ActorLimits, Publication};
use rustler::types::atom;
use rustler::{Atom, Encoder, Env, LocalPid, Monitor, Resource, ResourceArc, Term};
use tokio::task::spawn_blocking;

use self::settings::{Claimed, Settings};
use crate::engine::engine;
use crate::host::{Host, Inner};
use crate::module::CompiledModule;
use crate::reply::{To, answer, done};
use crate::runtime::{Reaped, runtime};
use crate::term::{failure, id, ok};

/// That a process runs an actor: ends with the process, or with the last reference to it.
pub(crate) struct Published {
    host: Reaped<Arc<Inner>>,
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

impl Deliver for Reaped<Actor> {
    fn deliver(&self, invocation: Invocation) -> Answer {
        Actor::deliver(self, invocation)
    }

    fn names_links(&self) -> bool {
        Actor::names_links(self)
    }
}

/// Makes an actor's entry, or changes how many calls it takes, and for how long.
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

/// Removes an actor's entry; what runs in it is dropped.
#[rustler::nif]
fn actor_forget<'a>(env: Env<'a>, host: ResourceArc<Host>, actor: &str) -> Term<'a> {
    let forget = |id| {
        host.router().forget_actor(&id);
        host.inner().log.forget(&id);
    };
    done(env, id(actor).map(forget))
}

/// Removes an actor's entry, at once. Answers when its calls have finished, or after so many
/// milliseconds, which drops the rest; its publication must live until then.
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
    let log = Arc::clone(&host.inner().log);
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

/// Has calls to an actor refused at once with this reason, until it is published.
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

/// Makes an actor, instantiates it once within so many milliseconds, and drops it: what keeps it from
/// starting. It has no entry, and gets no call.
#[rustler::nif]
fn actor_rehearse<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    actor: &str,
    module: ResourceArc<CompiledModule>,
    settings: Settings,
    timeout_ms: u64,
    to: To<'a>,
) -> Term<'a> {
    let id = match id(actor) {
        Ok(id) => id,
        Err(error) => return failure(env, &error),
    };
    let options = settings.into_options(id, host.inner());
    // A time beyond the clock's reach is as good as a day.
    let timeout = Duration::from_millis(timeout_ms).min(Duration::from_hours(24));
    answer(env, to, async move {
        let deadline = Instant::now() + timeout;
        // It looks for directories, and a file system may let it wait.
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

/// Ends a publication that another one has followed: when its calls have finished, or after so many
/// milliseconds, which drops the rest. Nobody is told.
#[rustler::nif]
fn actor_supersede(publication: ResourceArc<Published>, grace_ms: u64) -> Atom {
    let grace = Duration::from_millis(grace_ms);
    let router = &publication.host.router;
    let ending = router.supersede_actor(&publication.publication, grace);
    runtime().spawn(async move {
        ending.await;
        // Dropped any earlier, it would be retracted with the calls that run in it.
        drop(publication);
    });
    atom::ok()
}

/// Opens the entry of an actor, by its id and the lineage of its code, to calls for as long as the
/// calling process lives. It looks for the
/// directories that the actor is granted, and a file system may let it wait.
#[rustler::nif(schedule = "DirtyIo")]
fn actor_publish<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    actor: (&str, &str),
    module: ResourceArc<CompiledModule>,
    claimed: Claimed,
    settings: Settings,
) -> Term<'a> {
    let published = publish(host.inner(), actor, &module, claimed.into(), settings)
        .and_then(|published| watched(env, published));
    match published {
        Ok(published) => ok(env, published),
        Err(error) => failure(env, &error),
    }
}

fn publish(
    host: &Arc<Inner>,
    (actor, lineage): (&str, &str),
    module: &CompiledModule,
    identity: Identity,
    settings: Settings,
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

fn watched(
    env: Env<'_>,
    published: ResourceArc<Published>,
) -> Result<ResourceArc<Published>, Error> {
    match published.monitor(Some(env), &env.pid()) {
        Some(_monitor) => Ok(published),
        None => Err(Error::new(
            Code::Dropped,
            "the process that publishes has ended",
        )),
    }
}
