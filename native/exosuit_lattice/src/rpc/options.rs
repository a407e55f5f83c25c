//! The options of calls over the lattice.
//!
//! `CallOptions::new` has the defaults; `Calls::start` checks the result once. The host fills in
//! the values of `Exosuit.Config`.

use std::sync::Arc;
use std::time::Duration;

use exosuit_claims::{KeyKind, KeyPair, PublicKey};
use exosuit_core::Id;

use crate::Error;

/// The options of calls over the lattice.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use exosuit_claims::{KeyKind, KeyPair};
/// use exosuit_core::Id;
/// use exosuit_lattice::CallOptions;
///
/// let cluster = Arc::new(KeyPair::generate(KeyKind::Cluster));
/// let host = KeyPair::generate(KeyKind::Server);
/// let options = CallOptions {
///     concurrency: 64,
///     ..CallOptions::new(Id::parse("default")?, host.public_key().clone(), cluster)
/// };
/// assert_eq!(options.freshness, Duration::from_secs(30));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct CallOptions {
    /// The name of the lattice. It is part of each subject, of each signature and of each MAC key.
    pub lattice: Id,
    /// The public key of this host, `N…`. The host's own calls come from it.
    pub host: PublicKey,
    /// The seed of the cluster, `SC…`. It signs calls, and MAC keys are derived from it.
    pub cluster: Arc<KeyPair>,
    /// A previous or next cluster seed whose calls are accepted as well, by signature and by MAC.
    pub further_seeds: Vec<Arc<KeyPair>>,
    /// Clusters whose signed calls are accepted, in addition to our own.
    pub issuers: Vec<PublicKey>,
    /// The largest difference between the time of a signature and this host's clock, either way. 30
    /// seconds by default.
    pub freshness: Duration,
    /// The time for a call from outside that does not say how long its caller waits. 15 seconds by
    /// default.
    pub usual_timeout: Duration,
    /// The longest time for any call from outside. 10 minutes by default.
    pub longest_timeout: Duration,
    /// The number of calls from outside that run at once, for all targets of the host. 256 by
    /// default. Nested calls do not count.
    pub concurrency: usize,
    /// The number of calls that wait besides. 4,096 by default.
    pub queue: usize,
    /// The bytes that these calls may have together, and the bytes of outgoing bodies, each. 256
    /// MiB by default.
    pub memory: u32,
    /// The largest payload in bytes, either way. 64 MiB by default.
    pub largest_payload: u32,
    /// The `JetStream` domain of the store for large payloads. Hosts of the OTP era have no such
    /// option.
    pub store_domain: Option<String>,
}

impl CallOptions {
    /// The default options of a lattice, with no further seeds and no further issuers.
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

    /// # Errors
    ///
    /// `InvalidOption` for a key of another kind, and for counts of 0 or beyond 32 bits.
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

    /// The clusters whose signatures count: the issuers, our own, and further seeds.
    pub(super) fn trusted(&self) -> Vec<PublicKey> {
        let ours = self.seeds().map(|seed| seed.public_key().clone());
        self.issuers.iter().cloned().chain(ours).collect()
    }

    /// The seeds for MACs: our own first, which is used to send, then those that are accepted as
    /// well.
    pub(super) fn seeds(&self) -> impl Iterator<Item = &KeyPair> {
        let further = self.further_seeds.iter().map(AsRef::as_ref);
        std::iter::once(&*self.cluster).chain(further)
    }
}

/// An option that is wrong.
fn invalid(option: &'static str, expected: &'static str, got: impl std::fmt::Display) -> Error {
    let got = got.to_string();
    Error::InvalidOption {
        option,
        expected,
        got,
    }
}
