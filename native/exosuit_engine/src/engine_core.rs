//! What running guests need of their engine: everything but the compiler.
//!
//! It knows nothing of modules, actors or guest ABIs, so that all of these can stand on it.

use std::sync::Arc;

use crate::pool::Reserve;
use crate::share::Slots;
use crate::ticker::Ticker;
use crate::{EngineOptions, Error, Parts};

/// The running half of an engine. It lives, and with it the ticker, as long as anything can run.
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

    /// When hardly a slot is left for a fresh instance, some that rest give theirs up.
    pub(crate) fn make_room(&self) {
        if self.slots().is_some_and(Slots::are_scarce) {
            self.reserve.give_up();
        }
    }

    /// Where the warm instances are that rest.
    pub(crate) fn reserve(&self) -> &Arc<Reserve> {
        &self.reserve
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.ticker
    }
}
