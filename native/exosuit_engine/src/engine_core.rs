//! The part of an engine that running guests need: wasmtime, the pool, and the clock of the guests.
//!
//! It knows nothing of modules, actors, or guest ABIs, so that all of them can hold it. When the last of
//! them is dropped, the ticker's thread ends, and the pool is unmapped.

use std::sync::Arc;

use crate::pool::Reserve;
use crate::share::Slots;
use crate::ticker::Ticker;
use crate::{EngineOptions, Error, Parts};

/// Held by every module and every instance: the ticker must run as long as a guest can.
///
/// An instance reaches it through its actor ([`ActorShared`](crate::actor_shared::ActorShared)), a module directly.
/// Nothing in it is behind a lock of its own but the list of the [`Reserve`].
pub(crate) struct EngineCore {
    /// Cheap to clone: wasmtime counts references to it.
    wasmtime: wasmtime::Engine,
    /// None if instances are allocated on demand.
    slots: Option<Slots>,
    /// The limits of one instance.
    parts: Parts,
    /// One for the engine. The epoch is a counter of wasmtime's engine, which all its stores compare with.
    ticker: Ticker,
    /// Shared with the pools, which add and remove themselves.
    reserve: Arc<Reserve>,
}

impl EngineCore {
    /// Starts the ticker. `wasmtime` is the engine of `configuration`, with or without a pool. Fails with
    /// [`Error::Setup`] if the system gives no thread.
    pub(crate) fn new(wasmtime: wasmtime::Engine, options: &EngineOptions) -> Result<Self, Error> {
        Ok(Self {
            slots: Slots::of(&wasmtime, options),
            parts: options.parts,
            ticker: Ticker::start(wasmtime.clone())?,
            reserve: Reserve::new(),
            wasmtime,
        })
    }

    /// wasmtime's engine: what compiles, and what stores are made of.
    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// How many core instances, memories and tables one instance may have.
    pub(crate) fn parts(&self) -> Parts {
        self.parts
    }

    /// The slots of the pool, if there is one.
    pub(crate) fn slots(&self) -> Option<&Slots> {
        self.slots.as_ref()
    }

    /// Drops some warm instances if the pool has hardly a slot left for a fresh one. Called before each fresh
    /// instance. Costs three atomic reads when there is room.
    ///
    /// Another thread may take the room before the caller does, so the caller's instantiation can still find the pool
    /// full. It then fails with `overloaded`.
    pub(crate) fn make_room(&self) {
        if self.slots().is_some_and(Slots::are_scarce) {
            self.reserve.give_up();
        }
    }

    /// The pools of all actors, as far as something rests in them.
    pub(crate) fn reserve(&self) -> &Arc<Reserve> {
        &self.reserve
    }

    /// The clock that interrupts guests.
    pub(crate) fn ticker(&self) -> &Ticker {
        &self.ticker
    }
}
