//! Resources that providers in Elixir make: each is a state, which is any term.
//!
//! The provider gets the state itself where a guest gives or lends the resource, and hears of its end.
//!
//! A state is copied into an environment of its own when the provider returns it, and copied out for each call that
//! gets it: large states cost time, and belong into a process or a table whose key is the state.
//!
//! When the last handle is gone, the provider is told ([`Maker::end`]), once, unless it has the resource back. This
//! also holds for an answer that comes after its caller has given up, and for one that does not fit: a resource has
//! its maker from the moment that the provider answers. A resource gets its type from the guest, which such an answer
//! may never have reached. Then the end is told without a type, unless the name of the function says it.
//!
//! A provider that restarts has forgotten its resources. They are known by the running provider that made them, so its
//! successor refuses them instead of getting a state that it does not understand.
//!
//! # Bounds
//!
//! An instance of a guest holds at most 4096 resources of others; one more is an error for it, and ends at once. A
//! guest that makes and drops resources without end is slowed down by the provider: the end of a resource needs a
//! permit of `max_calls`, and while ends wait for one, calls that would make resources are refused as `overloaded`. The
//! size of a state is the provider's choice.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use exosuit_core::{Code, Error, Handle, Held, Id, Value};
use parking_lot::Mutex;
use rustler::env::SavedTerm;
use rustler::{Env, OwnedEnv, Term};

/// The provider that made a resource, and the link that it made it for.
pub(super) trait Maker: Send + Sync {
    /// The id of the provider.
    fn id(&self) -> &Id;

    /// A number of the running provider, which its successor of the same id does not have.
    fn key(&self) -> usize;

    /// Tells it that a resource has ended. `kind` is its type, if a guest has given it one.
    fn end(&self, kind: Option<Box<str>>, state: (OwnedEnv, SavedTerm));
}

/// A resource of a provider in Elixir.
pub(crate) struct ProviderResource {
    /// Taken when the provider is told of the end.
    state: State,
    /// Known when the provider answers.
    maker: OnceLock<Arc<dyn Maker>>,
    /// Known when a guest gets it, or checks the answer that it is in.
    kind: OnceLock<Box<str>>,
    /// Whether the provider has it back.
    is_given: AtomicBool,
}

/// A term in an environment of its own.
struct State(Mutex<Option<(OwnedEnv, SavedTerm)>>);

impl ProviderResource {
    /// The handle to a resource that a provider makes.
    pub(crate) fn handle(state: Term<'_>) -> Handle {
        let env = OwnedEnv::new();
        let saved = env.save(state);
        Handle::new(Arc::new(Self {
            state: State(Mutex::new(Some((env, saved)))),
            maker: OnceLock::new(),
            kind: OnceLock::new(),
            is_given: AtomicBool::new(false),
        }))
    }

    /// The state, copied into an environment.
    fn state<'a>(&self, env: Env<'a>) -> Option<Term<'a>> {
        let state = self.state.0.lock();
        let (own, saved) = state.as_ref()?;
        Some(own.run(|own| saved.clone().load(own).in_env(env)))
    }
}

/// The state of a resource, for the provider that made it. A resource that is given away is gone from then on,
/// without a word to the provider: it has it.
pub(crate) fn state_term<'a>(env: Env<'a>, handle: &Handle) -> Option<Term<'a>> {
    let held = handle.get()?;
    let resource: &ProviderResource = held.as_any().downcast_ref()?;
    let state = resource.state(env);
    if !handle.is_lent() && handle.take().is_some() {
        resource.is_given.store(true, SeqCst);
    }
    state
}

/// Joins the resources in the answer of a provider with their maker.
pub(super) fn settle(value: &Value, maker: &Arc<dyn Maker>) {
    value.resources(&mut |handle| {
        if let Some(held) = handle.get()
            && let Some(resource) = held.as_any().downcast_ref::<ProviderResource>()
        {
            // One that the provider had before keeps its link.
            let _ = resource.maker.set(Arc::clone(maker));
        }
    });
}

/// Refuses resources of other providers: their states are theirs.
pub(super) fn check(values: &[Value], maker: &dyn Maker) -> Result<(), Error> {
    let mut refused = None;
    for value in values {
        value.resources(&mut |handle| {
            if let Some(held) = handle.get()
                && let Some(resource) = held.as_any().downcast_ref::<ProviderResource>()
                && let Some(other) = resource.maker.get()
                && other.key() != maker.key()
            {
                refused.get_or_insert_with(|| foreign(resource, &**other, maker));
            }
        });
    }
    refused.map_or(Ok(()), Err)
}

/// The type that a constructor makes, by its name: `acme:shop/carts/cart` for
/// `acme:shop/carts@1.2.0#[constructor]cart`.
pub(super) fn constructed(operation: &str) -> Option<String> {
    let (interface, name) = operation.split_once("#[constructor]")?;
    let unversioned = interface.split('@').next()?;
    Some(format!("{unversioned}/{name}"))
}

/// The error for a resource of another provider, or of this one before it restarted.
fn foreign(resource: &ProviderResource, made_by: &dyn Maker, called: &dyn Maker) -> Error {
    let kind = resource.kind().unwrap_or("of no type yet");
    let (made_by, called) = (made_by.id(), called.id());
    let detail = if made_by == called {
        format!("the resource {kind} is gone: provider {made_by} has restarted since it was made")
    } else {
        format!(
            "the resource {kind} was made by provider {made_by}, and provider {called} does not know it"
        )
    };
    Error::new(Code::InvalidInput, detail)
}

impl Held for ProviderResource {
    fn kind(&self) -> Option<&str> {
        self.kind.get().map(|kind| &**kind)
    }

    fn is_of(&self, kind: &str) -> bool {
        &**self.kind.get_or_init(|| kind.into()) == kind
    }

    fn maker(&self) -> Option<&str> {
        self.maker.get().map(|maker| maker.id().as_str())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for ProviderResource {
    fn drop(&mut self) {
        if *self.is_given.get_mut() {
            return;
        }
        if let (Some(maker), Some(state)) = (self.maker.take(), self.state.0.get_mut().take()) {
            maker.end(self.kind.take(), state);
        }
    }
}
