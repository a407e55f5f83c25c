//! The size limit and replicas of a bucket, and the option that an error names if the servers refuse it.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind};

use crate::Error;

/// The limits of a bucket that does not exist yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// The number of servers that keep it.
    pub replicas: usize,
    /// The maximum number of bytes; `None` for the limit of the account.
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
    /// The value that the servers expect.
    pub(crate) fn max_bytes(self) -> i64 {
        let most = self
            .max_bytes
            .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        most.unwrap_or(-1)
    }
}

/// The names of the settings that change the limits of a bucket.
pub(crate) struct Knobs {
    pub(crate) max_bytes: &'static str,
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

/// The account demands a limit, or has less room than was asked for.
const BYTES: [u64; 4] = [10_002, 10_047, 10_113, 10_122];

/// The servers are too few, or too full, for so many copies.
const REPLICAS: [u64; 3] = [10_005, 10_023, 10_074];

impl Knobs {
    /// The error of servers that refuse to make a bucket: their text, and the setting to change.
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

    /// The same for an error of the client.
    pub(crate) fn refused_stream(&self, error: &CreateStreamError, asked: StreamLimits) -> Error {
        let code = match error.kind() {
            CreateStreamErrorKind::JetStream(error) => error.error_code(),
            _ => ErrorCode(0),
        };
        self.refused(code.0, &error.to_string(), asked)
    }
}
