//! The options of calls over the lattice.

use std::sync::Arc;
use std::time::Duration;

use exosuit_claims::{KeyKind, KeyPair, PublicKey};
use exosuit_core::Id;

use crate::Error;

/// The settings of calls over the lattice.
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
    /// The largest difference between the time of a call and now, in either direction.
    pub freshness: Duration,
    /// The timeout of a call from outside that gives none.
    pub usual_timeout: Duration,
    /// The longest timeout of a call from outside.
    pub longest_timeout: Duration,
    /// The number of calls from outside that run at a time, for all targets together.
    pub concurrency: usize,
    /// The number of further calls that wait.
    pub queue: usize,
    /// The maximum number of bytes of running and waiting calls together.
    pub memory: u32,
    /// The largest payload, either way.
    pub largest_payload: u32,
    /// The domain of `JetStream` for large payloads. The library of wasmCloud hosts uses none.
    pub store_domain: Option<String>,
}

impl CallOptions {
    /// The default settings.
    pub fn new(lattice: Id, host: PublicKey, cluster: Arc<KeyPair>) -> Self {
        Self {
            lattice,
            host,
            cluster,
            further_seeds: Vec::new(),
            issuers: Vec::new(),
            freshness: Duration::from_secs(30),
            // A caller of the OTP era waits for 2 s, or for 15 s if the payload is large.
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
