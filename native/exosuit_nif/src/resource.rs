//! Resources of WIT in Elixir: the reference in an `Exosuit.Resource`.
//!
//! A resource ends by `Exosuit.Resource.drop`, by garbage collection of its reference, or with the process that got
//! it, whichever comes first. The last case matters most: a process that crashes must not leave a guest's instance
//! pinned. So the reference monitors its process. A process that hands the struct to another one stays its owner, but
//! not if it answers a guest's call with it: the process ends then, often before the guest has the answer.
//!
//! Destructors are code of guests and providers. They run on Tokio, never on the scheduler that collects garbage, and
//! nobody waits for them.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use exosuit_core::Handle;
use rustler::thread::is_scheduler_thread;
use rustler::types::atom;
use rustler::{Atom, Encoder, Env, LocalPid, Monitor, Resource, ResourceArc, Term};

use crate::runtime::Reaped;

mod atoms {
    rustler::atoms! {
        __struct__,
        // The module, and the fields of its struct.
        resource = "Elixir.Exosuit.Resource",
        r#ref = "ref",
        r#type = "type",
        owner,
        state,
    }
}

/// A handle that Elixir has. Its resource ends with the process that got it, or with the last reference to it.
pub(crate) struct ResourceRef {
    handle: Reaped<Handle>,
    /// Whether it is in the answer to a guest, which owns it from then on.
    is_answered: AtomicBool,
}

#[rustler::resource_impl]
impl Resource for ResourceRef {
    /// The process that got it has ended. Runs on a scheduler.
    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        if !self.is_answered.load(SeqCst) {
            self.end();
        }
    }
}

impl ResourceRef {
    /// The handle, to be an argument of a call.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The handle, to be in the answer to a guest.
    pub(crate) fn answered(&self) -> Handle {
        self.is_answered.store(true, SeqCst);
        self.handle()
    }

    /// Drops the resource, on Tokio. Others may be left in its instance, which then goes on.
    fn end(&self) {
        if let Some(held) = self.handle.take() {
            drop(Reaped::new(held));
        }
    }
}

/// The struct for a handle. `owner` is the process that gets it. A lent resource has none: it ends with the call
/// that it is lent for, whatever becomes of the struct.
pub(crate) fn resource_term<'a>(
    env: Env<'a>,
    handle: &Handle,
    owner: Option<&LocalPid>,
) -> Term<'a> {
    let held = handle.get();
    let held = held.as_ref();
    let kind = held.and_then(|held| held.kind());
    let maker = held.and_then(|held| held.maker());
    let reference = ResourceArc::new(ResourceRef {
        handle: Reaped::new(handle.clone()),
        is_answered: AtomicBool::new(false),
    });
    if let Some(owner) = owner
        && !handle.is_lent()
        // A scheduler may monitor only in the environment of its NIF, and Tokio only without one.
        && reference
            .monitor(is_scheduler_thread().then_some(env), owner)
            .is_none()
    {
        reference.end();
    }
    let pairs = [
        (atoms::__struct__(), atoms::resource().encode(env)),
        (atoms::r#ref(), reference.encode(env)),
        (atoms::r#type(), kind.encode(env)),
        (atoms::owner(), maker.encode(env)),
    ];
    // The keys are distinct, so the map cannot be refused.
    Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env))
}

/// The thing that an `Exosuit.Resource` refers to.
pub(crate) enum Referred<'a> {
    /// A resource that this VM has a handle of.
    Handle(ResourceArc<ResourceRef>),
    /// The state of a resource that a provider has just made.
    State(Term<'a>),
    /// A struct that was made by hand.
    Nothing,
}

/// The reference in a map, if that is an `Exosuit.Resource`.
pub(crate) fn referred(map: Term<'_>) -> Option<Referred<'_>> {
    let env = map.get_env();
    let module = map.map_get(atoms::__struct__().to_term(env)).ok()?;
    if atoms::resource() != module {
        return None;
    }
    let reference = map.map_get(atoms::r#ref().to_term(env)).ok();
    let handle = reference.and_then(|term| term.decode::<ResourceArc<ResourceRef>>().ok());
    if let Some(handle) = handle {
        return Some(Referred::Handle(handle));
    }
    let made = reference.and_then(|term| term.decode::<(Atom, Term<'_>)>().ok());
    Some(match made {
        Some((tag, state)) if tag == atoms::state() => Referred::State(state),
        _ => Referred::Nothing,
    })
}

/// Drops a resource, unless it was dropped or given away before. Its destructor runs on Tokio. Always `:ok`: dropping
/// twice does no harm.
#[rustler::nif]
fn resource_drop(resource: ResourceArc<ResourceRef>) -> Atom {
    resource.end();
    atom::ok()
}
