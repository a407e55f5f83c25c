//! Counts refused calls by reason, and reports few of them. Also detects hosts whose clock differs from ours.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::Error;

/// The shortest time between two notices of one kind.
const EVERY: Duration = Duration::from_secs(1);

/// The number of notices that wait for a slow receiver. The oldest are lost.
const REFUSALS: usize = 64;

/// Refusals of one kind since the last notice of that kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The target of the call.
    pub target: String,
    /// The reason why the last call was refused.
    pub error: Error,
    /// The number of refusals of this kind since the last notice.
    pub count: u64,
}

/// The difference between two clocks that is reported, in milliseconds. It is a third of the usual
/// `freshness`, beyond which calls are refused.
const SKEW: u64 = 10_000;

/// The shortest time between two reports, for all hosts together.
const SKEW_EVERY: Duration = Duration::from_mins(1);

/// A host whose clock differs from ours, as its authentic calls or answers show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skew {
    /// The caller, or the answering target.
    pub source: String,
    /// The milliseconds by which its clock is ahead of this host's; negative if it is behind.
    pub milliseconds: i64,
}

/// Counts refusals by the code of their error. The codes are a fixed set, so the map is bounded.
pub(super) struct Tally {
    /// Held for a look-up by each refusal.
    kinds: Mutex<BTreeMap<&'static str, Kind>>,
    refusals: broadcast::Sender<Refusal>,
    skews: broadcast::Sender<Skew>,
    /// When a difference was reported last.
    skew_told: Mutex<Option<Instant>>,
}

/// The refusals of one kind.
#[derive(Default)]
struct Kind {
    count: u64,
    /// The count at the last notice.
    told: u64,
    told_at: Option<Instant>,
}

impl Tally {
    /// Nothing is counted yet.
    pub(super) fn new() -> Self {
        Self {
            kinds: Mutex::default(),
            refusals: broadcast::Sender::new(REFUSALS),
            skews: broadcast::Sender::new(REFUSALS),
            skew_told: Mutex::default(),
        }
    }

    /// The reports of clocks from now on.
    pub(super) fn skews(&self) -> broadcast::Receiver<Skew> {
        self.skews.subscribe()
    }

    /// Reports a source whose message, made at `sent`, came at another time than `now`. The message
    /// must be authentic: anyone could cause a report otherwise. The time on the way counts as a
    /// difference, too.
    pub(super) fn compare_clocks(&self, source: &str, sent: u64, now: u64) {
        if sent.abs_diff(now) <= SKEW {
            return;
        }
        let mut told = self.skew_told.lock();
        if told.is_some_and(|at| at.elapsed() < SKEW_EVERY) {
            return;
        }
        *told = Some(Instant::now());
        let ahead = i128::from(sent) - i128::from(now);
        let bound = |bound: i64| i64::try_from(ahead).unwrap_or(bound);
        let milliseconds = bound(if ahead < 0 { i64::MIN } else { i64::MAX });
        let source = source.to_owned();
        // Nobody may be listening.
        let _ = self.skews.send(Skew {
            source,
            milliseconds,
        });
    }

    /// The notices from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Refusal> {
        self.refusals.subscribe()
    }

    /// The number of refusals by code.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.kinds
            .lock()
            .iter()
            .map(|(code, kind)| (*code, kind.count))
            .collect()
    }

    /// Counts a refusal, and sends a notice if the last one of its kind is a second old.
    pub(super) fn count(&self, target: &str, error: &Error) {
        let mut kinds = self.kinds.lock();
        let kind = kinds.entry(error.code()).or_default();
        kind.count += 1;
        if kind.told_at.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        let refusal = Refusal {
            target: target.to_owned(),
            error: error.clone(),
            count: kind.count - kind.told,
        };
        kind.told = kind.count;
        kind.told_at = Some(Instant::now());
        // Nobody may be listening.
        let _ = self.refusals.send(refusal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_not_ours_is_told_of_once_in_a_while() {
        let tally = Tally::new();
        let mut skews = tally.skews();
        for (sent, now) in [(20_000, 10_000), (30_001, 20_000), (0, u64::MAX)] {
            tally.compare_clocks("counter", sent, now);
        }
        let told: Vec<_> = std::iter::from_fn(|| skews.try_recv().ok()).collect();
        let source = "counter".to_owned();
        assert_eq!(
            told,
            [Skew {
                source,
                milliseconds: 10_001
            }]
        );
        for (sent, now) in [(0, u64::MAX), (u64::MAX, 0)] {
            let tally = Tally::new();
            let mut skews = tally.skews();
            tally.compare_clocks("counter", sent, now);
            let told = skews.try_recv().expect("it is told");
            assert_eq!(
                told.milliseconds,
                if sent == 0 { i64::MIN } else { i64::MAX }
            );
        }
    }

    #[test]
    fn a_flood_is_counted_and_told_once() {
        let tally = Tally::new();
        let mut refusals = tally.subscribe();
        for _ in 0..1_000 {
            tally.count("MA", &Error::Replayed);
            tally.count("MA", &Error::Overloaded);
        }
        assert_eq!(
            tally.counts(),
            [("overloaded", 1_000), ("replayed", 1_000)].into()
        );
        let told: Vec<_> = std::iter::from_fn(|| refusals.try_recv().ok()).collect();
        assert_eq!(
            told.iter().map(|refusal| refusal.count).collect::<Vec<_>>(),
            [1, 1]
        );
    }
}
