//! The turn of a call in a pinned instance.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use exosuit_core::Context;
use tokio::sync::OwnedMutexGuard;

use super::calls::PinnedCall;
use super::{BROKEN, OVER, Pin, Pinned};
use crate::abi::component::guest::ComponentGuest;
use crate::abi::guest::{Guest, PoolSlot};

/// The turn of a call in a pinned instance. Dropped before it is finished, it ends the instance.
pub(in crate::abi::component) struct PinTurn {
    pub(in crate::abi::component) pin: Arc<Pin>,
    /// The lock. `None` once the turn is over.
    cell: Option<OwnedMutexGuard<Option<Pinned>>>,
    /// The instance, out of its cell for the turn. `None` if the pin has ended, or has none yet.
    pub(in crate::abi::component) guest: Option<ComponentGuest>,
    pub(in crate::abi::component) slot: Option<PoolSlot>,
    /// By which calls within it are known.
    call: PinnedCall,
}

impl PinTurn {
    /// The turn of a call that is part of the call `within`, in the cell that is locked for it.
    pub(super) fn begin(
        pin: Arc<Pin>,
        mut cell: OwnedMutexGuard<Option<Pinned>>,
        within: Option<NonZeroU64>,
    ) -> Self {
        let running = PinnedCall::begin(within);
        *pin.call.lock() = Some(running.number());
        let (guest, slot) = match cell.take() {
            Some(Pinned { guest, slot }) => (Some(guest), Some(slot)),
            None => (None, None),
        };
        Self {
            pin,
            cell: Some(cell),
            guest,
            slot,
            call: running,
        }
    }

    /// The context of the call, as the instance has it: calls that the guest makes are part of this one.
    pub(in crate::abi::component) fn context(&self, context: Context) -> Context {
        Context {
            within: Some(self.call.number()),
            ..context
        }
    }

    /// Keeps the instance for the next call, if its caller has resources in it. One that was pinned for this call,
    /// which then gave none, goes back to the pool.
    pub(in crate::abi::component) fn finish(mut self) {
        let (Some(guest), Some(slot)) = (self.guest.take(), self.slot.take()) else {
            return;
        };
        let pin = Arc::clone(&self.pin);
        let is_first = pin.idle.get().is_none();
        let has_resources = pin.resources.load(SeqCst) > 0;
        if !has_resources {
            pin.end(OVER);
            self.cell = None;
            if is_first {
                slot.leave(Guest::Component(guest));
            }
            return;
        }
        *pin.used.lock() = Instant::now();
        if is_first {
            let idle = pin.actor.limits.resource_idle;
            let watching = pin.runtime.spawn(Pin::watch(Arc::downgrade(&pin), idle));
            let _ = pin.idle.set(watching.abort_handle());
        }
        if let Some(mut cell) = self.cell.take() {
            *cell = Some(Pinned { guest, slot });
        }
        // Its end may have come while the call ran.
        if pin.ended().is_some() {
            pin.clear();
        }
    }

    /// Whether the instance is yet to be made.
    pub(in crate::abi::component) fn is_new(&self) -> bool {
        self.pin.idle.get().is_none() && self.pin.ended().is_none()
    }

    /// Leaves an instance that has ended before.
    pub(in crate::abi::component) fn leave_ended(mut self) {
        self.cell = None;
    }
}

/// A call that trapped, or whose future was dropped: the state of its instance is unknown.
impl Drop for PinTurn {
    fn drop(&mut self) {
        if self.cell.is_some() {
            self.pin.end(BROKEN);
        }
    }
}
