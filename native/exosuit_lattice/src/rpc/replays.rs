//! The calls that were accepted lately, so that none is accepted twice.
//!
//! ```text
//! seconds:   … │ 12:00:01 │ 12:00:02 │ 12:00:03 │ …
//! forgotten_until ───────┘
//!                refused as stale │ remembered     │ not yet
//! ```
//!
//! A call is refused as stale rather than accepted by mistake: every second that was removed, for
//! whatever reason, moves `forgotten_until` to its end.
//!
//! One entry costs about 20 bytes. `BTreeMap` has at most 61 seconds with the usual window of 30 s
//! each way, so finding the second is cheap.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// Remembers calls for as long as they count as recent, and at most as many as fit.
///
/// Calls are stored by the second of their signature. A second outside the window is removed as a
/// whole. If there are more calls than fit, the earliest second is removed before its time, and
/// calls of that second or earlier no longer count as recent. Therefore no forgotten call is
/// accepted again.
///
/// The first such moment is the creation of this structure, because an earlier process of this host
/// may have accepted calls before. This holds for senders whose clock is not ahead: the earlier
/// process may have accepted calls with a time up to one window after its end.
///
/// Times are in milliseconds since 1970.
#[derive(Debug)]
pub(super) struct Replays {
    /// How long a call counts as recent, before and after now.
    window: u64,
    /// How many calls fit.
    capacity: usize,
    count: usize,
    /// The calls by the second in which they were signed.
    seconds: BTreeMap<u64, Calls>,
    /// An empty set with capacity, so that the next second need not grow one.
    spare: Calls,
    /// Calls up to this time may have been forgotten.
    forgotten_until: u64,
}

/// Parts of MACs and signatures. Nobody without a key can choose them, so they need no hashing.
type Calls = HashSet<u64, BuildHasherDefault<AsItIs>>;

/// A hasher that returns its input. Safe here, because the inputs are parts of MACs and signatures
/// that were verified.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// It was signed too long ago, in the future, or before this process began.
    Stale,
    /// It was accepted before.
    Replayed,
}

impl Replays {
    /// Nothing is remembered, and nothing from before `now` is accepted.
    pub(super) fn new(window: u64, capacity: usize, now: u64) -> Self {
        Self {
            window,
            capacity,
            count: 0,
            seconds: BTreeMap::new(),
            spare: Calls::default(),
            forgotten_until: now,
        }
    }

    /// Whether a call would be accepted. For the checks before its signature is verified.
    ///
    /// A call that passes here may still be refused by `record`, if another task records it first.
    pub(super) fn check(&self, call: u64, signed_at: u64, now: u64) -> Result<(), Denied> {
        if signed_at.abs_diff(now) > self.window || signed_at <= self.forgotten_until {
            return Err(Denied::Stale);
        }
        let second = self.seconds.get(&(signed_at / 1_000));
        if second.is_some_and(|calls| calls.contains(&call)) {
            return Err(Denied::Replayed);
        }
        Ok(())
    }

    /// Records an authentic call. Refuses a repetition.
    ///
    /// # Errors
    ///
    /// `Stale` or `Replayed`, and nothing is recorded.
    pub(super) fn record(&mut self, call: u64, signed_at: u64, now: u64) -> Result<(), Denied> {
        self.forget_before(now.saturating_sub(self.window));
        self.check(call, signed_at, now)?;
        let spare = &mut self.spare;
        let second = self.seconds.entry(signed_at / 1_000);
        second.or_insert_with(|| std::mem::take(spare)).insert(call);
        self.count += 1;
        if self.count > self.capacity {
            self.forget_first();
        }
        Ok(())
    }

    /// Removes the seconds that ended before this moment.
    fn forget_before(&mut self, moment: u64) {
        while let Some(second) = self.seconds.keys().next()
            && last_of(*second) < moment
        {
            self.forget_first();
        }
    }

