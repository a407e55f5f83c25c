//! The store of an instance, for every ABI. It does three things to its guest: gives other tasks a turn at the end of
//! each slice, traps the guest at the deadline of its call, and holds it to its limits.
//!
//! A guest runs on a fiber: a stack of its own, from which it can yield in the middle of a function. On a scheduler of
//! the BEAM the first yield ends the inline poll, and the call goes on in a task of Tokio. There each yield lets other
//! tasks of the thread run.
//!
//! The deadline is enforced twice. A timer beside the call drops it when the guest waits for something; the check here
//! traps a guest that computes, at the end of the slice in which the deadline passed.
//!
//! | bound | by | when it is reached |
//! |---|---|---|
//! | a slice | the epoch, one tick | the guest yields |
//! | the deadline, while it computes | the callback of the epoch | it traps with `Deadline` |
//! | memory and tables | the [`Limiter`] | growth fails |
//! | values that a component passes to host functions | the fuel of host calls: bytes, anew for each | it traps |

use std::time::Instant;

use wasmtime::{Store, UpdateDeadline};

use crate::Error;
use crate::engine_core::EngineCore;
use crate::limiter::Limiter;

/// The ticks of the epoch in one slice.
const SLICE: u64 = 1;

/// The data of a store, as far as the store itself needs it. Each ABI has a type of its own for the rest.
pub(super) trait Limited: Send + 'static {
    /// The limiter of its memory and tables.
    fn limiter(&mut self) -> &mut Limiter;

    /// The deadline of the call that is served now. Read at the end of each slice, since warm instances serve many
    /// calls.
    fn deadline(&self) -> Instant;
}

/// Makes the store of a fresh instance. If the pool is nearly full, some warm instances go first.
///
/// Cheap by itself: memory and stack are taken from the pool when the instance is made in it.
pub(super) fn bounded<T: Limited>(engine: &EngineCore, data: T) -> Store<T> {
    engine.make_room();
    let mut store = Store::new(engine.wasmtime(), data);
    let max_value_bytes = store.data_mut().limiter().limits().max_value_bytes();
    store.set_hostcall_fuel(max_value_bytes);
    store.limiter_async(|data| data.limiter());
    store.set_epoch_deadline(SLICE);
    store.epoch_deadline_callback(move |store| {
        if Instant::now() >= store.data().deadline() {
            return Err(Error::Deadline.into());
        }
        // Tokio's `yield_now` lets timers and sockets run before the task goes on. wasmtime's own yield
        // wakes the task at once, and Tokio polls its timers only every 61 tasks.
        let turn = Box::pin(tokio::task::yield_now());
        Ok(UpdateDeadline::YieldCustom(SLICE, turn))
    });
    store
}

/// Prepares a store for another call: a whole slice, and no limit reached. Everything else that belongs to a call is
/// in the store's data, which the ABIs replace.
pub(super) fn renew<T: Limited>(store: &mut Store<T>) {
    store.set_epoch_deadline(SLICE);
    store.data_mut().limiter().forget();
}
