//! Limits the time that is spent on forged signatures.
//!
//! Verifying a signature takes several times as long as all other checks of a call. Senders with a
//! recent valid signature are not limited. All others share a budget of [`FORGED_PER_SECOND`]
//! invalid signatures per second, so that a flood of forged calls takes a small share of a core.
//!
//! Senders are told apart by the inbox that they await answers in. Nobody can guess another
//! sender's inbox. Someone who can read all messages can use it, and thereby move its owner back to
//! the limited senders.
//!
//! A signature passes three steps: [`VerifyLimiter::precheck`] before a call is parsed,
//! [`VerifyLimiter::acquire`] before it is verified, and [`VerifyLimiter::record`] with the result.
//!
//! | sender | checked | budget |
//! |---|---|---|
//! | known, signature valid | always | untouched |
//! | known, signature invalid | always | untouched; the sender becomes unknown |
//! | unknown, signature valid | if the budget has one | takes one and returns it; becomes known |
//! | unknown, signature invalid | if the budget has one | takes one |
//!
//! A sender that becomes unknown by a forged signature in its name is served as long as the budget
//! lasts, and becomes known again with its next valid signature.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::mem;
use std::time::Instant;

use parking_lot::Mutex;

use crate::Error;

/// How many forged signatures are verified per second: a hundredth of a core's time. New hosts,
/// whose signatures are valid, are fewer.
const FORGED_PER_SECOND: u32 = 500;

/// The number of senders in each of the two generations.
const KNOWN_SENDERS: usize = 4_096;

/// The number of tokens of an inbox that identify a sender. All inboxes begin with the same token.
const TOKENS: usize = 2;
/// The number of characters of each of these tokens. Most clients make one inbox for each request
/// that differs from the last only at its end.
const LETTERS: usize = 12;

/// The hash of a sender's inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Sender(u64);

/// The permit to verify one signature of a sender.
#[derive(Debug)]
pub(super) struct Permit {
    sender: Sender,
    is_known: bool,
}

/// The senders with recent valid signatures, and the budget for all others.
pub(super) struct VerifyLimiter {
    /// With secret keys, so that nobody can choose an inbox whose hash is that of another sender.
    hasher: RandomState,
    /// Held for a few look-ups.
    state: Mutex<LimiterState>,
}

/// Two generations of known senders: when the young one is full, it replaces the old one.
struct LimiterState {
    young: HashSet<Sender>,
    old: HashSet<Sender>,
    /// How many invalid signatures may still be verified.
    forged: u32,
    /// When the budget was last refilled.
    since: Instant,
}

impl VerifyLimiter {
    /// Nobody is known, and the budget is full.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            hasher: RandomState::new(),
            state: Mutex::new(LimiterState {
                young: HashSet::new(),
                old: HashSet::new(),
                forged: FORGED_PER_SECOND,
                since: now,
            }),
        }
    }

    /// The sender that awaits an answer in this inbox.
    ///
    /// A message without an inbox has a sender, too: all of these share one.
    pub(super) fn sender(&self, inbox: Option<&str>) -> Sender {
        let mut tokens = inbox.unwrap_or_default().splitn(TOKENS + 1, '.');
        let tokens: [_; TOKENS] = std::array::from_fn(|_| tokens.next().unwrap_or_default());
        let tokens = tokens.map(|token| &token[..token.floor_char_boundary(LETTERS)]);
        Sender(self.hasher.hash_one(tokens))
    }

    /// Whether a message of this sender may be looked at. Takes nothing from the budget.
    ///
    /// # Errors
    ///
    /// `Overloaded`, if the sender is unknown and the budget is used up.
    pub(super) fn precheck(&self, sender: Sender, now: Instant) -> Result<(), Error> {
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

    /// The permit to verify a signature. An unknown sender's takes one from the budget.
    ///
    /// # Errors
    ///
    /// `Overloaded`, see `precheck`.
    pub(super) fn acquire(&self, sender: Sender, now: Instant) -> Result<Permit, Error> {
        let mut state = self.state.lock();
        let is_known = state.knows(sender);
        if !is_known {
            state.refill(now);
            state.forged = state.forged.checked_sub(1).ok_or(Error::Overloaded)?;
        }
        Ok(Permit { sender, is_known })
    }

    /// Records the result. A valid signature makes its sender known and returns what it took from
    /// the budget; an invalid one makes it unknown.
    pub(super) fn record(&self, permit: &Permit, is_valid: bool) {
        let mut state = self.state.lock();
        if is_valid {
            if !permit.is_known {
                state.forged = FORGED_PER_SECOND.min(state.forged + 1);
            }
            state.know(permit.sender);
        } else {
            state.young.remove(&permit.sender);
            state.old.remove(&permit.sender);
        }
    }
}

impl LimiterState {
    /// Refills the budget by the time that has passed.
    ///
    /// Less than one is not added, and `since` stays, so that short intervals add up.
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

    /// Whether the sender has had a valid signature lately.
    fn knows(&self, sender: Sender) -> bool {
        self.young.contains(&sender) || self.old.contains(&sender)
    }

    /// Makes a sender known. A sender that keeps calling is always in the young generation or added
    /// to it again.
    fn know(&mut self, sender: Sender) {
        if self.young.contains(&sender) {
            return;
        }
        if self.young.len() >= KNOWN_SENDERS {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(sender);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn flood(limiter: &VerifyLimiter, sender: Sender, now: Instant) -> usize {
        let forge = |_: &u32| {
            let permit = limiter.acquire(sender, now);
            permit.is_ok_and(|permit| {
                limiter.record(&permit, false);
                true
            })
        };
        (0..10_000).filter(forge).count()
    }

    #[test]
    fn forged_signatures_get_a_share_and_genuine_ones_what_they_need() {
        let now = Instant::now();
        let limiter = VerifyLimiter::new(now);
        let (good, bad) = (limiter.sender(Some("_INBOX.good")), limiter.sender(None));
        let permit = limiter.acquire(good, now).expect("the first");
        limiter.record(&permit, true);
        assert_eq!(flood(&limiter, bad, now), 500);
        assert_eq!(flood(&limiter, bad, now + Duration::from_millis(500)), 250);
        assert_eq!(flood(&limiter, bad, now + Duration::from_mins(1)), 500);
        assert!(limiter.precheck(good, now).is_ok() && limiter.precheck(bad, now).is_err());
        for _ in 0..10_000 {
            let permit = limiter.acquire(good, now).expect("it is known");
            limiter.record(&permit, true);
        }
        // Nobody else is let in meanwhile, and whoever was good once need not stay so.
        assert!(
            limiter
                .acquire(limiter.sender(Some("_INBOX.new")), now)
                .is_err()
        );
        limiter.record(&limiter.acquire(good, now).expect("it is known"), false);
        assert!(limiter.acquire(good, now).is_err());
    }

    #[test]
    fn genuine_signatures_of_the_unknown_cost_nothing() {
        let now = Instant::now();
        let limiter = VerifyLimiter::new(now);
        for n in 0..10_000 {
            let sender = limiter.sender(Some(&format!("_INBOX.{n}")));
            let permit = limiter.acquire(sender, now).expect("nothing was forged");
            limiter.record(&permit, true);
        }
        let state = limiter.state.lock();
        assert!(state.young.len() <= KNOWN_SENDERS && state.old.len() <= KNOWN_SENDERS);
    }

    #[test]
    fn a_client_is_one_sender_whatever_it_asks() {
        let limiter = VerifyLimiter::new(Instant::now());
        let sender = |inbox| limiter.sender(Some(inbox));
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
