//! The stream in which a bucket keeps its values: a message for each.

use async_nats::HeaderMap;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use bytes::Bytes;
use exosuit_core::{Kept, Written};

use super::jetstream::{
    DELETE_FAILED, JetStream, NO_MESSAGE, NO_SEQUENCE, NO_STREAM, NOT_STORED, Refused,
    STREAM_EXISTS, WRONG_SEQUENCES,
};
use crate::limits::OF_PROVIDER;
use crate::{Error, StreamLimits};

/// The header with the time when a value expires, in milliseconds since 1970.
pub(super) const EXPIRES: &str = "Exosuit-Expires";

/// The header with the key, in base64, if its subject is a hash.
pub(super) const KEY: &str = "Exosuit-Key";

/// The stream of one bucket.
pub(super) struct BucketStream {
    pub(super) jetstream: JetStream,
    config: Config,
    limits: StreamLimits,
    prefix: String,
}

/// The settings of the stream. They are those of a bucket of other hosts, but for two. Messages can
/// be deleted, so that deleted keys take no room. Only the leader is read, so that a read sees the
/// last write.
fn config(name: &str, limits: StreamLimits) -> Config {
    Config {
        name: format!("KV_{name}"),
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: 1,
        max_bytes: limits.max_bytes(),
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        num_replicas: limits.replicas,
        allow_rollup: true,
        ..Config::default()
    }
}

impl BucketStream {
    /// Sends no request.
    pub(super) fn new(jetstream: JetStream, name: &str, limits: StreamLimits) -> Self {
        Self {
            jetstream,
            config: config(name, limits),
            limits,
            prefix: format!("$KV.{name}."),
        }
    }

    /// The name of the stream.
    pub(super) fn stream(&self) -> &str {
        &self.config.name
    }

    /// The subject of a key.
    pub(super) fn subject(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The value of a key with its revision. A missing key or bucket is an empty value with
    /// revision 0.
    pub(super) async fn get(&self, key: &str) -> Result<Kept, Error> {
        let subject = self.subject(key);
        match self.jetstream.last(self.stream(), &subject).await? {
            Ok(stored) => Ok(Kept {
                value: stored.value()?,
                revision: stored.seq,
            }),
            Err(refused) if matches!(refused.err_code, NO_MESSAGE | NO_STREAM) => {
                Ok(Kept::default())
            }
            Err(refused) => Err(refused.error("read")),
        }
    }

    /// Writes a value in place of the expected revision, which is in the headers. If nobody
    /// answers, the bucket does not exist: it is created, and the write is sent again. That is
    /// safe, as nobody took the first one.
    pub(super) async fn put(
        &self,
        key: &str,
        headers: HeaderMap,
        value: Bytes,
    ) -> Result<Written, Error> {
        let subject = self.subject(key);
        let store = || {
            self.jetstream
                .store(&subject, headers.clone(), value.clone())
        };
        let stored = match store().await {
            Err(Error::NoResponders(_)) => {
                self.make().await?;
                store().await?
            }
            stored => stored?,
        };
        match stored {
            Ok(_) => Ok(Written::Done),
            Err(refused) if WRONG_SEQUENCES.contains(&refused.err_code) => Ok(Written::Behind),
            Err(refused) if is_full(&refused) => Ok(Written::Full),
            Err(refused) => Err(refused.error("write")),
        }
    }

    /// Deletes the message of this revision. If it is gone, another host was faster:
    /// `Written::Behind`.
    pub(super) async fn delete(&self, revision: u64) -> Result<Written, Error> {
        match self.jetstream.delete(self.stream(), revision).await? {
            Ok(_) => Ok(Written::Done),
            Err(refused)
                if [NO_MESSAGE, NO_SEQUENCE, NO_STREAM, DELETE_FAILED]
                    .contains(&refused.err_code) =>
            {
                Ok(Written::Behind)
            }
            Err(refused) => Err(refused.error("delete")),
        }
    }

    /// Creates the stream. Two hosts may do so at once.
    async fn make(&self) -> Result<(), Error> {
        match self.jetstream.create(&self.config).await? {
            // An existing stream with other settings is used as it is.
            Err(Refused {
                err_code,
                description,
            }) if err_code != STREAM_EXISTS => {
                Err(OF_PROVIDER.refused(err_code, &description, self.limits))
            }
            _ => Ok(()),
        }
    }
}

/// Whether the stream has reached its size limit. The server has one code for all reasons, so the
/// description decides.
fn is_full(refused: &Refused) -> bool {
    refused.err_code == NOT_STORED && refused.description.contains("maximum bytes")
}
