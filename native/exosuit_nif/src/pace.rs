//! Which operations are worth a slice on the calling scheduler, learnt from what they did before.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Two operations of one slot share their fate; memory is bounded whatever they are called.
const SLOTS: usize = 4_096;

/// Shares are of 65 536: what is kept is a moving average over some sixteen calls.
const ONE: u32 = 1 << 16;

/// An operation that ends within its slice less often than this goes straight to Tokio …
const TOO_SELDOM: u32 = ONE / 4;

/// … but one call in so many tries again, since what it calls may have become quick.
const RETRY: u32 = 64;

static PACES: LazyLock<Paces> = LazyLock::new(|| Paces {
    state: RandomState::new(),
    slots: (0..SLOTS)
        .map(|_| Slot {
            finished: AtomicU32::new(ONE),
            skipped: AtomicU32::new(0),
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
        self.finished.load(Relaxed) >= TOO_SELDOM
            || self.skipped.fetch_add(1, Relaxed).is_multiple_of(RETRY)
    }

    /// Takes note of a call that was polled inline. A lost update among many is no loss.
    pub(crate) fn record(&self, finished: bool) {
        let share = self.finished.load(Relaxed);
        let target = if finished { ONE } else { 0 };
        self.finished
            .store(share - share / 16 + target / 16, Relaxed);
    }
}
