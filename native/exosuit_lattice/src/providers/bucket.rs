//! One bucket. Each value is a message of a stream, and a change replaces only the message that was read.
//!
//! | operation | request | a missing bucket |
//! |---|---|---|
//! | `get` | the last message of the subject | is empty |
//! | `put` | a message with the expected revision | is created |
//! | `delete` | deletes that message | has nothing to delete |
//! | `keys`, `sweep` | a consumer of headers | is empty |
//!
//! `put` and `delete` answer `Written::Behind` if the key has another revision by now. The store in
//! `exosuit_capabilities` then reads and decides again. So two hosts that increment one counter
//! lose nothing.

use std::sync::Arc;

use async_nats::HeaderMap;
use bytes::Bytes;
use exosuit_core::{Bucket, Kept, Listed, Pending, Place, Written};

use super::bucket_stream::{BucketStream, EXPIRES, KEY};
use super::jetstream::JetStream;
use super::{listing, names};
use crate::StreamLimits;

/// The header with the revision that a value must replace.
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// A bucket of a provider. The stream is created by the first write, so that a store that is only
/// read costs nothing.
pub(super) struct ProviderBucket(Arc<BucketStream>);

impl ProviderBucket {
    /// Sends no request.
    pub(super) fn new(jetstream: JetStream, name: &str, limits: StreamLimits) -> Self {
        Self(Arc::new(BucketStream::new(jetstream, name, limits)))
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
