//! The state that the calls of one host share, in both directions.
//!
//! It is created by `Calls::start` and never changes, apart from what its parts hold. None of its
//! locks is held across an await.

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

/// The space in a message for all but the payload: names, token, headers.
const OVERHEAD: usize = 16 << 10;

/// The state that the calls of one host share.
pub(super) struct CallsState {
    /// The checked options.
    pub(super) options: CallOptions,
    /// The connection for calls.
    pub(super) connection: Connection,
    /// The waiting requests.
    pub(super) replies: Replies,
    /// Payloads that travel apart.
    pub(super) chunks: Chunks,
    /// Checks and remembers calls from outside.
    pub(super) guard: Guard,
    /// The MAC keys of the cluster's seeds.
    pub(super) keys: MacKeys,
    /// The names that accept calls with a MAC.
    pub(super) mac_names: MacNames,
    /// The slots of calls from outside.
    pub(super) admission: Admission,
    /// The memory of outgoing payloads that must be gathered first.
    pub(super) outgoing: Memory,
    /// Counts refusals. Shared with the checks of answers, which outlive a borrow.
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
    ///
    /// The length is checked and the memory is taken before the first byte is read.
    pub(super) async fn fetch_payload(&self, name: &str, length: u64) -> Result<Held, Error> {
        self.refuse_too_large(length)?;
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        let room = self.admission.memory().reserve(size)?;
        let bytes = Box::pin(self.chunks.fetch(name, length)).await?;
        Ok(Held::from(bytes).and(room))
    }

    /// `TooLarge` past `largest_payload`.
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
