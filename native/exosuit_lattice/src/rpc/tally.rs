//! How many calls were refused, and why: every one is counted, and few are told of.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::Error;

/// How often refusals of one kind are told of, however many there are.
const EVERY: Duration = Duration::from_secs(1);

/// How many wait for whoever is slow to take them.
const REFUSALS: usize = 64;

/// Calls from the lattice that were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was called.
    pub target: String,
    /// Why the last one was refused.
    pub error: Error,
    /// How many were refused for this kind of reason, since that was last told.
    pub count: u64,
}

/// Counts refusals by the code of their error.
pub(super) struct Tally {
    kinds: Mutex<BTreeMap<&'static str, Kind>>,
    refusals: broadcast::Sender<Refusal>,
}

#[derive(Default)]
struct Kind {
    count: u64,
    told: u64,
    told_at: Option<Instant>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            kinds: Mutex::default(),
            refusals: broadcast::Sender::new(REFUSALS),
        }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Refusal> {
        self.refusals.subscribe()
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.kinds
            .lock()
            .iter()
            .map(|(code, kind)| (*code, kind.count))
            .collect()
    }

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
