//! Whether a call from the lattice is what it seems: signed by one of ours, as it is, now, and once.

use std::time::Duration;

use exosuit_claims::PublicKey;
use exosuit_claims::invocation::{Call, Seal};
use exosuit_claims::moment;
use parking_lot::Mutex;

use super::replays::{Denied, Replays};
use super::wire::Invocation;
use crate::Error;

/// How many calls are remembered in each of two generations: half a minute of 17 000 a second, in
/// 12 MB. More shorten the time for which a call counts as new.
const REMEMBERED: usize = 1 << 19;

/// Checks what comes from the lattice. All that is served on one host goes through one guard.
pub(crate) struct Guard {
    issuers: Vec<PublicKey>,
    replays: Mutex<Replays>,
}

/// A call that is what it seems, but for its payload.
pub(crate) struct Genuine<'a> {
    call: Call,
    seal: Seal<'a>,
}

impl Genuine<'_> {
    /// What the origin is called on its host, besides its key.
    pub(crate) fn origin_id(&self) -> Option<&str> {
        self.seal.origin_id()
    }
}

impl Guard {
    pub(crate) fn new(issuers: Vec<PublicKey>, freshness: Duration, now: u64) -> Self {
        Self {
            issuers,
            replays: Mutex::new(Replays::new(freshness.as_secs(), REMEMBERED, now)),
        }
    }

    /// Checks everything but the payload, the cheap before the dear.
    pub(crate) fn admit<'a>(&self, call: &'a Invocation, now: u64) -> Result<Genuine<'a>, Error> {
        let seal = Seal::parse(&call.token).map_err(Error::Forged)?;
        let (fingerprint, issued_at) = (seal.fingerprint(), seal.issued_at());
        let seen = self.replays.lock().look(fingerprint, issued_at, now);
        seen.map_err(|denied| refused(denied, issued_at))?;
        let facts = Call::new(&call.id, &call.origin, &call.target, &call.operation);
        seal.covers(&facts).map_err(Error::Forged)?;
        seal.verify(&self.issuers, now).map_err(Error::Forged)?;
        Ok(Genuine { call: facts, seal })
    }

    /// Checks the payload, and takes the call: nobody else will be let in with this token.
    pub(crate) fn take(&self, genuine: &Genuine, payload: &[u8], now: u64) -> Result<(), Error> {
        let Genuine { call, seal } = genuine;
        seal.covers_payload(call, payload).map_err(Error::Forged)?;
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
        let genuine = guard.admit(call, now);
        let taken = genuine.and_then(|genuine| guard.take(&genuine, &call.payload, now));
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
        let guard = guard(&cluster());
        assert_eq!(check(&guard, &invocation(&cluster()), NOW), Err("forged"));
    }
}
