//! What the calls of one host share, both ways.

use std::sync::Arc;

use super::admission::Admission;
use super::chunks::Chunks;
use super::content::Terms;
use super::guard::Guard;
use super::mac::MacKeys;
use super::memory::{Held, Memory};
use super::options::CallOptions;
use super::takers::Takers;
use super::tally::Tally;
use crate::replies::Replies;
use crate::{Connection, Error};

/// A request larger than this travels apart, as with the peers.
pub(super) const LARGEST_REQUEST: usize = 700 << 10;

/// What a message has besides its payload, at most: names, token, headers.
const OVERHEAD: usize = 16 << 10;

pub(super) struct Shared {
    pub(super) options: CallOptions,
    pub(super) connection: Connection,
    pub(super) replies: Replies,
    pub(super) chunks: Chunks,
    pub(super) guard: Guard,
    pub(super) keys: MacKeys,
    pub(super) takers: Takers,
    pub(super) admission: Admission,
    /// What is sent and had to be gathered first.
    pub(super) outgoing: Memory,
    pub(super) tally: Arc<Tally>,
}

impl Shared {
    pub(super) fn terms<'a>(&self, memory: &'a Memory) -> Terms<'a> {
        Terms {
            largest: self.options.largest_payload,
            memory,
        }
    }

    /// A large payload of a call to this host, which takes room of what calls may have.
    pub(super) async fn take_payload(&self, name: &str, length: u64) -> Result<Held, Error> {
        self.refuse_too_large(length)?;
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        let room = self.admission.memory().reserve(size)?;
        let bytes = Box::pin(self.chunks.take(name, length)).await?;
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

    /// What fits into a message of this server, and no more than the peers put into one.
    pub(super) fn largest_message(&self, usual: usize) -> usize {
        let limit = self.connection.any_client().max_payload();
        usual.min(limit.saturating_sub(OVERHEAD))
    }
}
