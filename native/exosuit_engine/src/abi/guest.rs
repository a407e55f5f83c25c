//! An instance that serves many calls, of either ABI, and the pool where it rests between them.
//!
//! Stands above both ABIs in the type of its instances, and below their calls, which use the pool. One pool type for
//! both, because the actor that has the pool does not know the ABI of its module.

use super::{component, wasmbus};
use crate::pool;

/// An instance that is ready for a call.
pub(crate) enum Guest {
    /// An instance of a wasmbus module.
    Wasmbus(wasmbus::WasmbusGuest),
    /// An instance of a component.
    Component(component::ComponentGuest),
}

/// The resting instances of one actor. All of them are of one kind, that of the actor's module.
pub(crate) type Pool = pool::Pool<Guest>;
/// The slot of one call in that pool.
pub(super) type PoolSlot = pool::PoolSlot<Guest>;
