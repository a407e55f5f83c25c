//! What the calls of one actor share, and nothing of its code: guests and their WASI know their actor
//! by this.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Weak};

use exosuit_core::{Answer, Code, Deliver, Error, Id, Invocation, LogGate};
use tokio::sync::Semaphore;

use crate::engine_core::EngineCore;
use crate::share::Share;
use crate::{Limits, WasiGrants};

/// What the calls of one actor share.
pub(crate) struct ActorShared {
    pub(crate) id: Id,
    pub(crate) limits: Limits,
    pub(crate) engine: Arc<EngineCore>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) grants: WasiGrants,
    pub(crate) outbound: Weak<dyn Deliver>,
    pub(crate) log: Arc<LogGate>,
    /// How many instances may be at work at once.
    pub(crate) share: Share,
    /// How many may be opening their directories at once.
    pub(crate) opening: Arc<Semaphore>,
}

impl ActorShared {
    /// A call of its guest, on its way to whoever answers it.
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

/// Reports what the log lost of a call once its instance is gone, also when the call is dropped.
pub(crate) struct Settled<'a>(pub(crate) &'a ActorShared);

impl Drop for Settled<'_> {
    fn drop(&mut self) {
        self.0.log.settle(&self.0.id);
    }
}
