//! A guest that has answered HTTP and may serve again.
//!
//! It keeps its [`PoolSlot`] until its body has been emptied, and then leaves itself there. Until then its unread
//! frames are in its store, and the next call would mix with them.

use super::super::guest::{Guest, PoolSlot};
use super::guest::ComponentGuest;

/// A guest that has answered HTTP, and its slot in the pool. Dropped, the instance is gone, and the slot is free.
pub(super) struct Returned {
    /// Its store still holds the frames that nobody has read.
    pub(super) guest: ComponentGuest,
    /// Where it goes. Its permit counts until then.
    pub(super) slot: PoolSlot,
}

impl Returned {
    /// Leaves the guest in the pool, for the next call.
    pub(super) fn leave(self) {
        self.slot.leave(Guest::Component(self.guest));
    }
}
