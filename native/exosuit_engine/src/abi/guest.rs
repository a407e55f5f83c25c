//! An instance that serves many calls, of either ABI, and the pool where it rests between them.
//!
//! Stands above both ABIs in the type of its instances, and below their calls, which use the pool.

use super::{component, wasmbus};
use crate::pool;

/// An instance that is ready for a call.
pub(crate) enum Guest {
    Wasmbus(wasmbus::WasmbusGuest),
    Component(component::ComponentGuest),
}

/// The resting instances of one actor. All of them are of one kind, that of the actor's module.
pub(crate) type Pool = pool::Pool<Guest>;
pub(super) type PoolSlot = pool::PoolSlot<Guest>;
