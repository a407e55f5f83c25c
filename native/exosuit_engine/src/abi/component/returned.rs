//! A guest that has answered HTTP and may serve again.

use super::super::guest::{Guest as AnyGuest, Seat};
use super::guest::Guest;

/// A guest that has answered HTTP, and its place.
pub(super) struct Returned {
    pub(super) guest: Guest,
    pub(super) seat: Seat,
}

impl Returned {
    /// Goes to where it waits for the next call.
    pub(super) fn leave(self) {
        self.seat.leave(AnyGuest::Component(self.guest));
    }
}
