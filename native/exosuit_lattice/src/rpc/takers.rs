//! The names whose hosts accept calls with a MAC.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use exosuit_core::Id;
use parking_lot::Mutex;

/// How long a name is not asked for again, of which nobody has answered.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// How many names are kept in mind.
const MOST_NAMES: usize = 4_096;

/// The hosts that accept calls with a MAC.
#[derive(Default)]
pub(super) struct Takers {
    are_there: AtomicBool,
    names: Mutex<HashMap<Id, Taker>>,
}

/// The state of a name.
#[derive(Clone, Copy)]
enum Taker {
    /// Somebody answers to it so.
    There,
    /// It was asked then.
    Asked(Instant),
}

impl Takers {
    pub(super) fn are_there(&self, are_there: bool) {
        self.are_there.store(are_there, Ordering::Relaxed);
    }

    /// Whether calls to this name go with a MAC.
    pub(super) fn take(&self, name: &Id) -> bool {
        let is_there = || matches!(self.names.lock().get(name), Some(Taker::There));
        self.are_there.load(Ordering::Relaxed) && is_there()
    }

    /// Whether it is time to ask whether anybody takes calls to this name so.
    pub(super) fn is_to_be_asked(&self, name: &Id) -> bool {
        if !self.are_there.load(Ordering::Relaxed) {
            return false;
        }
        let mut names = self.names.lock();
        match names.get(name) {
            Some(Taker::There) => return false,
            Some(Taker::Asked(at)) if at.elapsed() < ASK_EVERY => return false,
            _ => {}
        }
        if names.len() >= MOST_NAMES {
            names.retain(|_, taker| matches!(taker, Taker::There));
        }
        if names.len() >= MOST_NAMES {
            names.clear();
        }
        names.insert(name.clone(), Taker::Asked(Instant::now()));
        true
    }

    pub(super) fn is_there(&self, name: &Id) {
        if let Some(taker) = self.names.lock().get_mut(name) {
            *taker = Taker::There;
        }
    }

    pub(super) fn is_gone(&self, name: &Id) {
        self.names.lock().remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> Id {
        Id::parse(&format!("actor-{n}")).expect("a name")
    }

    #[test]
    fn a_name_is_asked_for_once_in_a_while_and_called_with_a_mac_once_somebody_answers() {
        let takers = Takers::default();
        assert!(!takers.is_to_be_asked(&name(1)));
        takers.are_there(true);
        assert!(takers.is_to_be_asked(&name(1)) && !takers.is_to_be_asked(&name(1)));
        assert!(!takers.take(&name(1)));
        takers.is_there(&name(1));
        assert!(takers.take(&name(1)) && !takers.is_to_be_asked(&name(1)));
        takers.is_gone(&name(1));
        assert!(!takers.take(&name(1)) && takers.is_to_be_asked(&name(1)));
        takers.is_there(&name(1));
        takers.are_there(false);
        assert!(!takers.take(&name(1)));
    }

    #[test]
    fn however_many_names_are_called_few_are_kept_in_mind() {
        let takers = Takers::default();
        takers.are_there(true);
        for n in 0..3 * MOST_NAMES {
            assert!(takers.is_to_be_asked(&name(n)));
            takers.is_there(&name(n));
            assert!(takers.names.lock().len() <= MOST_NAMES);
        }
    }
}
