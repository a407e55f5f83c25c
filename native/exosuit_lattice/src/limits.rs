//! The size limit and replicas of a bucket, and the option that an error names if the servers refuse it.
//!
//! Buckets are created by whoever needs them first. The account of a host may have less room, or
//! fewer servers, than the defaults ask for. Then the server answers with a number, and the
//! operator needs to know which option to change. So each caller passes its `Knobs`: the names of
//! its two settings.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind};

use crate::Error;

/// The limits of a bucket that is created. An existing bucket keeps its own.
///
/// ```
/// use exosuit_lattice::StreamLimits;
///
/// let limits = StreamLimits { replicas: 3, max_bytes: Some(64 << 20) };
/// assert_eq!(StreamLimits::default(), StreamLimits { replicas: 1, max_bytes: None });
/// # let _ = limits;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// The number of servers that keep a copy. Three survive the loss of one.
    pub replicas: usize,
    /// The largest size in bytes. `None` asks for no limit, which some accounts do not allow.
    pub max_bytes: Option<u64>,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            replicas: 1,
            max_bytes: None,
        }
    }
}

impl StreamLimits {
    /// The number for the server: −1 for no limit.
    pub(crate) fn max_bytes(self) -> i64 {
        let most = self
            .max_bytes
            .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        most.unwrap_or(-1)
    }
}

/// The names of the settings that change the limits of a bucket.
pub(crate) struct Knobs {
    /// The setting for the size, as the operator writes it.
    pub(crate) max_bytes: &'static str,
    /// The setting for the copies.
    pub(crate) replicas: &'static str,
}

/// The settings of the shared state.
pub(crate) const OF_HOST: Knobs = Knobs {
    max_bytes: "the option state_max_bytes of nats of the host (EXOSUIT_JETSTREAM_MAX_BYTES)",
    replicas: "the option replicas of nats of the host (EXOSUIT_JETSTREAM_REPLICAS)",
};

/// The settings of a built-in provider's data.
pub(crate) const OF_PROVIDER: Knobs = Knobs {
    max_bytes: "the setting max_bytes of the provider",
    replicas: "the setting replicas of the provider",
};

/// The codes of a server that demands a size limit, or has less room than was asked for.
const BYTES: [u64; 4] = [10_002, 10_047, 10_113, 10_122];

/// The codes of a server that has too few peers, or too little room, for that many copies.
const REPLICAS: [u64; 3] = [10_005, 10_023, 10_074];

impl Knobs {
    /// The error for a bucket that the server does not create: its words, the setting to change,
    /// and the value that was asked for.
    pub(crate) fn refused(&self, code: u64, why: &str, asked: StreamLimits) -> Error {
        let StreamLimits {
            replicas,
            max_bytes,
        } = asked;
        let bytes = max_bytes.map_or("no limit".to_owned(), |bytes| format!("{bytes} bytes"));
        let advice = if BYTES.contains(&code) {
            format!(
                "; set {} to what the account allows ({bytes} was asked for)",
                self.max_bytes
            )
        } else if REPLICAS.contains(&code) {
            format!(
                "; set {} to what the servers offer ({replicas} was asked for)",
                self.replicas
            )
        } else {
            String::new()
        };
        Error::store("make the bucket", &format!("{why}{advice}"))
    }

    /// The same for an error of the client, which wraps the server's code.
    pub(crate) fn refused_stream(&self, error: &CreateStreamError, asked: StreamLimits) -> Error {
        let code = match error.kind() {
            CreateStreamErrorKind::JetStream(error) => error.error_code(),
            _ => ErrorCode(0),
        };
        self.refused(code.0, &error.to_string(), asked)
    }
}
