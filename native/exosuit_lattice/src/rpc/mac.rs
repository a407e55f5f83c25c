//! The keys by which the hosts of one cluster authenticate their calls and answers.
//!
//! They share the cluster's seed, so a signature with it proves no more than a MAC, and costs twenty times as
//! much. HKDF-SHA-256 derives two keys from each seed, for one lattice and one hour: one for requests and one
//! for answers, so that neither can replace the other. A host accepts keys of the previous and next hour as
//! well. It sends with its own seed and also accepts others, so that a seed can be rotated: first every host
//! accepts the new seed, then each sends with it.
//!
//! Keys are wiped when they are dropped, and MACs are compared in constant time.
//!
//! # The keys
//!
//! ```text
//! seed ── HKDF extract, salt "exosuit.rpc.mac.1" ──► root
//! root ── expand "key id",  lattice, 0 ────► key id, 8 bytes, public: part of the subject
//! root ── expand "request", lattice, hour ─► key for requests
//! root ── expand "answer",  lattice, hour ─► key for answers
//! ```
//!
//! The lattice is part of the derivation, so a message of one lattice means nothing in another. The
//! hour bounds the number of messages per key. It does not protect from replays; `replays` does.

use std::fmt;
use std::sync::Arc;

use exosuit_claims::KeyPair;
use exosuit_core::Id;
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use parking_lot::RwLock;
use sha2::Sha256;
use zeroize::Zeroizing;

/// How many bytes a MAC has.
pub(super) const MAC_LENGTH: usize = 32;

/// A MAC over a request or an answer.
pub(super) type Mac = [u8; MAC_LENGTH];

/// The life of a key: one hour in milliseconds.
const EPOCH: u64 = 3_600_000;

/// Separates these keys from others that may be derived from the same seed.
const SALT: &[u8] = b"exosuit.rpc.mac.1";

/// The public id of a seed in one lattice. It reveals nothing of the seed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyId(pub(super) [u8; 8]);

/// The MAC keys of a host for one lattice. The host's own seed comes first.
pub(super) struct MacKeys {
    lattice: Id,
    /// Never empty: the first one is the host's own.
    seeds: Vec<SeedKeys>,
}

/// The keys of one seed.
struct SeedKeys {
    id: KeyId,
    /// The extracted key. The seed itself is not kept here.
    root: Secret,
    /// The derived keys, at most three. Others are dropped when a new one is derived.
    epochs: RwLock<Vec<Arc<EpochKeys>>>,
}

/// The two keys of one seed for one hour.
pub(super) struct EpochKeys {
    pub(super) id: KeyId,
    pub(super) epoch: u64,
    request: Secret,
    answer: Secret,
}

/// A key whose memory is wiped when it is dropped.
type Secret = Zeroizing<[u8; MAC_LENGTH]>;

impl MacKeys {
    /// Extracts a root from each seed. Keys of an hour are derived on first use.
    pub(super) fn new<'s>(lattice: &Id, seeds: impl IntoIterator<Item = &'s KeyPair>) -> Self {
        let seeds = seeds.into_iter().map(|seed| SeedKeys::new(lattice, seed));
        Self {
            lattice: lattice.clone(),
            seeds: seeds.collect(),
        }
    }

    /// The ids of the seeds, the host's own first.
    pub(super) fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.seeds.iter().map(|seed| seed.id)
    }

    /// The keys to send with at this time, in milliseconds since 1970.
    pub(super) fn own(&self, now: u64) -> Arc<EpochKeys> {
        self.seeds[0].at(&self.lattice, now / EPOCH, now / EPOCH)
    }

    /// The keys with this id and hour. `None` for a seed that is not accepted, or for an hour that
    /// is more than one away from now.
    pub(super) fn find(&self, id: KeyId, epoch: u64, now: u64) -> Option<Arc<EpochKeys>> {
        let present = now / EPOCH;
        if epoch.abs_diff(present) > 1 {
            return None;
        }
        let seed = self.seeds.iter().find(|seed| seed.id == id)?;
        Some(seed.at(&self.lattice, epoch, present))
    }
}

impl SeedKeys {
    /// Extracts the root and derives the id.
    fn new(lattice: &Id, seed: &KeyPair) -> Self {
        let (root, _) = Hkdf::<Sha256>::extract(Some(SALT), seed.seed().as_bytes());
        let root = Zeroizing::new(root.into());
        let mut id = [0; 8];
        expand(&root, b"key id", lattice, 0, &mut id);
        Self {
            id: KeyId(id),
            root,
            epochs: RwLock::default(),
        }
    }

    /// The keys of an hour. The check is repeated under the write lock, because another task may
    /// have derived them in between.
    fn at(&self, lattice: &Id, epoch: u64, present: u64) -> Arc<EpochKeys> {
        let known = |keys: &[Arc<EpochKeys>]| keys.iter().find(|key| key.epoch == epoch).cloned();
        if let Some(keys) = known(&self.epochs.read()) {
            return keys;
        }
        let mut epochs = self.epochs.write();
        if let Some(keys) = known(&epochs) {
            return keys;
        }
        let keys = Arc::new(self.derive(lattice, epoch));
        epochs.retain(|keys| keys.epoch.abs_diff(present) <= 1);
        epochs.push(Arc::clone(&keys));
        keys
    }

