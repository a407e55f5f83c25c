//! The names whose hosts accept calls with a MAC.
//!
//! A name is proven once a host answers a probe to it with a MAC. Only a probe that times out
//! revokes that. Anyone on the bus can forge an event or "no responders", and can cause a timeout
//! of a call: such a failure makes a proven name doubted. A doubted name is probed again, and its
//! calls carry a MAC until then.
//!
//! | event | from | to |
//! |---|---|---|
//! | a call finds no state, and a probe begins | unknown | `Probed` |
//! | a host answers a probe | any | `Proven` |
//! | a call with a MAC fails | `Proven` | `Doubted(None)` |
//! | a probe begins | `Doubted` | `Doubted(Some(now))` |
//! | a probe times out | `Doubted(Some(time))` | `Probed(time)` |
//!
//! | state | calls | probed |
//! |---|---|---|
//! | unknown, `Probed` | signed | every 10 s, if any host accepts MACs |
//! | `Proven` | with a MAC | never |
//! | `Doubted` | with a MAC | at once, then every 10 s |

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use exosuit_core::Id;
use parking_lot::Mutex;

/// The shortest time between two probes of a name.
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// The bound on names. Past it, the names that are not proven are forgotten, and if that is not
/// enough, all of them.
const MAX_NAMES: usize = 4_096;

/// The names that were probed.
#[derive(Default)]
pub(super) struct MacNames {
    /// Whether any host of the lattice accepts calls with a MAC.
    any_host: AtomicBool,
    /// Held for a look-up, by each call to another host.
    names: Mutex<HashMap<Id, NameState>>,
}

/// The state of a name.
#[derive(Clone, Copy)]
enum NameState {
    /// A host has answered with a MAC.
    Proven,
    /// A host has answered with a MAC, and a later call failed. Holds the time of the next probe,
    /// if there was one.
    Doubted(Option<Instant>),
    /// It was probed at this time, without an answer so far.
    Probed(Instant),
}

impl MacNames {
    /// Sets whether any host accepts such calls. If none does, no new name is probed.
    pub(super) fn set_any_host(&self, any_host: bool) {
        self.any_host.store(any_host, Ordering::Relaxed);
    }

    /// Whether calls to this name carry a MAC.
    pub(super) fn is_proven(&self, name: &Id) -> bool {
        self.names
            .lock()
            .get(name)
            .is_some_and(NameState::is_proven)
    }

    /// Whether it is time to probe this name. If so, the probe is noted as begun, so that only one
    /// caller makes it.
    pub(super) fn should_probe(&self, name: &Id) -> bool {
        let mut names = self.names.lock();
        match names.get_mut(name) {
            Some(NameState::Proven) => return false,
            Some(NameState::Doubted(probed)) => {
                let is_due = probed.is_none_or(|at| at.elapsed() >= PROBE_EVERY);
                if is_due {
                    *probed = Some(Instant::now());
                }
                return is_due;
            }
            Some(NameState::Probed(at)) if at.elapsed() < PROBE_EVERY => return false,
            _ => {}
        }
        if !self.any_host.load(Ordering::Relaxed) {
            return false;
        }
        if names.len() >= MAX_NAMES {
            names.retain(|_, state| state.is_proven());
        }
        if names.len() >= MAX_NAMES {
            names.clear();
        }
        names.insert(name.clone(), NameState::Probed(Instant::now()));
        true
    }

    /// A host has answered a probe authentically. A name that was forgotten in the meantime stays
    /// so.
    pub(super) fn mark_proven(&self, name: &Id) {
        if let Some(state) = self.names.lock().get_mut(name) {
            *state = NameState::Proven;
        }
    }

    /// A call with a MAC to this name failed. A proven name is probed again.
    pub(super) fn mark_doubted(&self, name: &Id) {
        if let Some(state @ NameState::Proven) = self.names.lock().get_mut(name) {
            *state = NameState::Doubted(None);
        }
    }

    /// A probe timed out. A doubted name is no longer proven.
    pub(super) fn mark_unanswered(&self, name: &Id) {
        let mut names = self.names.lock();
        if let Some(state) = names.get_mut(name)
            && let NameState::Doubted(Some(probed)) = *state
        {
            *state = NameState::Probed(probed);
        }
    }
}

impl NameState {
    /// A doubted name counts as proven: calls to it still carry a MAC.
    fn is_proven(&self) -> bool {
        matches!(self, Self::Proven | Self::Doubted(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> Id {
        Id::parse(&format!("actor-{n}")).expect("a name")
    }

    #[test]
    fn a_name_is_probed_once_in_a_while_and_called_with_a_mac_once_somebody_answers() {
        let names = MacNames::default();
        assert!(!names.should_probe(&name(1)));
        names.set_any_host(true);
        assert!(names.should_probe(&name(1)) && !names.should_probe(&name(1)));
        assert!(!names.is_proven(&name(1)));
        names.mark_proven(&name(1));
        assert!(names.is_proven(&name(1)) && !names.should_probe(&name(1)));
    }

    #[test]
    fn a_proven_name_stays_so_until_a_question_is_not_answered() {
        let names = MacNames::default();
        names.set_any_host(true);
        assert!(names.should_probe(&name(1)));
        names.mark_proven(&name(1));
        // No host says any more that it takes such calls, and a call fails.
        names.set_any_host(false);
        assert!(!names.should_probe(&name(2)));
        names.mark_unanswered(&name(1));
        names.mark_doubted(&name(1));
        names.mark_unanswered(&name(1));
        assert!(names.is_proven(&name(1)));
        // It is probed once, and another call that fails changes nothing of that.
        assert!(names.should_probe(&name(1)) && !names.should_probe(&name(1)));
        names.mark_doubted(&name(1));
        assert!(names.is_proven(&name(1)) && !names.should_probe(&name(1)));
        names.mark_proven(&name(1));
        names.mark_unanswered(&name(1));
        assert!(names.is_proven(&name(1)));
        names.mark_doubted(&name(1));
        assert!(names.should_probe(&name(1)));
        names.mark_unanswered(&name(1));
        assert!(!names.is_proven(&name(1)) && !names.should_probe(&name(1)));
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let names = MacNames::default();
        names.set_any_host(true);
        for n in 0..3 * MAX_NAMES {
            assert!(names.should_probe(&name(n)));
            names.mark_proven(&name(n));
            assert!(names.names.lock().len() <= MAX_NAMES);
        }
    }
}
