//! An instance of a wasmbus module, and its calls.
//!
//! ```text
//! fresh: instantiate, _initialize, _start, start, wapc_init ─► call ─► rest ─► with(next call) ─► call ─► …
//! ```
//!
//! Start functions run once for each instance, not for each call. A guest that keeps state in its memory finds it
//! again only if the actor has warm instances, and a call gets one that it has served before.

use bytes::Bytes;
use wasmtime::{Store, TypedFunc};

use super::super::store::renew;
use super::state::{Call, WasmbusState};
use crate::Error;

/// The guest's `__guest_call`.
pub(super) type Answering = TypedFunc<(u32, u32), u32>;

/// An instance that is ready for a call, or serves one.
///
/// It serves one call at a time: both methods take it, or borrow it mutably. Dropped in the middle of a call, it
/// takes its memory with it.
pub(crate) struct WasmbusGuest {
    pub(super) store: Store<WasmbusState>,
    pub(super) guest_call: Answering,
}

impl WasmbusGuest {
    /// Prepares an instance that has served before for another call. An instance with much memory leaves the
    /// scheduler first, because the guest may fill all of it in one step.
    pub(super) async fn with(mut self, call: Call) -> Self {
        renew(&mut self.store);
        self.store.data_mut().call = call;
        self.store.data().limiter.leave_scheduler_if_large().await;
        self
    }

    /// Calls the guest. The outer error means that the guest did not return and cannot serve again; the
    /// inner one is the guest's own answer.
    pub(super) async fn call(
        &mut self,
        lengths: (u32, u32),
    ) -> Result<Result<Bytes, Error>, Error> {
        match self.guest_call.call_async(&mut self.store, lengths).await {
            Ok(code) => Ok(self.store.data_mut().conclude(code)),
            Err(error) => Err(self.store.data().explain(&error)),
        }
    }
}