    /// Derives both keys of an hour.
    fn derive(&self, lattice: &Id, epoch: u64) -> EpochKeys {
        let key = |label: &[u8]| {
            let mut key = Secret::default();
            expand(&self.root, label, lattice, epoch, &mut *key);
            key
        };
        EpochKeys {
            id: self.id,
            epoch,
            request: key(b"request"),
            answer: key(b"answer"),
        }
    }
}

impl EpochKeys {
    /// The MAC over the header of a request.
    pub(super) fn of_request(&self, header: &[u8]) -> Mac {
        start(&self.request, header).finalize().into_bytes().into()
    }

    /// Whether this is the MAC over the header of a request. Compares in constant time.
    pub(super) fn is_of_request(&self, header: &[u8], mac: &Mac) -> bool {
        start(&self.request, header).verify_slice(mac).is_ok()
    }

    /// The MAC over the header of an answer to the request of this MAC.
    pub(super) fn of_answer(&self, request: &Mac, header: &[u8]) -> Mac {
        let mac = start(&self.answer, request).chain_update(header);
        mac.finalize().into_bytes().into()
    }

    /// Whether this is the MAC over the header of an answer to the request of that MAC. Compares in
    /// constant time.
    pub(super) fn is_of_answer(&self, request: &Mac, header: &[u8], mac: &Mac) -> bool {
        let computed = start(&self.answer, request).chain_update(header);
        computed.verify_slice(mac).is_ok()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A MAC over its first bytes.
fn start(key: &Secret, begin: &[u8]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(&**key).expect("HMAC takes a key of any length");
    mac.chain_update(begin)
}

/// The parts of `info` are separated by zero bytes, which no name of a lattice has.
fn expand(root: &Secret, label: &[u8], lattice: &Id, epoch: u64, key: &mut [u8]) {
    let name = lattice.as_str().as_bytes();
    // The label ends with 0, and the part after the name has a fixed length, so different arguments give
    // different texts.
    let info = [label, &[0], name, &[0], &epoch.to_be_bytes()];
    let hkdf = Hkdf::<Sha256>::from_prk(&**root).expect("a root is as long as a hash");
    hkdf.expand_multi_info(&info, key)
        .expect("a key is no longer than a hash");
}

#[cfg(test)]
mod tests {
    use exosuit_claims::KeyKind;

    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn lattice(name: &str) -> Id {
        Id::parse(name).expect("a name")
    }

    fn seed() -> KeyPair {
        KeyPair::generate(KeyKind::Cluster)
    }

    #[test]
    fn hosts_of_one_seed_and_lattice_have_the_same_keys_and_no_others_do() {
        let (seed, other) = (seed(), seed());
        let mac = |keys: &MacKeys, now| keys.own(now).of_request(b"header");
        let keys = MacKeys::new(&lattice("a"), [&seed]);
        let first = mac(&keys, NOW);
        assert_eq!(mac(&MacKeys::new(&lattice("a"), [&seed]), NOW), first);
        assert_ne!(mac(&MacKeys::new(&lattice("b"), [&seed]), NOW), first);
        assert_ne!(mac(&MacKeys::new(&lattice("a"), [&other]), NOW), first);
        assert_ne!(mac(&keys, NOW + EPOCH), first);
        assert_ne!(
            keys.own(NOW).of_answer(&first, b""),
            keys.own(NOW).of_request(&first)
        );
    }

    #[test]
    fn the_hours_around_the_present_one_are_accepted() {
        let keys = MacKeys::new(&lattice("a"), [&seed()]);
        let id = keys.ids().next().expect("one");
        let present = NOW / EPOCH;
        for epoch in [present - 1, present, present + 1] {
            let found = keys.find(id, epoch, NOW).expect("it is near");
            assert_eq!(found.epoch, epoch);
        }
        for epoch in [0, present - 2, present + 2, u64::MAX] {
            assert!(keys.find(id, epoch, NOW).is_none(), "{epoch}");
        }
        assert!(keys.find(KeyId([0; 8]), present, NOW).is_none());
        assert!(keys.seeds[0].epochs.read().len() <= 3);
    }

    #[test]
    fn a_seed_can_be_rotated() {
        let (old, new) = (seed(), seed());
        let before = MacKeys::new(&lattice("a"), [&old, &new]);
        let after = MacKeys::new(&lattice("a"), [&new, &old]);
        for (from, to) in [(&before, &after), (&after, &before)] {
            let sent = from.own(NOW);
            let found = to.find(sent.id, sent.epoch, NOW).expect("it is accepted");
            assert!(found.is_of_request(b"header", &sent.of_request(b"header")));
        }
        let stranger = MacKeys::new(&lattice("a"), [&seed()]).own(NOW);
        assert!(before.find(stranger.id, stranger.epoch, NOW).is_none());
    }
}
