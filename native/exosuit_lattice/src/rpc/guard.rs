//! Whether a call from the lattice is what it seems: signed by one of ours, as it is, now, and once.
//!
//! The cheap before the dear: [`Guard::inspect`] looks at everything but the signature,
//! [`Guard::verify`] at that, and [`Guard::take`] at a large payload, and lets nobody else in.

use std::time::{Duration, Instant};

use exosuit_claims::invocation::{Call, Seal};
use exosuit_claims::{PublicKey, Verifier, moment};
use parking_lot::Mutex;

use super::doubt::{Doubt, Leave};
use super::replays::{Denied, Replays};
use super::wire::Invocation;
use crate::Error;

/// How many calls are remembered in each of two generations: half a minute of 17 000 a second, in
/// 12 MB. More shorten the time for which a call counts as new.
const REMEMBERED: usize = 1 << 19;

/// The hash of a larger payload takes longer than to verify a signature, and comes after that.
const HASHED_FIRST: usize = 8 << 10;

/// Checks what comes from the lattice. All that is served on one host goes through one guard.
pub(super) struct Guard {
    issuers: Vec<Verifier>,
    replays: Mutex<Replays>,
    doubt: Doubt,
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
    /// What the origin is called on its host, besides its key.
    pub(super) fn origin_id(&self) -> Option<&str> {
        self.0.seal.origin_id()
    }
}

impl Guard {
    pub(super) fn new(issuers: Vec<PublicKey>, freshness: Duration, now: u64) -> Self {
        Self {
            issuers: issuers.into_iter().map(Verifier::new).collect(),
            replays: Mutex::new(Replays::new(freshness.as_secs(), REMEMBERED, now)),
            doubt: Doubt::new(Instant::now()),
        }
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
        let (fingerprint, issued_at) = (seal.fingerprint(), seal.issued_at());
        let seen = self.replays.lock().look(fingerprint, issued_at, now);
        seen.map_err(|denied| refused(denied, issued_at))?;
        let facts = Call::new(&call.id, &call.origin, &call.target, &call.operation);
        seal.covers(&facts).map_err(Error::Forged)?;
        seal.issuer(&self.issuers, now).map_err(Error::Forged)?;
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
        let verified = suspect.seal.verify(&self.issuers, now);
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
        let issued_at = seal.issued_at();
        let taken = self.replays.lock().take(seal.fingerprint(), issued_at, now);
        taken.map_err(|denied| refused(denied, issued_at))
    }
}

fn refused(denied: Denied, issued_at: u64) -> Error {
    match denied {
        Denied::Stale => Error::Stale(moment(issued_at)),
        Denied::Replayed => Error::Replayed,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use exosuit_claims::invocation::{Entity, sign};
    use exosuit_claims::{KeyKind, KeyPair};

    use super::*;

    const NOW: u64 = 1_700_000_000;

    type Change = fn(&mut Invocation);

    fn cluster() -> KeyPair {
        KeyPair::generate(KeyKind::Cluster)
    }

    fn guard(cluster: &KeyPair) -> Guard {
        Guard::new(
            vec![cluster.public_key().clone()],
            Duration::from_secs(30),
            NOW,
        )
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

    fn check(guard: &Guard, call: &Invocation, now: u64) -> Result<(), &'static str> {
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
            .inspect(&call, None, NOW)
            .expect("nothing is to be seen");
        let genuine = guard.verify(&suspect, NOW).expect("it is signed");
        assert!(guard.take(&genuine, b"other", NOW).is_err());
        assert_eq!(guard.take(&genuine, b"apart", NOW), Ok(()));
    }
}
