//! The part of an engine that running guests need: wasmtime, the pool, and the clock of the guests.
//!
//! It knows nothing of modules, actors, or guest ABIs, so that all of them can hold it.

use std::sync::Arc;

use crate::pool::Reserve;
use crate::share::Slots;
use crate::ticker::Ticker;
use crate::{EngineOptions, Error, Parts};

/// Held by every module and every instance: the ticker must run as long as a guest can.
pub(crate) struct EngineCore {
    wasmtime: wasmtime::Engine,
    slots: Option<Slots>,
    /// The limits of one instance.
    parts: Parts,
    ticker: Ticker,
    reserve: Arc<Reserve>,
}

impl EngineCore {
    pub(crate) fn new(wasmtime: wasmtime::Engine, options: &EngineOptions) -> Result<Self, Error> {
        Ok(Self {
            slots: Slots::of(&wasmtime, options),
            parts: options.parts,
            ticker: Ticker::start(wasmtime.clone())?,
            reserve: Reserve::new(),
            wasmtime,
        })
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    pub(crate) fn parts(&self) -> Parts {
        self.parts
    }

    /// The slots of the pool, if there is one.
    pub(crate) fn slots(&self) -> Option<&Slots> {
        self.slots.as_ref()
    }

    /// Drops some warm instances if the pool has hardly a slot left for a fresh one.
    pub(crate) fn make_room(&self) {
        if self.slots().is_some_and(Slots::are_scarce) {
            self.reserve.give_up();
        }
    }

    /// The pools of all actors, as far as something rests in them.
    pub(crate) fn reserve(&self) -> &Arc<Reserve> {
        &self.reserve
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.ticker
    }
}
