//! The store of a call, of either ABI: it gives way at the end of each slice, traps at the
//! deadline, and holds its guest to the limits.

use std::time::Instant;

use wasmtime::{Store, UpdateDeadline};

use crate::Error;
use crate::limiter::Limiter;

/// Ticks of the epoch until a guest gives others their turn.
const SLICE: u64 = 1;

/// What a store holds of either ABI.
pub(super) trait Limited: Send + 'static {
    fn limiter(&mut self) -> &mut Limiter;
}

/// A store that gives way at the end of each slice and traps at the deadline.
pub(super) fn bounded<T: Limited>(
    engine: &wasmtime::Engine,
    data: T,
    deadline: Instant,
) -> Store<T> {
    let mut store = Store::new(engine, data);
    store.limiter(|data| data.limiter());
    store.set_epoch_deadline(SLICE);
    store.epoch_deadline_callback(move |_| {
        if Instant::now() >= deadline {
            return Err(Error::Deadline.into());
        }
        // Tokio's way to yield lets its timers and sockets have their turn as well; wasmtime's
        // own would wait in line before them 61 times.
        let turn = Box::pin(tokio::task::yield_now());
        Ok(UpdateDeadline::YieldCustom(SLICE, turn))
    });
    store
}
