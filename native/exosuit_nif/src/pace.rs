//! Which operations are worth a slice on the calling scheduler, learnt from what they did before.
//!
//! The engine ends a guest's slice by its epoch and takes what it knows to be long off the scheduler.
//! What nothing interrupts and nobody foresaw, a long list that a guest hands over for example, shows
//! here afterwards: an operation that overran its slice goes to Tokio from then on, and each overrun
//! doubles the calls until it is tried again.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// Two operations of one slot share their fate; memory is bounded whatever they are called.
const SLOTS: usize = 4_096;

/// Shares are of 65 536: what is kept is a moving average over some sixteen calls.
const ONE: u32 = 1 << 16;

/// An operation that ends within its slice less often than this goes straight to Tokio …
const TOO_SELDOM: u32 = ONE / 4;

/// … but one call in so many tries again, since what it calls may have become quick.
const RETRY: u32 = 64;

/// What is no slice any more. A busy machine may take a thread from its core for a while.
const OVERRUN: Duration = Duration::from_millis(5);

/// How often the calls until the next try are doubled: up to 262 144 of them.
const MAX_OVERRUNS: u32 = 12;

static PACES: LazyLock<Paces> = LazyLock::new(|| Paces {
    state: RandomState::new(),
    slots: (0..SLOTS)
        .map(|_| Slot {
            finished: AtomicU32::new(ONE),
            skipped: AtomicU32::new(0),
            overruns: AtomicU32::new(0),
        })
        .collect(),
});

struct Paces {
    state: RandomState,
    slots: Box<[Slot]>,
}

/// How one operation did.
pub(crate) struct Slot {
    finished: AtomicU32,
    skipped: AtomicU32,
    /// How often it held a scheduler for longer than it may.
    overruns: AtomicU32,
}

/// How an operation of a target did so far.
pub(crate) fn of(target: &str, operation: &str) -> &'static Slot {
    let hash = PACES.state.hash_one((target, operation));
    let index = usize::try_from(hash % SLOTS as u64).unwrap_or_default();
    &PACES.slots[index]
}

impl Slot {
    /// Whether the next call should be polled inline.
    pub(crate) fn inline(&self) -> bool {
        if self.finished.load(Relaxed) >= TOO_SELDOM {
            return true;
        }
        let every = RETRY << self.overruns.load(Relaxed);
        self.skipped.fetch_add(1, Relaxed) % every == every - 1
    }

    /// Takes note of a call that was polled inline. A lost update among many is no loss.
    pub(crate) fn record(&self, finished: bool, took: Duration) {
        if took > OVERRUN {
            let overruns = self.overruns.load(Relaxed);
            self.overruns
                .store((overruns + 1).min(MAX_OVERRUNS), Relaxed);
            self.finished.store(0, Relaxed);
            return;
        }
        let share = self.finished.load(Relaxed);
        let target = if finished { ONE } else { 0 };
        self.finished
            .store(share - share / 16 + target / 16, Relaxed);
    }
}
