//! The store of an instance, of either ABI: it gives way at the end of each slice, traps at the
//! deadline of the call that it serves, and holds its guest to the limits.

use std::time::Instant;

use wasmtime::{Store, UpdateDeadline};

use crate::Error;
use crate::engine_core::EngineCore;
use crate::limiter::Limiter;

/// Ticks of the epoch until a guest gives others their turn.
const SLICE: u64 = 1;

/// What a store holds of either ABI.
pub(super) trait Limited: Send + 'static {
    fn limiter(&mut self) -> &mut Limiter;

    /// That of the call.
    fn deadline(&self) -> Instant;
}

/// A store for a fresh instance.
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
        // Tokio's way to yield lets its timers and sockets have their turn as well; wasmtime's
        // own would wait in line before them 61 times.
        let turn = Box::pin(tokio::task::yield_now());
        Ok(UpdateDeadline::YieldCustom(SLICE, turn))
    });
    store
}

/// A whole slice and no limit reached, for another call.
pub(super) fn renew<T: Limited>(store: &mut Store<T>) {
    store.set_epoch_deadline(SLICE);
    store.data_mut().limiter().forget();
}
