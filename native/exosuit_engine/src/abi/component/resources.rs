//! Resources on their way into a guest and out of it.
//!
//! - [`Entering`]: checks the handles that a guest gets, and makes resources of them.
//! - [`Leaving`]: makes handles of the resources that a guest gives.
//! - [`call_with_resources`]: a call with such values.
//!
//! Outside of a guest a resource is a `Handle`, which Elixir, other actors and other instances hold. Inside it is an
//! index into the instance's own table, which wasmtime keeps. Two homes are told apart ([`Home`]): a resource of the
//! component itself lives in one instance, and goes back in as what it was; a resource of somebody else enters as a
//! number (see `held`), and comes out as the handle that it stands for.
//!
//! # All or nothing
//!
//! A call takes all of its resources or none. [`Entering`] checks each handle while the arguments are converted
//! ([`Rules`]), and changes no handle yet. [`Entering::commit`] then takes those that are given away. If another
//! call has given one away in the meantime, the call fails before the guest runs, and everything that entered is
//! dropped again.
//!
//! Borrowed resources are dropped in the instance when the call returns: wasmtime makes the guest give back its
//! borrows.

use std::collections::HashMap;
use std::sync::Arc;

use exosuit_core::{Handle, Held, Loan, Reply, Value};
use wasmtime::AsContextMut;
use wasmtime::component::{ResourceAny, ResourceDynamic, Val};

use super::function::{Function, input, off_scheduler};
use super::guest::ComponentGuest;
use super::held::MAX_RESOURCES;
use super::kinds::{Home, Kind};
use super::pin::{GuestResource, Pin};
use super::state::ComponentState;
use super::value::{GiveOut, Misfit, TakeIn, lift, lower_all};
use crate::Error;
use crate::actor_shared::ActorShared;
use crate::explain::{MAX_NAME, cut};

/// The pinned instance that a call of an actor with these values runs in: the one that the resources live in which
/// the actor has made.
pub(super) fn pin_of(values: &[Value], actor: &Arc<ActorShared>) -> Option<Arc<Pin>> {
    let mut found: Option<Arc<Pin>> = None;
    for value in values {
        value.resources(&mut |handle| {
            let held = handle.get();
            let resource = held.as_ref().and_then(|held| guest_resource(&**held));
            if let Some(resource) = resource
                && Arc::ptr_eq(&resource.pin.actor, actor)
                && found.as_ref().is_none_or(|found| found.ended().is_some())
            {
                found = Some(Arc::clone(&resource.pin));
            }
        });
    }
    found
}

/// The resource of a guest, if it is one.
fn guest_resource(held: &dyn Held) -> Option<&GuestResource> {
    held.as_any().downcast_ref()
}

/// Whether handles may enter an instance.
pub(super) struct Rules<'a> {
    /// The actor that gets the handles.
    actor: Arc<ActorShared>,
    /// The instance that the call runs in, if it is pinned.
    pin: Option<&'a Arc<Pin>>,
    /// The handles of this call, and whether they are given away.
    seen: HashMap<usize, bool>,
}

impl<'a> Rules<'a> {
    pub(super) fn new(actor: Arc<ActorShared>, pin: Option<&'a Arc<Pin>>) -> Self {
        Self {
            actor,
            pin,
            seen: HashMap::new(),
        }
    }

    /// Whether this handle may enter, as a resource of this type. The error says why not, for the caller.
    fn check(
        &mut self,
        handle: &Handle,
        kind: &Arc<Kind>,
        is_given: bool,
    ) -> Result<Arc<dyn Held>, Misfit> {
        let gone = || Misfit::new("the resource was dropped or given away before");
        let held = handle.get().ok_or_else(gone)?;
        match kind.home {
            Home::Here => self.check_own(&*held, kind)?,
            Home::Elsewhere(_) => {
                if !held.is_of(&kind.name) {
                    return Err(another(kind, &*held));
                }
            }
        }
        if let Some(why) = held.ended() {
            return Err(Misfit::new(format!("the resource is gone: {why}")));
        }
        if is_given && handle.is_lent() {
            return Err(Misfit::new(
                "the resource is borrowed, and a borrower cannot give it away",
            ));
        }
        let before = self.seen.insert(handle.key(), is_given);
        if before.is_some_and(|was_given| was_given || is_given) {
            return Err(Misfit::new(
                "the resource is given away, and cannot be in the same call twice",
            ));
        }
        Ok(held)
    }

    /// Whether a resource of the component itself lives in the instance of the call.
    fn check_own(&self, held: &dyn Held, kind: &Arc<Kind>) -> Result<(), Misfit> {
        let Some(resource) = guest_resource(held) else {
            return Err(another(kind, held));
        };
        let (actor, maker) = (&self.actor, &resource.pin.actor);
        if !Arc::ptr_eq(actor, maker) {
            return Err(if actor.id == maker.id {
                let why = resource.ended();
                let why = why.unwrap_or_else(|| "its actor was updated or restarted".to_owned());
                Misfit::new(format!("the resource is gone: {why}"))
            } else {
                another(kind, held)
            });
        }
        // Versions of an interface have types of one name.
        if !Arc::ptr_eq(&resource.kind, kind) {
            return Err(another(kind, held));
        }
        let same = self.pin.is_some_and(|pin| Arc::ptr_eq(pin, &resource.pin));
        if !same && resource.ended().is_none() {
            return Err(Misfit::new(
                "the resource lives in another instance of the actor than the one before it: a call can have those \
                 of one instance, which are those that one process got",
            ));
        }
        Ok(())
    }
}

