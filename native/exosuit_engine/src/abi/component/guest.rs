//! An instance of a component.

use std::sync::Arc;

use exosuit_core::Context;
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use super::super::Seat;
use super::super::store::{bounded, renew};
use super::state::State;
use crate::Error;
use crate::abi;
use crate::actor::Shared;

/// An instance that is ready for a call, or serves one.
pub(crate) struct Guest {
    pub(super) store: Store<State>,
    pub(super) instance: Instance,
}

impl Guest {
    /// A fresh one.
    pub(super) async fn new(
        instance: &InstancePre<State>,
        actor: &Arc<Shared>,
        context: Context,
    ) -> Result<Self, Error> {
        let state = State::new(actor, context).await?;
        let mut store = bounded(actor.module.engine(), state);
        match instance.instantiate_async(&mut store).await {
            Ok(instance) => Ok(Self { store, instance }),
            Err(error) => Err(store.data().explain(&error)),
        }
    }

    /// One that has served before.
    pub(super) async fn with(mut self, context: Context) -> Self {
        renew(&mut self.store);
        self.store.data_mut().serve(context);
        self.store.data().limiter.settle().await;
        self
    }

    /// Goes to where it waits for the next call.
    pub(super) fn leave(self, seat: Seat) {
        seat.leave(abi::Guest::Component(self));
    }
}

/// A guest that has answered HTTP, and its place.
pub(super) struct Returned {
    pub(super) guest: Guest,
    pub(super) seat: Seat,
}

impl Returned {
    pub(super) fn leave(self) {
        self.guest.leave(self.seat);
    }
}
