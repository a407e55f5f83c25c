//! A guest that has answered HTTP and may serve again.
//!
//! It keeps its [`Seat`] until its body has been emptied, and then leaves itself there.

use super::super::guest::{Guest as AnyGuest, Seat};
use super::guest::Guest;

/// A guest that has answered HTTP, and its slot in the pool.
pub(super) struct Returned {
    pub(super) guest: Guest,
    pub(super) seat: Seat,
}

impl Returned {
    /// Leaves the guest in the pool, for the next call.
    pub(super) fn leave(self) {
        self.seat.leave(AnyGuest::Component(self.guest));
    }
}