/// Says whether a call would be taken, without an instance for it.
impl TakeIn for Rules<'_> {
    fn take_in(
        &mut self,
        handle: &Handle,
        kind: &Arc<Kind>,
        is_given: bool,
    ) -> Result<Val, Misfit> {
        self.check(handle, kind, is_given)
            .map(|_held| Val::Bool(false))
    }
}

/// The error for a resource of another type, or of somebody else.
fn another(kind: &Kind, held: &dyn Held) -> Misfit {
    let expected = cut(&kind.name, MAX_NAME);
    let found = cut(held.kind().unwrap_or("of no type yet"), MAX_NAME);
    let of = held.maker().map(|maker| format!(" of {maker}"));
    let here = if kind.home == Home::Here {
        " of this actor"
    } else {
        ""
    };
    Misfit::new(format!(
        "expected a resource {expected}{here}, got a resource {found}{}",
        of.unwrap_or_default()
    ))
}

/// Takes resources into an instance.
pub(super) struct Entering<'a, S> {
    store: S,
    rules: Rules<'a>,
    /// The handles that are given away, with their numbers in the instance; none for those that come back home.
    given: Vec<(Handle, Option<u32>)>,
    /// The resources that wasmtime got, and whether they are given away.
    entered: Vec<(ResourceAny, bool)>,
}

impl<'a, S: AsContextMut<Data = ComponentState>> Entering<'a, S> {
    pub(super) fn new(store: S, rules: Rules<'a>) -> Self {
        Self {
            store,
            rules,
            given: Vec::new(),
            entered: Vec::new(),
        }
    }

    /// Whether the caller has as many resources in the instance as it may, without those that it gives back.
    fn is_full(&self) -> bool {
        let given = self.given.iter().filter(|(_, number)| number.is_none());
        let given = given.count();
        self.rules.pin.is_some_and(|pin| pin.is_full(given))
    }

    /// Gives the call up. Returns what must be dropped.
    fn undo(self) -> Vec<ResourceAny> {
        let entered = self.entered.into_iter();
        entered.map(|(resource, _is_given)| resource).collect()
    }

    /// Takes from their handles what is given away, and returns what must be dropped after the call: those that were
    /// lent, or all if one was given away by somebody else meanwhile.
    pub(super) fn commit<T>(
        mut self,
        lowered: Result<T, Misfit>,
    ) -> (Result<T, Misfit>, Vec<ResourceAny>) {
        let lowered = lowered.and_then(|lowered| self.take_given().map(|()| lowered));
        let all = lowered.is_err();
        let entered = self.entered.into_iter();
        let dropped = entered.filter(|(_resource, is_given)| all || !is_given);
        (lowered, dropped.map(|(resource, _)| resource).collect())
    }

    /// Takes the resources out of the handles that are given away. If one is empty by now, all others keep theirs.
    fn take_given(&mut self) -> Result<(), Misfit> {
        let mut taken = Vec::with_capacity(self.given.len());
        for (handle, _number) in &self.given {
            let Some(held) = handle.take() else {
                for (held, (handle, _number)) in taken.into_iter().zip(&self.given) {
                    handle.put_back(held);
                }
                return Err(Misfit::new(
                    "a resource was dropped or given away while the call began",
                ));
            };
            taken.push(held);
        }
        let mut store = self.store.as_context_mut();
        for (held, (_handle, number)) in taken.into_iter().zip(&self.given) {
            if let Some(number) = number {
                let handle = Handle::new(held);
                store.data_mut().held.replace(*number, handle);
            } else if let Some(resource) = guest_resource(&*held) {
                resource.give();
            }
        }
        Ok(())
    }

    /// Puts the resource of somebody else into the instance's table.
    fn enter(&mut self, handle: &Handle, ty: u32, is_given: bool) -> wasmtime::Result<Val> {
        let mut store = self.store.as_context_mut();
        let number = store.data_mut().held.insert(handle.clone());
        let number = number.ok_or_else(|| Error::Limit(too_many()))?;
        let resource = ResourceDynamic::new_own(number, ty).try_into_resource_any(&mut store)?;
        self.entered.push((resource, is_given));
        if is_given {
            self.given.push((handle.clone(), Some(number)));
        }
        Ok(Val::Resource(resource))
    }
}

impl<S: AsContextMut<Data = ComponentState>> TakeIn for Entering<'_, S> {
    fn take_in(
        &mut self,
        handle: &Handle,
        kind: &Arc<Kind>,
        is_given: bool,
    ) -> Result<Val, Misfit> {
        let held = self.rules.check(handle, kind, is_given)?;
        match (kind.home, guest_resource(&*held)) {
            (Home::Elsewhere(ty), _) => self
                .enter(handle, ty, is_given)
                .map_err(|error| Misfit::new(error.to_string())),
            (Home::Here, Some(resource)) => {
                if is_given {
                    self.given.push((handle.clone(), None));
                }
                Ok(Val::Resource(resource.resource))
            }
            (Home::Here, None) => Err(another(kind, &*held)),
        }
    }
}

