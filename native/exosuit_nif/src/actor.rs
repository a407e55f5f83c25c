//! Actors in the router's table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use exosuit_core::{Answer, Code, Deliver, Error, Grants, Identity, Invocation, LogGate};
use exosuit_engine::{Actor, ActorOptions, Instances, Limits, WasiGrants};
use exosuit_router::{ActorLimits, Publication};
use rustler::types::atom;
use rustler::{Atom, Encoder, Env, LocalPid, Monitor, NifResult, Resource, ResourceArc, Term};

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
}

/// Makes an actor's entry, or changes how many calls it takes.
#[rustler::nif]
fn actor_specify<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    actor: &str,
    instances: u32,
    queue: u32,
) -> Term<'a> {
    let limits = ActorLimits { instances, queue };
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

/// Public key, call alias, capabilities or `:links`, Unix time of expiry.
type Claimed<'a> = (Option<String>, Option<String>, Term<'a>, Option<u64>);

/// Bytes of memory, elements of a table, lines of log in a second.
type Bounds = (usize, Option<usize>, Option<u32>);

/// Opens an actor's entry to calls for as long as the calling process lives.
#[rustler::nif]
fn actor_publish<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    actor: &str,
    module: ResourceArc<CompiledModule>,
    claimed: Claimed<'a>,
    bounds: Bounds,
) -> NifResult<Term<'a>> {
    let identity = identity(claimed)?;
    let published = publish(host.inner(), actor, &module, identity, bounds)
        .and_then(|published| watched(env, published));
    Ok(match published {
        Ok(published) => ok(env, published),
        Err(error) => failure(env, &error),
    })
}

fn publish(
    host: &Arc<Inner>,
    actor: &str,
    module: &CompiledModule,
    identity: Identity,
    bounds: Bounds,
) -> Result<ResourceArc<Published>, Error> {
    let id = id(actor)?;
    let options = ActorOptions {
        id: id.clone(),
        limits: limits(bounds),
        instances: Instances::Ephemeral,
        config: BTreeMap::new(),
        grants: WasiGrants::default(),
        outbound: host.deliver(),
        log: log_gate(host, bounds),
    };
    let target = Arc::new(Reaped::new(engine()?.actor(module.module(), options)?));
    let publication = host.router.publish_actor(&id, identity, target)?;
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

fn limits((memory, table, _log): Bounds) -> Limits {
    let defaults = Limits::default();
    Limits {
        memory_bytes: memory,
        table_elements: table.unwrap_or(defaults.table_elements),
        ..defaults
    }
}

/// The host's, in which each actor has its share; or one with the rate that the actor was given.
fn log_gate(host: &Inner, (_memory, _table, log): Bounds) -> Arc<LogGate> {
    match log {
        None => Arc::clone(&host.log),
        Some(rate) => Arc::new(LogGate::new(
            host.notices.clone(),
            rate,
            rate.max(crate::host::LOG_BURST),
        )),
    }
}

fn identity(
    (public_key, call_alias, capabilities, expires_at): Claimed<'_>,
) -> NifResult<Identity> {
    // No other atom grants anything: a `nil` by mistake must not.
    let grants = match capabilities.atom_to_string().as_deref() {
        Ok("links") => Grants::Links,
        _ => Grants::Capabilities(capabilities.decode()?),
    };
    Ok(Identity {
        public_key,
        call_alias,
        grants,
        expires_at,
    })
}
