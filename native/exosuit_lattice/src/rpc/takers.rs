//! The names whose hosts accept calls with a MAC.
//!
//! A name is proven once a host answers a probe to it with a MAC. Only a probe that times out revokes that.
//! Anyone on the bus can forge an event or "no responders", and can cause a timeout of a call: such a failure
//! makes a proven name doubted. A doubted name is probed again, and its calls carry a MAC until then.

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
    /// Somebody answered to it so, and a later call failed. It was asked again then, if at all.
    Doubted(Option<Instant>),
    /// It was asked then.
    Asked(Instant),
}

impl Takers {
    /// Says whether any host takes such calls: if none does, no new name is asked for.
    pub(super) fn are_there(&self, are_there: bool) {
        self.are_there.store(are_there, Ordering::Relaxed);
    }

    /// Whether calls to this name go with a MAC.
    pub(super) fn take(&self, name: &Id) -> bool {
        self.names.lock().get(name).is_some_and(Taker::is_proven)
    }

    /// Whether it is time to ask whether anybody takes calls to this name so.
    pub(super) fn is_to_be_asked(&self, name: &Id) -> bool {
        let mut names = self.names.lock();
        match names.get_mut(name) {
            Some(Taker::There) => return false,
            Some(Taker::Doubted(asked)) => {
                let is_due = asked.is_none_or(|at| at.elapsed() >= ASK_EVERY);
                if is_due {
                    *asked = Some(Instant::now());
                }
                return is_due;
            }
            Some(Taker::Asked(at)) if at.elapsed() < ASK_EVERY => return false,
            _ => {}
        }
        if !self.are_there.load(Ordering::Relaxed) {
            return false;
        }
        if names.len() >= MOST_NAMES {
            names.retain(|_, taker| taker.is_proven());
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

    /// A call to this name with a MAC failed: a proven name is asked again.
    pub(super) fn doubt(&self, name: &Id) {
        if let Some(taker @ Taker::There) = self.names.lock().get_mut(name) {
            *taker = Taker::Doubted(None);
        }
    }

    /// Nobody answered the question to this name in time: a doubted name is proven no longer.
    pub(super) fn is_unanswered(&self, name: &Id) {
        let mut names = self.names.lock();
        if let Some(taker) = names.get_mut(name)
            && let Taker::Doubted(Some(asked)) = *taker
        {
            *taker = Taker::Asked(asked);
        }
    }
}

impl Taker {
    fn is_proven(&self) -> bool {
        matches!(self, Self::There | Self::Doubted(_))
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
    }

    #[test]
    fn a_proven_name_stays_so_until_a_question_is_not_answered() {
        let takers = Takers::default();
        takers.are_there(true);
        assert!(takers.is_to_be_asked(&name(1)));
        takers.is_there(&name(1));
        // No host says any more that it takes such calls, and a call fails.
        takers.are_there(false);
        assert!(!takers.is_to_be_asked(&name(2)));
        takers.is_unanswered(&name(1));
        takers.doubt(&name(1));
        takers.is_unanswered(&name(1));
        assert!(takers.take(&name(1)));
        // It is asked once, and another call that fails changes nothing of that.
        assert!(takers.is_to_be_asked(&name(1)) && !takers.is_to_be_asked(&name(1)));
        takers.doubt(&name(1));
        assert!(takers.take(&name(1)) && !takers.is_to_be_asked(&name(1)));
        takers.is_there(&name(1));
        takers.is_unanswered(&name(1));
        assert!(takers.take(&name(1)));
        takers.doubt(&name(1));
        assert!(takers.is_to_be_asked(&name(1)));
        takers.is_unanswered(&name(1));
        assert!(!takers.take(&name(1)) && !takers.is_to_be_asked(&name(1)));
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
