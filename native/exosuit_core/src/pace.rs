//! Decides which operations run on the scheduler of their caller, by the times of their earlier
//! calls.
//!
//! The engine ends a guest's slice by its epoch, and moves work that it knows to be long off the
//! scheduler. Other long work cannot be interrupted, for example a long list that a guest passes to
//! the host. An operation that overran its slice therefore runs on Tokio from then on. Each overrun
//! doubles the number of calls until the operation gets a slice again.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// The number of slots, which bounds the memory. Operations that share a slot share its statistics.
const SLOTS: usize = 4_096;

/// The share of finished calls is a moving average over about sixteen calls, in units of 1/65 536.
const ONE: u32 = 1 << 16;

/// An operation that finishes within its slice less often than this runs on Tokio …
const TOO_SELDOM: u32 = ONE / 4;

/// … but one of so many calls is tried again, because the operation may have become faster.
const RETRY: u32 = 64;

/// A longer slice counts as an overrun. A busy machine may preempt a thread for a while.
const OVERRUN: Duration = Duration::from_millis(5);

/// How often the number of calls until the next try is doubled: up to 262 144.
const MAX_OVERRUNS: u32 = 12;

static PACES: LazyLock<Paces> = LazyLock::new(|| Paces {
    state: RandomState::new(),
    slots: (0..SLOTS).map(|_| Pace::new()).collect(),
});

struct Paces {
    state: RandomState,
    slots: Box<[Pace]>,
}

/// The statistics of one operation of a target.
#[derive(Debug)]
pub struct Pace {
    finished: AtomicU32,
    skipped: AtomicU32,
    /// How often it held a scheduler for too long.
    overruns: AtomicU32,
}

impl Pace {
    /// The statistics of an operation of a target.
    pub fn of(target: &str, operation: &str) -> &'static Self {
        let hash = PACES.state.hash_one((target, operation));
        let index = usize::try_from(hash % SLOTS as u64).unwrap_or_default();
        &PACES.slots[index]
    }

    fn new() -> Self {
        Self {
            finished: AtomicU32::new(ONE),
            skipped: AtomicU32::new(0),
            overruns: AtomicU32::new(0),
        }
    }

    /// Whether the next call should be polled inline.
    pub fn inline(&self) -> bool {
        if self.finished.load(Relaxed) >= TOO_SELDOM {
            return true;
        }
        let every = RETRY << self.overruns.load(Relaxed);
        self.skipped.fetch_add(1, Relaxed) % every == every - 1
    }

    /// Records a call that was polled inline. Lost updates do not matter.
    pub fn record(&self, finished: bool, took: Duration) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(10);

    /// How many of so many calls are polled inline, each of which is slow.
    fn tried(pace: &Pace, calls: u32, took: Duration) -> u32 {
        let inline = (0..calls).filter(|_| {
            let inline = pace.inline();
            if inline {
                pace.record(false, took);
            }
            inline
        });
        u32::try_from(inline.count()).expect("no more than calls")
    }

    #[test]
    fn an_operation_that_finishes_stays_and_one_that_does_not_is_tried_now_and_then() {
        let pace = Pace::new();
        for _ in 0..1_000 {
            assert!(pace.inline());
            pace.record(true, QUICK);
        }
        let learning = tried(&pace, 100, QUICK);
        assert!(learning < 40, "{learning} of 100");
        assert_eq!(tried(&pace, 640, QUICK), 10);

        // It has become quick.
        for _ in 0..640 {
            if pace.inline() {
                pace.record(true, QUICK);
            }
        }
        assert!(pace.inline());
    }

    #[test]
    fn an_operation_that_overran_its_slice_is_tried_ever_more_seldom() {
        let pace = Pace::new();
        let slow = Duration::from_millis(50);
        assert_eq!(tried(&pace, 1, slow), 1);
        // At call 128, 256, 512, and so on.
        let tries: u32 = (0..100).map(|_| tried(&pace, 1_000, slow)).sum();
        assert!((8..=12).contains(&tries), "{tries} of 100 000");
    }
}
