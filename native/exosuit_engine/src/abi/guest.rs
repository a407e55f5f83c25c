//! An instance of either ABI that serves many calls, and where it rests between them.

use super::{component, wasmbus};
use crate::pool;

/// An instance that is ready for a call.
pub(crate) enum Guest {
    Wasmbus(wasmbus::Guest),
    Component(component::Guest),
}

pub(crate) type Pool = pool::Pool<Guest>;
pub(super) type Seat = pool::Seat<Guest>;
