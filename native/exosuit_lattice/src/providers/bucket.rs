//! One bucket: each value a message of a stream, changed only in the place of the one that was read.

use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use bytes::Bytes;
use exosuit_core::{Bucket, Kept, Listed, Pending, Place, Written};

use super::jetstream::{
    DELETE_FAILED, JetStream, NO_MESSAGE, NO_SEQUENCE, NO_STREAM, NOT_STORED, Refused,
    STREAM_EXISTS, WRONG_SEQUENCES,
};
use super::{listing, names};
use crate::limits::OF_PROVIDER;
use crate::{Error, StreamLimits};

/// What a value must take the place of.
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// When a value expires, in milliseconds since 1970.
pub(super) const EXPIRES: &str = "Exosuit-Expires";

/// A key that its subject does not tell.
pub(super) const KEY: &str = "Exosuit-Key";

/// A bucket of a provider. Made with the first value.
pub(super) struct ProviderBucket(Arc<Inner>);

pub(super) struct Inner {
    pub(super) jetstream: JetStream,
    config: Config,
    limits: StreamLimits,
    prefix: String,
}

impl ProviderBucket {
    pub(super) fn new(jetstream: JetStream, name: &str, limits: StreamLimits) -> Self {
        Self(Arc::new(Inner {
            jetstream,
            config: config(name, limits),
            limits,
            prefix: format!("$KV.{name}."),
        }))
    }
}

/// As a bucket of the peers, but for two things: a message can be deleted, so that what is deleted
/// takes no room for ever; and only the leader is read, so that a value is the last one written.
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

impl Bucket for ProviderBucket {
    fn get(&self, place: &Place) -> Pending<Kept> {
        let (inner, key) = (Arc::clone(&self.0), names::key(place));
        Box::pin(async move { Ok(inner.get(&key).await?) })
    }

    fn put(&self, place: &Place, value: Bytes, expires: u64, revision: u64) -> Pending<Written> {
        let (inner, key) = (Arc::clone(&self.0), names::key(place));
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED, revision.to_string().as_str());
        if expires > 0 {
            headers.insert(EXPIRES, expires.to_string().as_str());
        }
        if let Some(hidden) = names::hidden(&place.key) {
            headers.insert(KEY, hidden.as_str());
        }
        Box::pin(async move { Ok(inner.put(&key, headers, value).await?) })
    }

    fn delete(&self, _place: &Place, revision: u64) -> Pending<Written> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { Ok(inner.delete(revision).await?) })
    }

    fn keys(&self, space: &str, after: Option<&str>, most: usize) -> Pending<Vec<Listed>> {
        let (inner, after) = (Arc::clone(&self.0), after.map(str::to_owned));
        let space = names::token(space);
        Box::pin(async move { Ok(listing::keys(&inner, &space, after.as_deref(), most).await?) })
    }

    fn sweep(&self, now: u64) -> Pending<bool> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { Ok(listing::sweep(&inner, now).await?) })
    }
}

impl Inner {
    pub(super) fn stream(&self) -> &str {
        &self.config.name
    }

    pub(super) fn subject(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn get(&self, key: &str) -> Result<Kept, Error> {
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

    async fn put(&self, key: &str, headers: HeaderMap, value: Bytes) -> Result<Written, Error> {
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

    async fn make(&self) -> Result<(), Error> {
        match self.jetstream.create(&self.config).await? {
            // One that was made with other settings is as good.
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

fn is_full(refused: &Refused) -> bool {
    refused.err_code == NOT_STORED && refused.description.contains("maximum bytes")
}
