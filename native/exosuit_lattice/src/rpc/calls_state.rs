//! The state that the calls of one host share, in both directions.

use std::sync::Arc;

use super::admission::Admission;
use super::chunks::Chunks;
use super::content::PayloadLimits;
use super::guard::Guard;
use super::mac::MacKeys;
use super::mac_names::MacNames;
use super::memory::{Held, Memory};
use super::options::CallOptions;
use super::tally::Tally;
use crate::replies::Replies;
use crate::{Connection, Error};

/// A larger request travels through the object store, as with hosts of the OTP era.
pub(super) const LARGEST_REQUEST: usize = 700 << 10;

/// The bytes of a message besides its payload: names, token, headers.
const OVERHEAD: usize = 16 << 10;

/// The state that the calls of one host share.
pub(super) struct CallsState {
    pub(super) options: CallOptions,
    pub(super) connection: Connection,
    pub(super) replies: Replies,
    pub(super) chunks: Chunks,
    pub(super) guard: Guard,
    pub(super) keys: MacKeys,
    pub(super) mac_names: MacNames,
    pub(super) admission: Admission,
    /// The memory of outgoing payloads that must be gathered first.
    pub(super) outgoing: Memory,
    pub(super) tally: Arc<Tally>,
}

impl CallsState {
    /// The limits of a payload, with the memory that it is gathered in.
    pub(super) fn payload_limits<'a>(&self, memory: &'a Memory) -> PayloadLimits<'a> {
        PayloadLimits {
            largest: self.options.largest_payload,
            memory,
        }
    }

    /// Fetches a large payload of a call to this host. It counts against the memory of calls.
    pub(super) async fn fetch_payload(&self, name: &str, length: u64) -> Result<Held, Error> {
        self.refuse_too_large(length)?;
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        let room = self.admission.memory().reserve(size)?;
        let bytes = Box::pin(self.chunks.fetch(name, length)).await?;
        Ok(Held::from(bytes).and(room))
    }

    pub(super) fn refuse_too_large(&self, size: u64) -> Result<(), Error> {
        let limit = u64::from(self.options.largest_payload);
        if size <= limit {
            return Ok(());
        }
        Err(Error::TooLarge {
            what: "payload",
            size,
            limit,
        })
    }

    /// The largest payload that fits into a message of this server, at most `usual`.
    pub(super) fn largest_message(&self, usual: usize) -> usize {
        let limit = self.connection.any_client().max_payload();
        usual.min(limit.saturating_sub(OVERHEAD))
    }
}