    /// Removes the earliest second. Its set is emptied and kept for the next second, so that memory
    /// is not allocated again under load.
    fn forget_first(&mut self) {
        let Some((second, mut calls)) = self.seconds.pop_first() else {
            return;
        };
        self.count -= calls.len();
        self.forgotten_until = self.forgotten_until.max(last_of(second));
        calls.clear();
        self.spare = calls;
    }
}

/// The last millisecond of a second.
fn last_of(second: u64) -> u64 {
    second.saturating_mul(1_000).saturating_add(999)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_700_000_000_000;
    const WINDOW: u64 = 30_000;

    /// A cache that has existed for long.
    fn replays() -> Replays {
        Replays::new(WINDOW, 4, NOW - 10 * WINDOW)
    }

    #[test]
    fn a_call_is_served_once() {
        let mut replays = replays();
        assert_eq!(replays.check(1, NOW, NOW), Ok(()));
        assert_eq!(replays.record(1, NOW, NOW), Ok(()));
        assert_eq!(replays.check(1, NOW, NOW), Err(Denied::Replayed));
        assert_eq!(replays.record(1, NOW, NOW + WINDOW), Err(Denied::Replayed));
        assert_eq!(replays.record(2, NOW, NOW), Ok(()));
    }

    #[test]
    fn a_call_is_new_for_a_while() {
        let mut replays = replays();
        assert_eq!(replays.record(1, NOW - WINDOW, NOW), Ok(()));
        assert_eq!(replays.record(2, NOW - WINDOW - 1, NOW), Err(Denied::Stale));
        assert_eq!(replays.record(3, NOW + WINDOW, NOW), Ok(()));
        assert_eq!(replays.record(4, NOW + WINDOW + 1, NOW), Err(Denied::Stale));
    }

    #[test]
    fn what_was_signed_before_there_was_a_host_is_stale() {
        let mut replays = Replays::new(WINDOW, 4, NOW);
        for signed_at in [0, NOW - 29_000, NOW - 1, NOW] {
            assert_eq!(replays.record(1, signed_at, NOW + 1), Err(Denied::Stale));
        }
        assert_eq!(replays.record(1, NOW + 1, NOW + 1), Ok(()));
    }

    #[test]
    fn a_crowd_shortens_the_while_and_lets_nothing_in_twice() {
        let mut replays = replays();
        let now = NOW + 11_000;
        for call in 0..12 {
            assert_eq!(replays.record(call, NOW + call * 1_000, now), Ok(()));
        }
        assert_eq!(replays.count, 4);
        assert_eq!(replays.record(0, NOW, now), Err(Denied::Stale));
        assert_eq!(replays.record(11, now, now), Err(Denied::Replayed));
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut replays = replays();
        for (call, now) in [(1, NOW), (2, NOW + 31_000), (3, NOW + 62_000)] {
            assert_eq!(replays.record(call, now, now), Ok(()));
        }
        assert_eq!((replays.count, replays.seconds.len()), (1, 1));
        // Also for a clock that goes back.
        assert_eq!(replays.record(1, NOW, NOW), Err(Denied::Stale));
    }

    #[test]
    fn no_time_is_beyond_it() {
        let mut replays = Replays::new(WINDOW, 4, 0);
        for time in [0, 1, u64::MAX - 1, u64::MAX] {
            let _ = replays.record(1, time, u64::MAX - time);
            let _ = replays.record(1, time, time);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_ever_served_twice(
            calls in prop::collection::vec((0u64..20, 0u64..60_000, 0u64..20_000), 1..200),
        ) {
            let mut replays = replays();
            let mut served = HashSet::new();
            let mut now = NOW;
            for (call, signed, pause) in calls {
                now += pause;
                // One token is signed at one time.
                let call = call << 32 | signed;
                if replays.record(call, NOW + signed, now).is_ok() {
                    prop_assert!(served.insert(call));
                }
                prop_assert!(replays.count <= 4);
            }
        }
    }
}
