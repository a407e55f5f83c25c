//! The clock of the guests: a thread that advances the epoch of wasmtime once a millisecond.
//!
//! Guests check the epoch at loops and calls; at the end of their slice they yield. The thread only ticks while guests
//! run, and parks otherwise, so that an idle host uses no CPU.
//!
//! A thread of the system, not a timer of Tokio: when guests keep all of Tokio's threads busy, its timers are late,
//! and it is this clock that makes the guests yield to them. A busy machine may wake the thread late; then slices are
//! longer, and nothing else changes.
//!
//! # States of the thread
//!
//! ```text
//!           a guest runs, or one was started since the last tick
//! ticking ◄──────────────────────────────────────────────────────┐
//!    │ 100 ticks without any                                     │
//!    ▼                                                           │
//! parked ─────────────── run(): a guest starts, and unparks ─────┘
//!    │
//!    ▼ the ticker is dropped: the thread ends, also from `ticking`
//! ```
//!
//! # What a slice is
//!
//! A store has a deadline of one tick (`abi/store.rs`). The tick that ends it may come at once or after a millisecond,
//! so a slice lasts between none and 1 ms: half of that on average. A guest that yields has its deadline moved to one
//! tick after the current epoch.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::Error;
use crate::configuration::setup;

/// The slice of a guest: what the BEAM gives to a process, too. A longer one would hold a scheduler for longer than a
/// process may.
const TICK: Duration = Duration::from_millis(1);

/// Ticks without a guest before the thread parks. Waking it costs microseconds, which a caller that makes one call
/// after the other should not pay each time. A tenth of a second.
const IDLE_TICKS: u32 = 100;

/// The two counters in [`TickerState::guests`]: running guests in the lower half, starts in the upper half.
const GUEST: u64 = 1;
const START: u64 = 1 << 32;

/// Advances the epoch while guests run; parks when none does; ends when dropped.
///
/// Dropping it does not join the thread, which ends within a tick: the drop may happen on a scheduler.
pub(crate) struct Ticker {
    state: Arc<TickerState>,
    thread: Thread,
}

/// The state that the thread and the starters of guests share. The thread holds it together with wasmtime's engine,
/// and nothing else of ours.
#[derive(Default)]
struct TickerState {
    /// How many guests run, and how often one was started (it wraps). The starts are counted because a guest
    /// that starts and ends between two ticks must keep the thread awake as well: another will follow.
    guests: AtomicU64,
    /// The thread sleeps, or is about to. Whoever starts a guest then wakes it.
    parked: AtomicBool,
    /// The engine is gone: the thread ends.
    stopped: AtomicBool,
}

impl Ticker {
    /// Starts the thread, which first ticks for a while, as if a guest had run.
    pub(crate) fn start(engine: wasmtime::Engine) -> Result<Self, Error> {
        let state = Arc::new(TickerState::default());
        let ticking = state.clone();
        let thread = thread::Builder::new()
            .name("exosuit-epoch".to_owned())
            .spawn(move || tick(&engine, &ticking))
            .map_err(setup)?
            .thread()
            .clone();
        Ok(Self { state, thread })
    }

    /// Keeps the epoch advancing until the guard is dropped. Costs two atomic operations if the thread is awake.
    ///
    /// The orderings are sequentially consistent: see `park`. Calls of `unpark` for a thread that is awake do no harm.
    pub(crate) fn run(&self) -> Running<'_> {
        self.state.guests.fetch_add(START + GUEST, SeqCst);
        if self.state.parked.load(SeqCst) {
            self.thread.unpark();
        }
        Running(&self.state)
    }

    /// Runs a future, and keeps the epoch advancing while it is polled, not while it waits. A thousand guests that
    /// wait for their stores keep no thread awake.
    ///
    /// The guard is dropped at the end of each poll, also if the poll panics.
    pub(crate) async fn during<T>(&self, mut call: Pin<&mut impl Future<Output = T>>) -> T {
        poll_fn(|context| {
            let _running = self.run();
            call.as_mut().poll(context)
        })
        .await
    }

    #[cfg(test)]
    fn parked(&self) -> bool {
        self.state.parked.load(SeqCst)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.stopped.store(true, SeqCst);
        self.thread.unpark();
    }
}

/// A guest that runs, or may run, on this thread. Dropped, it runs no more.
pub(crate) struct Running<'a>(&'a TickerState);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(GUEST, SeqCst);
    }
}

/// The thread. Sleeps, ticks, and looks whether anybody runs: 1 000 wake-ups a second on a busy host. It does not read
/// the clock: a late tick is not made up for.
fn tick(engine: &wasmtime::Engine, state: &TickerState) {
    let mut idle = 0;
    let mut seen = 0;
    while !state.stopped.load(SeqCst) {
        if idle == IDLE_TICKS {
            park(state, seen);
        }
        thread::sleep(TICK);
        engine.increment_epoch();
        let guests = state.guests.load(SeqCst);
        idle = if is_idle(guests, seen) { idle + 1 } else { 0 };
        seen = guests;
    }
}

/// Whether no guest runs, and none was started since `seen`. The lower half must be 0, and the whole number the same:
/// one start changes the upper half.
fn is_idle(guests: u64, seen: u64) -> bool {
    guests == seen && guests.is_multiple_of(START)
}

/// Parks until a guest starts. No wake-up is lost: `run` counts the guest before it reads `parked`, and this
/// sets `parked` before it reads the count, both sequentially consistent, so at least one sees the other.
fn park(state: &TickerState, seen: u64) {
    state.parked.store(true, SeqCst);
    while is_idle(state.guests.load(SeqCst), seen) && !state.stopped.load(SeqCst) {
        thread::park();
    }
    state.parked.store(false, SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_parks_when_nothing_runs_and_wakes_for_the_next_guest() {
        let ticker = Ticker::start(wasmtime::Engine::default()).expect("a ticker");
        for _ in 0..2 {
            while !ticker.parked() {
                thread::yield_now();
            }
            let running = ticker.run();
            while ticker.parked() {
                thread::yield_now();
            }
            drop(running);
        }
    }

    #[test]
    fn it_ends_when_dropped() {
        let ticker = Ticker::start(wasmtime::Engine::default()).expect("a ticker");
        let state = Arc::downgrade(&ticker.state);
        drop(ticker);
        while state.strong_count() > 0 {
            thread::yield_now();
        }
    }
}