/// The text of the limit on resources.
fn too_many() -> String {
    format!("the instance holds {MAX_RESOURCES} resources, as many as it may")
}

/// Takes resources out of an instance.
///
/// Converting a value cannot fail, so the first failure is kept until [`Leaving::finish`].
pub(super) struct Leaving<'a, S> {
    store: S,
    pin: Option<&'a Arc<Pin>>,
    /// The resources that are lent for the call.
    loans: Vec<Loan>,
    failure: Option<wasmtime::Error>,
}

impl<'a, S: AsContextMut<Data = ComponentState>> Leaving<'a, S> {
    pub(super) fn new(store: S, pin: Option<&'a Arc<Pin>>) -> Self {
        Self {
            store,
            pin,
            loans: Vec::new(),
            failure: None,
        }
    }

    /// The lent resources, which are dropped when they come back. An error if a resource could not leave.
    pub(super) fn finish(self) -> wasmtime::Result<Vec<Loan>> {
        self.failure.map_or(Ok(self.loans), Err)
    }

    /// The handle of a resource: a new one for a resource of this instance, or the one that the instance was given.
    fn leave(&mut self, resource: ResourceAny, kind: &Arc<Kind>) -> wasmtime::Result<Handle> {
        match (kind.home, self.pin) {
            (Home::Here, Some(pin)) if !pin.is_full(0) => {
                let resource = GuestResource::new(pin, kind, resource);
                Ok(Handle::new(Arc::new(resource)))
            }
            (Home::Here, Some(_)) => Err(Error::Limit(too_many()).into()),
            (Home::Here, None) => Err(wasmtime::format_err!(
                "a resource of an instance that is not pinned"
            )),
            (Home::Elsewhere(_), _) => {
                let is_given = resource.owned();
                let resource = resource.try_into_resource_dynamic(&mut self.store)?;
                let mut store = self.store.as_context_mut();
                let held = &mut store.data_mut().held;
                let handle = if is_given {
                    held.remove(resource.rep())
                } else {
                    held.get(resource.rep())
                        .and_then(Handle::lend)
                        .map(|(handle, loan)| {
                            self.loans.push(loan);
                            handle
                        })
                };
                handle
                    .ok_or_else(|| wasmtime::format_err!("a resource that the host does not know"))
            }
        }
    }
}

impl<S: AsContextMut<Data = ComponentState>> GiveOut for Leaving<'_, S> {
    fn give_out(&mut self, resource: ResourceAny, kind: &Arc<Kind>) -> Value {
        match self.leave(resource, kind) {
            Ok(handle) => Value::Resource(handle),
            Err(error) => {
                self.failure.get_or_insert(error);
                Value::Nil
            }
        }
    }
}

/// Calls a function that takes or gives resources. Those of the component itself live in `pin`, which this instance
/// is.
pub(super) async fn call_with_resources(
    ComponentGuest { store, instance }: &mut ComponentGuest,
    function: &Function,
    operation: &str,
    arguments: Vec<Value>,
    pin: Option<&Arc<Pin>>,
) -> wasmtime::Result<Reply> {
    let signature = function.signature()?;
    let func = function.within(store, *instance)?;
    let max = store.data().max_value_bytes();
    let rules = Rules::new(Arc::clone(&store.data().caller.actor), pin);
    let mut entering = Entering::new(&mut *store, rules);
    let lowered = lower_all(arguments, signature, max, &mut entering);
    if signature.gives_own && lowered.is_ok() && entering.is_full() {
        let dropped = entering.undo();
        drop_all(&mut *store, dropped).await?;
        return Err(Error::Full(too_many()).into());
    }
    let (lowered, dropped) = entering.commit(lowered);
    let parameters = match lowered {
        Ok(parameters) => parameters,
        Err(misfit) => {
            drop_all(&mut *store, dropped).await?;
            return Err(input(operation, &misfit).into());
        }
    };
    let mut results = vec![Val::Bool(false); usize::from(signature.result.is_some())];
    func.call_async(&mut *store, &parameters, &mut results)
        .await?;
    drop_all(&mut *store, dropped).await?;
    let mut leaving = Leaving::new(&mut *store, pin);
    let result = results.first().zip(signature.result.as_ref());
    let value = result.map_or(Value::Nil, |(val, ty)| lift(val, ty, &mut leaving));
    // A result lends nothing.
    drop(leaving.finish()?);
    Ok(Reply::Value(off_scheduler(value).await))
}

/// Drops what a guest was lent, or did not get.
pub(super) async fn drop_all(
    mut store: impl AsContextMut<Data = ComponentState>,
    resources: Vec<ResourceAny>,
) -> wasmtime::Result<()> {
    for resource in resources {
        resource.resource_drop_async(&mut store).await?;
    }
    Ok(())
}
