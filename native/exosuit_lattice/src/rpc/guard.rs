//! Whether a call from the lattice is authentic, recent, and not a repetition.
//!
//! The cheapest checks come first, so that a flood costs little:
//!
//! 1. [`Guard::inspect`] checks all but the signature, and returns an [`Unverified`] call.
//! 2. [`Guard::verify`] checks the signature, and returns a [`Verified`] call.
//! 3. [`Guard::accept`] checks the hash of a large payload, and records the call. Only one call
//!    with the same token gets this far.
//!
//! A call with a MAC is checked while it is read (see `serving`), and recorded by [`Guard::admit`].
//!
//! No call is accepted twice within the replay window. Calls with a time before the guard was made
//! are refused as well, because an earlier process of this host may have served them. The time is
//! that of the sender's clock: if it is ahead, an earlier process may have served a call with a
//! later time, and the guard accepts it once more. Signatures have a resolution of one second, so
//! signed calls are accepted from the next full second on ([`Guard::opens_in`]). Only this host
//! knows the calls that it accepted: in a group that serves the same actor, each host may accept a
//! call once.

use std::time::{Duration, Instant};

use exosuit_claims::invocation::{Call, Seal};
use exosuit_claims::{PublicKey, Verifier, moment};
use exosuit_core::Id;
use parking_lot::Mutex;

use super::mac::Mac;
use super::replays::{Denied, Replays};
use super::verify_limiter::{Permit, VerifyLimiter};
use super::wire::Invocation;
use crate::Error;

/// How many calls are remembered: 139 000 per second for half a minute, in 80 MB. More calls
/// shorten the time for which a call counts as recent.
const REMEMBERED: usize = 1 << 22;

/// Hashing a larger payload takes longer than verifying a signature, and comes after it.
pub(super) const HASHED_FIRST: usize = 8 << 10;

/// Checks the calls from the lattice. One guard checks everything that a host serves, so a call
/// cannot be replayed to another target.
pub(super) struct Guard {
    /// Part of each signed call.
    lattice: Id,
    /// The clusters whose signatures count.
    issuers: Vec<Verifier>,
    /// Held for a look-up in a hash set, twice per signed call.
    replays: Mutex<Replays>,
    /// Bounds the verification of invalid signatures.
    limiter: VerifyLimiter,
    /// When it was made, in milliseconds since 1970.
    born: u64,
}

/// A call that passed all checks but that of its signature. It holds the permit for that check.
pub(super) struct Unverified {
    facts: Call,
    seal: Seal,
    permit: Permit,
    /// Whether the payload was compared with its hash already: it is small and in the message.
    is_hashed: bool,
}

/// A call with a valid signature. A large payload is still unchecked.
pub(super) struct Verified<'a>(&'a Unverified);

impl Verified<'_> {
    /// When it was signed, in milliseconds since 1970.
    pub(super) fn signed_at(&self) -> u64 {
        signed_at(&self.0.seal)
    }

    /// The id of the origin on its host, if it has one besides its key.
    pub(super) fn origin_id(&self) -> Option<&str> {
        self.0.seal.origin_id()
    }
}

impl Guard {
    /// A guard that was made now. All times here and below are in milliseconds since 1970.
    pub(super) fn new(
        lattice: &Id,
        issuers: Vec<PublicKey>,
        freshness: Duration,
        now: u64,
    ) -> Self {
        let window = u64::try_from(freshness.as_millis()).unwrap_or(u64::MAX);
        Self {
            lattice: lattice.clone(),
            issuers: issuers.into_iter().map(Verifier::new).collect(),
            replays: Mutex::new(Replays::new(window, REMEMBERED, now)),
            limiter: VerifyLimiter::new(Instant::now()),
            born: now,
        }
    }

    /// How long it takes until signed calls can be distinguished from those before this guard: less
    /// than a second.
    pub(super) fn opens_in(&self, now: u64) -> Duration {
        let opens_at = (self.born / 1_000).saturating_add(1).saturating_mul(1_000);
        Duration::from_millis(opens_at.saturating_sub(now).min(1_000))
    }

    /// Records a call whose MAC was checked. Refuses a repetition.
    ///
    /// The first eight bytes of the MAC stand for the call: nobody without a key can choose them.
    ///
    /// # Errors
    ///
    /// `Stale` or `Replayed`.
    pub(super) fn admit(&self, mac: &Mac, signed_at: u64, now: u64) -> Result<(), Error> {
        let fingerprint = u64::from_le_bytes(*mac.first_chunk().expect("a MAC is longer"));
        let recorded = self.replays.lock().record(fingerprint, signed_at, now);
        recorded.map_err(|denied| refused(denied, signed_at))
    }

