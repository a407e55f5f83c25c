//! The options of calls over the lattice.

use std::sync::Arc;
use std::time::Duration;

use exosuit_claims::{KeyKind, KeyPair, PublicKey};
use exosuit_core::Id;

use crate::Error;

/// The settings that calls over the lattice go by.
#[derive(Clone)]
pub struct CallOptions {
    /// The lattice's name.
    pub lattice: Id,
    /// This host.
    pub host: PublicKey,
    /// Signs what we send.
    pub cluster: Arc<KeyPair>,
    /// A previous or next cluster seed whose calls are accepted as well, by signature and by MAC.
    pub further_seeds: Vec<Arc<KeyPair>>,
    /// Clusters whose signed calls are accepted, in addition to our own.
    pub issuers: Vec<PublicKey>,
    /// How far from now the time may be at which a call was signed, either way.
    pub freshness: Duration,
    /// How long a call from outside may take that does not say so.
    pub usual_timeout: Duration,
    /// How long it may take whatever it says.
    pub longest_timeout: Duration,
    /// How many calls from outside are worked on at once, for all that is served.
    pub concurrency: usize,
    /// How many more wait.
    pub queue: usize,
    /// How many bytes those two may have together.
    pub memory: u32,
    /// The largest payload, either way.
    pub largest_payload: u32,
    /// The domain of the store for large payloads. The peers' library knows of none.
    pub store_domain: Option<String>,
}

impl CallOptions {
    /// The settings of a lattice that says nothing else.
    pub fn new(lattice: Id, host: PublicKey, cluster: Arc<KeyPair>) -> Self {
        Self {
            lattice,
            host,
            cluster,
            further_seeds: Vec::new(),
            issuers: Vec::new(),
            freshness: Duration::from_secs(30),
            // A caller of the old kind waits for 2 s, or for 15 s where the payload is large.
            usual_timeout: Duration::from_secs(15),
            longest_timeout: Duration::from_mins(10),
            concurrency: 256,
            queue: 4_096,
            memory: 256 << 20,
            largest_payload: 64 << 20,
            store_domain: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let kinds = [
            ("cluster", self.cluster.public_key(), KeyKind::Cluster),
            ("host", &self.host, KeyKind::Server),
        ];
        let issuers = self
            .issuers
            .iter()
            .map(|issuer| ("issuers", issuer, KeyKind::Cluster));
        let further = self
            .further_seeds
            .iter()
            .map(|seed| ("further_seeds", seed.public_key(), KeyKind::Cluster));
        for (option, key, kind) in kinds.into_iter().chain(issuers).chain(further) {
            if key.kind() != kind {
                let expected = if kind == KeyKind::Cluster {
                    "keys of clusters (C…)"
                } else {
                    "a host's key (N…)"
                };
                return Err(invalid(option, expected, key));
            }
        }
        let counts = [
            ("concurrency", self.concurrency as u64),
            ("memory", u64::from(self.memory)),
        ];
        for (option, count) in counts {
            if count == 0 || count > u64::from(u32::MAX) {
                return Err(invalid(option, "between 1 and 4294967295", count));
            }
        }
        Ok(())
    }

    pub(super) fn trusted(&self) -> Vec<PublicKey> {
        let ours = self.seeds().map(|seed| seed.public_key().clone());
        self.issuers.iter().cloned().chain(ours).collect()
    }

    /// The host's own seed, and then the others that it accepts.
    pub(super) fn seeds(&self) -> impl Iterator<Item = &KeyPair> {
        let further = self.further_seeds.iter().map(AsRef::as_ref);
        std::iter::once(&*self.cluster).chain(further)
    }
}

fn invalid(option: &'static str, expected: &'static str, got: impl std::fmt::Display) -> Error {
    let got = got.to_string();
    Error::InvalidOption {
        option,
        expected,
        got,
    }
}
