//! The calls that were served lately, so that none is served twice.

use std::collections::HashSet;
use std::mem;

/// Remembers calls for as long as they count as new, and no more of them than fit.
///
/// There are two generations, the younger of which takes what comes. When it is old enough, or
/// full, it becomes the elder, and what the elder knew is forgotten. So that nothing forgotten can
/// be served again, no call is new any more that was signed before the last that was forgotten.
#[derive(Debug)]
pub(super) struct Replays {
    /// How many seconds a call counts as new, either side of now.
    window: u64,
    /// How many calls fit in a generation.
    capacity: usize,
    young: Generation,
    old: Generation,
    /// Calls that were signed until then may have been forgotten.
    forgotten_until: u64,
}

#[derive(Debug, Default)]
struct Generation {
    since: u64,
    /// When the last call in it was signed.
    signed_until: u64,
    calls: HashSet<u128>,
}

/// Why a call is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// It was signed too long ago, or in the future.
    Stale,
    /// It was served before.
    Replayed,
}

impl Replays {
    pub(super) fn new(window: u64, capacity: usize, now: u64) -> Self {
        let generation = || Generation {
            since: now,
            ..Generation::default()
        };
        Self {
            window,
            capacity,
            young: generation(),
            old: generation(),
            forgotten_until: 0,
        }
    }

    /// Whether a call would be taken: for a first look, before it is known to be genuine.
    pub(super) fn look(&self, call: u128, signed_at: u64, now: u64) -> Result<(), Denied> {
        if signed_at.abs_diff(now) > self.window || signed_at <= self.forgotten_until {
            return Err(Denied::Stale);
        }
        if self.young.calls.contains(&call) || self.old.calls.contains(&call) {
            return Err(Denied::Replayed);
        }
        Ok(())
    }

    /// Takes a genuine call, once.
    pub(super) fn take(&mut self, call: u128, signed_at: u64, now: u64) -> Result<(), Denied> {
        self.age(now);
        self.look(call, signed_at, now)?;
        self.young.calls.insert(call);
        self.young.signed_until = self.young.signed_until.max(signed_at);
        Ok(())
    }

    /// A call that is signed ahead of our time by a window stays new for two.
    fn age(&mut self, now: u64) {
        let is_old = now.saturating_sub(self.young.since) > 2 * self.window;
        let is_full = self.young.calls.len() >= self.capacity;
        if !is_old && !is_full {
            return;
        }
        let next = Generation {
            since: now,
            ..Generation::default()
        };
        let forgotten = mem::replace(&mut self.old, mem::replace(&mut self.young, next));
        self.forgotten_until = self.forgotten_until.max(forgotten.signed_until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_700_000_000;

    fn replays() -> Replays {
        Replays::new(30, 4, NOW)
    }

    #[test]
    fn a_call_is_served_once() {
        let mut replays = replays();
        assert_eq!(replays.look(1, NOW, NOW), Ok(()));
        assert_eq!(replays.take(1, NOW, NOW), Ok(()));
        assert_eq!(replays.look(1, NOW, NOW), Err(Denied::Replayed));
        assert_eq!(replays.take(1, NOW, NOW + 29), Err(Denied::Replayed));
        assert_eq!(replays.take(2, NOW, NOW), Ok(()));
    }

    #[test]
    fn a_call_is_new_for_a_while() {
        let mut replays = replays();
        assert_eq!(replays.take(1, NOW - 30, NOW), Ok(()));
        assert_eq!(replays.take(2, NOW - 31, NOW), Err(Denied::Stale));
        assert_eq!(replays.take(3, NOW + 30, NOW), Ok(()));
        assert_eq!(replays.take(4, NOW + 31, NOW), Err(Denied::Stale));
    }

    #[test]
    fn a_crowd_shortens_the_while_and_lets_nothing_in_twice() {
        let mut replays = replays();
        for call in 0..12 {
            assert_eq!(
                replays.take(call, NOW + u64::try_from(call).expect("small"), NOW + 11),
                Ok(())
            );
        }
        assert!(replays.young.calls.len() + replays.old.calls.len() <= 8);
        assert_eq!(replays.take(0, NOW, NOW + 11), Err(Denied::Stale));
        assert_eq!(replays.take(11, NOW + 11, NOW + 11), Err(Denied::Replayed));
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut replays = replays();
        let calls = [(1, NOW), (2, NOW + 61), (3, NOW + 122)];
        for (call, now) in calls {
            assert_eq!(replays.take(call, now, now), Ok(()));
        }
        assert!(!replays.old.calls.contains(&1) && !replays.young.calls.contains(&1));
        assert_eq!(replays.take(1, NOW, NOW + 122), Err(Denied::Stale));
    }

    proptest! {
        #[test]
        fn nothing_is_ever_served_twice(
            calls in prop::collection::vec((0u128..20, 0u64..60, 0u64..20), 1..200),
        ) {
            let mut replays = replays();
            let mut served = std::collections::HashSet::new();
            let mut now = NOW;
            for (call, signed, pause) in calls {
                now += pause;
                // One token is signed at one time.
                let call = call << 64 | u128::from(NOW + signed);
                if replays.take(call, NOW + signed, now).is_ok() {
                    prop_assert!(served.insert(call));
                }
                prop_assert!(replays.young.calls.len() <= 4 && replays.old.calls.len() <= 4);
            }
        }
    }
}