    /// Checks all but the signature and a large payload. `inbox` is the one that the sender awaits
    /// the answer in.
    ///
    /// In this order: the sender's budget, the form of the token, the time, a repetition, the
    /// fields that the token covers, the issuer, and the hash of a small payload. The permit is
    /// acquired last, so that a call that fails before costs nothing.
    ///
    /// # Errors
    ///
    /// `Overloaded`, `Forged`, `Stale`, `Replayed`.
    pub(super) fn inspect(
        &self,
        call: &Invocation,
        inbox: Option<&str>,
        now: u64,
    ) -> Result<Unverified, Error> {
        let sender = self.limiter.sender(inbox);
        self.limiter.precheck(sender, Instant::now())?;
        let seal = Seal::parse(&call.token).map_err(Error::Forged)?;
        let (fingerprint, signed_at) = (fingerprint(&seal), signed_at(&seal));
        let seen = self.replays.lock().check(fingerprint, signed_at, now);
        seen.map_err(|denied| refused(denied, signed_at))?;
        let facts = Call::new(&call.id, &call.origin, &call.target, &call.operation);
        let facts = facts.within(self.lattice.as_str());
        seal.covers(&facts).map_err(Error::Forged)?;
        let issuer = seal.issuer(&self.issuers, now / 1_000);
        issuer.map_err(Error::Forged)?;
        let is_hashed = !call.is_apart() && call.payload.len() <= HASHED_FIRST;
        if is_hashed {
            let covered = seal.covers_payload(&facts, &call.payload);
            covered.map_err(Error::Forged)?;
        }
        Ok(Unverified {
            permit: self.limiter.acquire(sender, Instant::now())?,
            facts,
            seal,
            is_hashed,
        })
    }

    /// Checks the signature.
    ///
    /// # Errors
    ///
    /// `Forged`. The sender then loses its place among the known ones.
    pub(super) fn verify<'a>(
        &self,
        unverified: &'a Unverified,
        now: u64,
    ) -> Result<Verified<'a>, Error> {
        let result = unverified.seal.verify(&self.issuers, now / 1_000);
        // A valid token with another payload must not make its sender known.
        if result.is_err() || unverified.is_hashed {
            self.limiter.record(&unverified.permit, result.is_ok());
        }
        result.map_err(Error::Forged)?;
        Ok(Verified(unverified))
    }

    /// Checks the payload, and records the call. Later calls with this token are refused.
    ///
    /// The hash of a large payload is checked here, after the signature: hashing it costs more than
    /// verifying.
    ///
    /// # Errors
    ///
    /// `Forged`, `Stale` if the window ended during the wait, `Replayed` if another task accepted
    /// the same call first.
    pub(super) fn accept(
        &self,
        verified: &Verified,
        payload: &[u8],
        now: u64,
    ) -> Result<(), Error> {
        let Unverified { facts, seal, .. } = verified.0;
        if !verified.0.is_hashed {
            let covered = seal.covers_payload(facts, payload);
            self.limiter.record(&verified.0.permit, covered.is_ok());
            covered.map_err(Error::Forged)?;
        }
        let signed_at = signed_at(seal);
        let recorded = self
            .replays
            .lock()
            .record(fingerprint(seal), signed_at, now);
        recorded.map_err(|denied| refused(denied, signed_at))
    }
}

/// When a token was signed. Tokens have whole seconds.
fn signed_at(seal: &Seal) -> u64 {
    seal.issued_at().saturating_mul(1_000)
}

/// Half of the token's hash.
#[expect(
    clippy::cast_possible_truncation,
    reason = "half of it tells calls apart"
)]
fn fingerprint(seal: &Seal) -> u64 {
    seal.fingerprint() as u64
}

