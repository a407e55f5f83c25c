//! A component that is linked: everything that does not depend on an actor or a call.
//!
//! Made once per module, since linking takes far longer than a call. The compiler makes it on a blocking thread,
//! right after the compile, and actors of one content share it.

use std::sync::{Arc, Weak};

use exosuit_core::{Context, WitName};
use wasmtime::component::Component;
use wasmtime_wasi_http::p2::bindings::ProxyIndices;

use super::super::guest::{Guest, Pool, PoolSlot};
use super::function::Functions;
use super::guest::ComponentGuest;
use super::imports::ComponentLinker;
use super::unanswered::{self, Linked};
use crate::Error;
use crate::actor_shared::ActorShared;

/// A linked component. An instance of it takes microseconds. Actors, running calls and streamed bodies share it.
pub(crate) struct PreparedComponent {
    /// The component with all of its imports resolved.
    pub(super) linked: Linked,
    /// Its exports, but for the handler of HTTP.
    pub(super) functions: Functions,
    /// The export that answers HTTP, if the component has one.
    pub(super) handler: Option<ProxyIndices>,
}

impl PreparedComponent {
    /// Links a component, and reads the types of its functions. A component without any export is linked as well: its
    /// calls find no function.
    pub(in crate::abi) fn new(
        base: &ComponentLinker,
        component: &Component,
    ) -> Result<Self, Error> {
        let mut linked = unanswered::linked(base, component)?;
        linked.kinds.export(component);
        Ok(Self {
            functions: Functions::of(component, &linked.kinds),
            handler: ProxyIndices::new(&linked.instance).ok(),
            linked,
        })
    }

    /// The names of fields, cases and flags in the types of its functions, and of those that links answer. A name
    /// may come twice.
    pub(in crate::abi) fn names<'a>(&'a self, each: &mut impl FnMut(&'a WitName)) {
        self.functions.names(each);
        self.linked
            .bridged
            .iter()
            .for_each(|signature| signature.names(each));
    }

    /// The imports that nothing here answers, each with the reason.
    pub(in crate::abi) fn unanswered(&self) -> &[String] {
        &self.linked.unanswered
    }

    /// Gets an instance for a call, a warm one if one rests, and the slot where it is left afterwards. Waits until the
    /// actor may have one more instance.
    ///
    /// The error is `overloaded` if no permit came before the deadline, or if the pool has no slot; otherwise that of
    /// the instantiation. The permit goes back with the slot, also if there is an error.
    pub(super) async fn guest(
        &self,
        actor: &Arc<ActorShared>,
        pool: &Weak<Pool>,
        context: Context,
    ) -> Result<(PoolSlot, ComponentGuest), Error> {
        let permit = actor.share.acquire(context.deadline).await?;
        let (slot, rested) = PoolSlot::acquire(pool, permit);
        let guest = match rested {
            Some(Guest::Component(rested)) => rested.with(context).await,
            _ => ComponentGuest::new(&self.linked.instance, actor, context).await?,
        };
        Ok((slot, guest))
    }
}
