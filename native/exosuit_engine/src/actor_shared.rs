//! The state that all instances of one actor share: its identity, its limits, and the way for its calls.
//!
//! It knows nothing of the actor's module. Stores hold it, and a module's linked code holds the type of these
//! stores; if this knew the module as well, each would depend on the other.
//!
//! Every host function reaches it through the data of its store: the log of its output, the grants, the router. It
//! never changes. Its parts lock themselves: permits, log lines, and the random numbers of a test are counted for all
//! instances together.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Weak};

use exosuit_core::{Answer, Code, Deliver, Error, Id, Invocation, LogGate};
use tokio::sync::Semaphore;

use crate::engine_core::EngineCore;
use crate::share::Share;
use crate::simulation::Simulated;
use crate::{Limits, WasiGrants};

/// The part of an actor that its instances see.
pub(crate) struct ActorShared {
    /// The origin of its calls, and the name on its log lines. The router knows the actor by the same id.
    pub(crate) id: Id,
    /// The limits of each instance. An update of limits makes a new actor; running calls keep the old ones.
    pub(crate) limits: Limits,
    /// Keeps the ticker and the pool for as long as an instance exists.
    pub(crate) engine: Arc<EngineCore>,
    /// The values of `wasi:config`.
    pub(crate) config: BTreeMap<String, String>,
    /// Directories are resolved: their paths have no symbolic links.
    pub(crate) grants: WasiGrants,
    /// The router. Weak, because the router holds the actor.
    pub(crate) outbound: Weak<dyn Deliver>,
    /// Bounds the lines of all its instances together.
    pub(crate) log: Arc<LogGate>,
    /// Its share of the pool: bounds how many of its instances run at once.
    pub(crate) share: Share,
    /// Bounds how many of its instances open their directories at once.
    pub(crate) opening: Arc<Semaphore>,
    /// The time and the random numbers of a test.
    pub(crate) simulated: Simulated,
}

impl ActorShared {
    /// Starts a call of the guest to the outside: to the router. If the router is gone, the host has stopped, and the
    /// call fails with `dropped`.
    ///
    /// The router decides whether the call is allowed, and how deep it may be nested. The guest's call holds the
    /// answer as a part of its own future, so that both end together.
    pub(crate) fn call_out(&self, invocation: Invocation) -> Answer {
        match self.outbound.upgrade() {
            Some(outbound) => outbound.deliver(invocation),
            None => Box::pin(ready(Err(Error::new(
                Code::Dropped,
                "the host of this actor has stopped",
            )))),
        }
    }
}

/// Dropped at the end of a call, also of a call that is given up: has the log report how many lines of the
/// actor it left out.
pub(crate) struct ReportLosses<'a>(pub(crate) &'a ActorShared);

impl Drop for ReportLosses<'_> {
    fn drop(&mut self) {
        self.0.log.settle(&self.0.id);
    }
}