/// The error for a call that is not recent or not new.
fn refused(denied: Denied, signed_at: u64) -> Error {
    match denied {
        Denied::Stale => Error::Stale(moment(signed_at / 1_000)),
        Denied::Replayed => Error::Replayed,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use exosuit_claims::invocation::{Entity, sign};
    use exosuit_claims::{KeyKind, KeyPair};

    use super::*;

    /// In seconds.
    const NOW: u64 = 1_700_000_000;

    type Change = fn(&mut Invocation);

    fn cluster() -> KeyPair {
        KeyPair::generate(KeyKind::Cluster)
    }

    fn lattice(name: &str) -> Id {
        Id::parse(name).expect("a name")
    }

    /// A guard made at this time, in milliseconds since 1970.
    fn made_at(cluster: &KeyPair, now: u64) -> Guard {
        let issuers = vec![cluster.public_key().clone()];
        Guard::new(&lattice("default"), issuers, Duration::from_secs(30), now)
    }

    fn guard(cluster: &KeyPair) -> Guard {
        made_at(cluster, NOW * 1_000 - 60_000)
    }

    fn invocation(cluster: &KeyPair) -> Invocation {
        let (origin, target) = (Entity::actor("MA"), Entity::actor("MB"));
        let facts = Call::new("1", &origin, &target, "Echo.Say");
        Invocation {
            token: sign(&facts, b"hello", cluster, NOW).expect("a token"),
            origin,
            target,
            operation: "Echo.Say".to_owned(),
            payload: Bytes::from_static(b"hello"),
            id: "1".to_owned(),
            ..Invocation::default()
        }
    }

    fn check(guard: &Guard, call: &Invocation, second: u64) -> Result<(), &'static str> {
        let now = second * 1_000;
        let taken = guard.inspect(call, None, now).and_then(|unverified| {
            let verified = guard.verify(&unverified, now)?;
            guard.accept(&verified, &call.payload, now)
        });
        taken.map_err(|error| error.code())
    }

    #[test]
    fn a_good_call_is_taken_once() {
        let cluster = cluster();
        let (guard, call) = (guard(&cluster), invocation(&cluster));
        assert_eq!(check(&guard, &call, NOW), Ok(()));
        assert_eq!(check(&guard, &call, NOW), Err("replayed"));
        assert_eq!(check(&guard, &call, NOW + 31), Err("stale"));
    }

    #[test]
    fn a_call_that_was_signed_before_a_restart_is_not_taken_again() {
        let cluster = cluster();
        let call = invocation(&cluster);
        assert_eq!(check(&guard(&cluster), &call, NOW), Ok(()));
        let restarted = made_at(&cluster, NOW * 1_000 + 200);
        for second in [NOW, NOW + 1, NOW + 29] {
            assert_eq!(check(&restarted, &call, second), Err("stale"));
        }
        assert_eq!(
            restarted.opens_in(NOW * 1_000 + 200),
            Duration::from_millis(800)
        );
        assert_eq!(restarted.opens_in(NOW * 1_000 + 1_200), Duration::ZERO);
        // For a clock that goes back, too.
        assert_eq!(restarted.opens_in(0), Duration::from_secs(1));
    }

    #[test]
    fn a_call_of_another_lattice_is_refused() {
        let cluster = cluster();
        let mut call = invocation(&cluster);
        for (name, expected) in [("other", Err("forged")), ("default", Ok(()))] {
            let facts = Call::new("1", &call.origin, &call.target, "Echo.Say").within(name);
            call.token = sign(&facts, b"hello", &cluster, NOW).expect("a token");
            assert_eq!(check(&guard(&cluster), &call, NOW), expected);
        }
    }

    #[test]
    fn each_part_of_a_call_is_covered() {
        let cluster = cluster();
        let guard = guard(&cluster);
        let changes: [(Change, &str); 6] = [
            (|call| call.target = Entity::actor("MC"), "forged"),
            (|call| call.target.link = "default".to_owned(), "forged"),
            (|call| call.origin = Entity::actor("MC"), "forged"),
            (|call| call.operation = "Echo.Shout".to_owned(), "forged"),
            (|call| call.id = "2".to_owned(), "forged"),
            (|call| call.payload = Bytes::from_static(b"hullo"), "forged"),
        ];
        for (change, code) in changes {
            let mut call = invocation(&cluster);
            change(&mut call);
            assert_eq!(check(&guard, &call, NOW), Err(code));
        }
        // None of that spoiled it for the one who signed it.
        assert_eq!(check(&guard, &invocation(&cluster), NOW), Ok(()));
    }

    #[test]
    fn nobody_else_signs() {
        let cluster = cluster();
        let guard = guard(&cluster);
        let other = KeyPair::generate(KeyKind::Cluster);
        assert_eq!(check(&guard, &invocation(&other), NOW), Err("forged"));

        // What one of ours signed, but not for this.
        let mut call = invocation(&cluster);
        let facts = Call::new("1", &call.origin, &call.target, "Echo.Say");
        let elsewhere = sign(&facts, b"hullo", &cluster, NOW).expect("a token");
        let signature = elsewhere.rsplit('.').next().expect("a signature");
        let end = call.token.len() - signature.len();
        call.token.replace_range(end.., signature);
        assert_eq!(check(&guard, &call, NOW), Err("forged"));
    }

    #[test]
    fn a_large_payload_is_covered_wherever_it_is() {
        let cluster = cluster();
        let guard = guard(&cluster);
        let sign_for = |payload: &[u8]| {
            let mut call = invocation(&cluster);
            let facts = Call::new("1", &call.origin, &call.target, "Echo.Say");
            call.token = sign(&facts, payload, &cluster, NOW).expect("a token");
            call.payload = payload.to_vec().into();
            call
        };
        let mut call = sign_for(&[7; HASHED_FIRST + 1]);
        assert_eq!(check(&guard, &call, NOW), Ok(()));
        call = sign_for(&[8; HASHED_FIRST + 1]);
        call.payload = [7; HASHED_FIRST + 1].to_vec().into();
        assert_eq!(check(&guard, &call, NOW), Err("forged"));

        let mut call = sign_for(b"apart");
        (call.payload, call.content_length) = (Bytes::new(), Some(5));
        let unverified = guard
            .inspect(&call, None, NOW * 1_000)
            .expect("nothing is to be seen");
        let verified = guard
            .verify(&unverified, NOW * 1_000)
            .expect("it is signed");
        assert!(guard.accept(&verified, b"other", NOW * 1_000).is_err());
        assert_eq!(guard.accept(&verified, b"apart", NOW * 1_000), Ok(()));
    }
}
