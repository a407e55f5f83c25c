//! Whose signatures are worth verifying: of those who have been genuine lately any, of all others as
//! many as may turn out to be forged.
//!
//! To verify a signature takes several times as long as everything that can be checked before. So that
//! a flood of forged calls takes no more than a small share of that time, few of them get so far.
//! Senders are told apart by the inbox in which they await answers. Nobody can guess that of another;
//! who can listen to all that is sent can take it, and bring its owner back among the doubtful.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::mem;
use std::time::Instant;

use parking_lot::Mutex;

use crate::Error;

/// How many forged signatures are verified a second: a hundredth of a core's time. Hosts that are
/// heard of for the first time are fewer.
const FORGED_PER_SECOND: u32 = 500;

/// How many senders are remembered in each of two generations.
const KNOWN: usize = 4_096;

/// How much of an inbox tells senders apart: all of them begin alike, and most clients make one for
/// each call that begins like their last.
const TOKENS: usize = 2;
const LETTERS: usize = 12;

/// Who awaits an answer, as far as that can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Sender(u64);

/// The leave to verify a signature of this sender.
#[derive(Debug)]
pub(super) struct Leave {
    sender: Sender,
    is_known: bool,
}

/// What is known of senders.
pub(super) struct Doubt {
    hasher: RandomState,
    state: Mutex<State>,
}

struct State {
    young: HashSet<Sender>,
    old: HashSet<Sender>,
    /// How many forged signatures may be verified.
    forged: u32,
    since: Instant,
}

impl Doubt {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            hasher: RandomState::new(),
            state: Mutex::new(State {
                young: HashSet::new(),
                old: HashSet::new(),
                forged: FORGED_PER_SECOND,
                since: now,
            }),
        }
    }

    /// Who awaits an answer in this inbox.
    pub(super) fn sender(&self, inbox: Option<&str>) -> Sender {
        let mut tokens = inbox.unwrap_or_default().splitn(TOKENS + 1, '.');
        let tokens: [_; TOKENS] = std::array::from_fn(|_| tokens.next().unwrap_or_default());
        let tokens = tokens.map(|token| &token[..token.floor_char_boundary(LETTERS)]);
        Sender(self.hasher.hash_one(tokens))
    }

    /// Whether it is worth to look at what they send at all, before anything is known of it.
    pub(super) fn look(&self, sender: Sender, now: Instant) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.knows(sender) {
            return Ok(());
        }
        state.refill(now);
        if state.forged == 0 {
            return Err(Error::Overloaded);
        }
        Ok(())
    }

    /// Whether a signature of theirs may be verified.
    pub(super) fn enter(&self, sender: Sender, now: Instant) -> Result<Leave, Error> {
        let mut state = self.state.lock();
        let is_known = state.knows(sender);
        if !is_known {
            state.refill(now);
            state.forged = state.forged.checked_sub(1).ok_or(Error::Overloaded)?;
        }
        Ok(Leave { sender, is_known })
    }

    /// What it turned out to be.
    pub(super) fn settle(&self, leave: &Leave, is_genuine: bool) {
        let mut state = self.state.lock();
        if is_genuine {
            if !leave.is_known {
                state.forged = FORGED_PER_SECOND.min(state.forged + 1);
            }
            state.know(leave.sender);
        } else {
            state.young.remove(&leave.sender);
            state.old.remove(&leave.sender);
        }
    }
}

impl State {
    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        let more = (passed * f64::from(FORGED_PER_SECOND)).min(f64::from(FORGED_PER_SECOND));
        if more >= 1.0 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is between 1 and FORGED_PER_SECOND"
            )]
            let more = more as u32;
            self.forged = FORGED_PER_SECOND.min(self.forged + more);
            self.since = now;
        }
    }

    fn knows(&self, sender: Sender) -> bool {
        self.young.contains(&sender) || self.old.contains(&sender)
    }

    fn know(&mut self, sender: Sender) {
        if self.young.contains(&sender) {
            return;
        }
        if self.young.len() >= KNOWN {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(sender);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn flood(doubt: &Doubt, sender: Sender, now: Instant) -> usize {
        let forge = |_: &u32| {
            let leave = doubt.enter(sender, now);
            leave.is_ok_and(|leave| {
                doubt.settle(&leave, false);
                true
            })
        };
        (0..10_000).filter(forge).count()
    }

    #[test]
    fn forged_signatures_get_a_share_and_genuine_ones_what_they_need() {
        let now = Instant::now();
        let doubt = Doubt::new(now);
        let (good, bad) = (doubt.sender(Some("_INBOX.good")), doubt.sender(None));
        let leave = doubt.enter(good, now).expect("the first");
        doubt.settle(&leave, true);
        assert_eq!(flood(&doubt, bad, now), 500);
        assert_eq!(flood(&doubt, bad, now + Duration::from_millis(500)), 250);
        assert_eq!(flood(&doubt, bad, now + Duration::from_mins(1)), 500);
        assert!(doubt.look(good, now).is_ok() && doubt.look(bad, now).is_err());
        for _ in 0..10_000 {
            let leave = doubt.enter(good, now).expect("it is known");
            doubt.settle(&leave, true);
        }
        // Nobody else is let in meanwhile, and whoever was good once need not stay so.
        assert!(doubt.enter(doubt.sender(Some("_INBOX.new")), now).is_err());
        doubt.settle(&doubt.enter(good, now).expect("it is known"), false);
        assert!(doubt.enter(good, now).is_err());
    }

    #[test]
    fn genuine_signatures_of_the_unknown_cost_nothing() {
        let now = Instant::now();
        let doubt = Doubt::new(now);
        for n in 0..10_000 {
            let sender = doubt.sender(Some(&format!("_INBOX.{n}")));
            let leave = doubt.enter(sender, now).expect("nothing was forged");
            doubt.settle(&leave, true);
        }
        let state = doubt.state.lock();
        assert!(state.young.len() <= KNOWN && state.old.len() <= KNOWN);
    }

    #[test]
    fn a_client_is_one_sender_whatever_it_asks() {
        let doubt = Doubt::new(Instant::now());
        let sender = |inbox| doubt.sender(Some(inbox));
        // Of an inbox for all requests, and of one for each, whose last letters count up.
        assert_eq!(
            sender("_INBOX.0123456789abcdef.1"),
            sender("_INBOX.0123456789abcdef.2")
        );
        assert_eq!(
            sender("_INBOX.Vt5sCs8gzJ6w0000000001"),
            sender("_INBOX.Vt5sCs8gzJ6w0000000002")
        );
        assert_ne!(sender("_INBOX.0123456789abcdef.1"), sender("_INBOX.1.1"));
        for odd in ["", ".", "é", "_INBOX.éééééééééé"] {
            let _ = sender(odd);
        }
    }
}
