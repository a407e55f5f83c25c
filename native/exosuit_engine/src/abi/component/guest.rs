//! An instance of a component, in a store of its own.
//!
//! The store holds everything that the instance has: memories, tables, the resources of the host that it opened.
//! Dropping it drops all of them, also in the middle of a call.

use std::sync::Arc;

use exosuit_core::Context;
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use super::super::store::{bounded, renew};
use super::state::ComponentState;
use crate::Error;
use crate::actor_shared::ActorShared;

/// An instance that is ready for a call, or serves one. One call at a time: the store belongs to it.
pub(crate) struct ComponentGuest {
    pub(super) store: Store<ComponentState>,
    pub(super) instance: Instance,
}

impl ComponentGuest {
    /// Makes a fresh instance for a call.
    ///
    /// Opens granted directories first, and takes the store only then. The start functions of its core modules run
    /// here, within the slices and the deadline of the call.
    pub(super) async fn new(
        instance: &InstancePre<ComponentState>,
        actor: &Arc<ActorShared>,
        context: Context,
    ) -> Result<Self, Error> {
        let state = ComponentState::new(actor, context).await?;
        let mut store = bounded(&actor.engine, state);
        match instance.instantiate_async(&mut store).await {
            Ok(instance) => Ok(Self { store, instance }),
            Err(error) => Err(store.data().explain(&error)),
        }
    }

    /// Prepares an instance that has served before for another call: a new slice, a new deadline, and no
    /// memory of limits that the last call reached.
    pub(super) async fn with(mut self, context: Context) -> Self {
        renew(&mut self.store);
        self.store.data_mut().serve(context);
        self.store.data().limiter.leave_scheduler_if_large().await;
        self
    }
}
