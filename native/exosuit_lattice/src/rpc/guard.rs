//! Whether a call from the lattice is what it seems: signed by one of ours, as it is, now, and once.
//!
//! The cheap before the dear: [`Guard::inspect`] looks at everything but the signature,
//! [`Guard::verify`] at that, and [`Guard::take`] at a large payload, and lets nobody else in. A call
//! with a MAC is checked as it is read (see `serving`), and admitted once by [`Guard::admit`].
//!
//! No call is accepted twice within the replay window. Calls with a time before the guard was made are refused as
//! well, because an earlier process of this host may have served them. The time is that of the sender's clock: if
//! it is ahead, an earlier process may have served a call with a later time, and the guard accepts it once more.
//! Signatures have a resolution of one
//! second, so signed calls are accepted from the next full second on ([`Guard::opens_in`]). Only this host knows
//! the calls that it accepted: in a group that serves the same actor, each host may accept a call once.

use std::time::{Duration, Instant};

use exosuit_claims::invocation::{Call, Seal};
use exosuit_claims::{PublicKey, Verifier, moment};
use exosuit_core::Id;
use parking_lot::Mutex;

use super::doubt::{Doubt, Leave};
use super::mac::Mac;
use super::replays::{Denied, Replays};
use super::wire::Invocation;
use crate::Error;

/// How many calls are remembered: half a minute of 139 000 a second, in 80 MB. More shorten the time
/// for which a call counts as new.
const REMEMBERED: usize = 1 << 22;

/// The hash of a larger payload takes longer than to verify a signature, and comes after that.
pub(super) const HASHED_FIRST: usize = 8 << 10;

/// Checks what comes from the lattice. All that is served on one host goes through one guard.
pub(super) struct Guard {
    lattice: Id,
    issuers: Vec<Verifier>,
    replays: Mutex<Replays>,
    doubt: Doubt,
    /// When it was made, in milliseconds since 1970.
    born: u64,
}

/// A call that may be what it seems.
pub(super) struct Suspect {
    facts: Call,
    seal: Seal,
    leave: Leave,
    is_hashed: bool,
}

/// A call that is what it seems, but for a payload that was too large, or is not there yet.
pub(super) struct Genuine<'a>(&'a Suspect);

impl Genuine<'_> {
    /// When it was signed, in milliseconds since 1970.
    pub(super) fn signed_at(&self) -> u64 {
        signed_at(&self.0.seal)
    }

    /// What the origin is called on its host, besides its key.
    pub(super) fn origin_id(&self) -> Option<&str> {
        self.0.seal.origin_id()
    }
}

impl Guard {
    /// Times are in milliseconds since 1970, here and below.
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
            doubt: Doubt::new(Instant::now()),
            born: now,
        }
    }

    /// How long it takes until signed calls can be told from those of the time before: less than a
    /// second.
    pub(super) fn opens_in(&self, now: u64) -> Duration {
        let opens_at = (self.born / 1_000).saturating_add(1).saturating_mul(1_000);
        Duration::from_millis(opens_at.saturating_sub(now).min(1_000))
    }

    /// Takes a call whose MAC was checked, once.
    pub(super) fn admit(&self, mac: &Mac, signed_at: u64, now: u64) -> Result<(), Error> {
        let fingerprint = u64::from_le_bytes(*mac.first_chunk().expect("a MAC is longer"));
        let taken = self.replays.lock().take(fingerprint, signed_at, now);
        taken.map_err(|denied| refused(denied, signed_at))
    }

    /// Checks everything that costs little of a call whose answer is awaited in this inbox.
    pub(super) fn inspect(
        &self,
        call: &Invocation,
        inbox: Option<&str>,
        now: u64,
    ) -> Result<Suspect, Error> {
        let sender = self.doubt.sender(inbox);
        self.doubt.look(sender, Instant::now())?;
        let seal = Seal::parse(&call.token).map_err(Error::Forged)?;
        let (fingerprint, signed_at) = (fingerprint(&seal), signed_at(&seal));
        let seen = self.replays.lock().look(fingerprint, signed_at, now);
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
        Ok(Suspect {
            leave: self.doubt.enter(sender, Instant::now())?,
            facts,
            seal,
            is_hashed,
        })
    }

    /// Checks the signature.
    pub(super) fn verify<'a>(&self, suspect: &'a Suspect, now: u64) -> Result<Genuine<'a>, Error> {
        let verified = suspect.seal.verify(&self.issuers, now / 1_000);
        // A good token with another's payload makes nobody known.
        if verified.is_err() || suspect.is_hashed {
            self.doubt.settle(&suspect.leave, verified.is_ok());
        }
        verified.map_err(Error::Forged)?;
        Ok(Genuine(suspect))
    }

    /// Checks the payload, and takes the call: nobody else will be let in with this token.
    pub(super) fn take(&self, genuine: &Genuine, payload: &[u8], now: u64) -> Result<(), Error> {
        let Suspect { facts, seal, .. } = genuine.0;
        if !genuine.0.is_hashed {
            let covered = seal.covers_payload(facts, payload);
            self.doubt.settle(&genuine.0.leave, covered.is_ok());
            covered.map_err(Error::Forged)?;
        }
        let signed_at = signed_at(seal);
        let taken = self.replays.lock().take(fingerprint(seal), signed_at, now);
        taken.map_err(|denied| refused(denied, signed_at))
    }
}

/// A token tells the second in which it was signed.
fn signed_at(seal: &Seal) -> u64 {
    seal.issued_at().saturating_mul(1_000)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "half of it tells calls apart"
)]
fn fingerprint(seal: &Seal) -> u64 {
    seal.fingerprint() as u64
}

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
        let taken = guard.inspect(call, None, now).and_then(|suspect| {
            let genuine = guard.verify(&suspect, now)?;
            guard.take(&genuine, &call.payload, now)
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
        let suspect = guard
            .inspect(&call, None, NOW * 1_000)
            .expect("nothing is to be seen");
        let genuine = guard.verify(&suspect, NOW * 1_000).expect("it is signed");
        assert!(guard.take(&genuine, b"other", NOW * 1_000).is_err());
        assert_eq!(guard.take(&genuine, b"apart", NOW * 1_000), Ok(()));
    }
}
