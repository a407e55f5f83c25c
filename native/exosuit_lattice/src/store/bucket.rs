//! One bucket of keys and values. Writes do not overwrite those of others. A missing bucket is
//! created.
//!
//! Values are links, claims, configurations and application records, as hosts of the OTP era keep them.
//! Every operation asks a server, and fails at once without a connection. Operations that look the bucket
//! up first cost one more request, and work after the bucket was lost and made again.
//!
//! A write whose answer was lost may have happened. Callers that compare and set find out by reading: the
//! revision is another one then. So none of the functions here repeats a write by itself, except after the
//! server said that it did not happen.

use async_nats::jetstream;
use async_nats::jetstream::context::KeyValueErrorKind;
use async_nats::jetstream::kv::{Operation, Store, UpdateErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType, Stream};
use bytes::Bytes;

use crate::limits::OF_HOST;
use crate::{Connection, Error, StreamLimits};

/// How often an update is tried while other hosts change the same key.
const ATTEMPTS: usize = 64;

/// A bucket of the lattice. Clones share it.
///
/// It holds no state of the server's: the bucket may be lost and created again at any time.
#[derive(Debug, Clone)]
pub struct Bucket {
    connection: Connection,
    name: String,
    /// The domain of `JetStream` that has it, if that is not the server's own.
    domain: Option<String>,
    limits: StreamLimits,
}

/// The value of a key, with its revision.
///
/// A deleted key keeps the revision of its deletion, so that a conditional write can tell it from a
/// key that never existed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value. `None` if the key was deleted, or never existed.
    pub value: Option<Bytes>,
    /// The revision of the bucket that set it; 0 if the key never existed.
    pub revision: u64,
}

/// Which bucket there is, and its last revision.
///
/// Two positions with one identity can be compared by their revisions. With different identities,
/// nothing of the one holds for the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Identifies the bucket: it changes when the bucket is lost and created again.
    pub identity: String,
    /// Its last revision; 0 if nothing was written yet.
    pub revision: u64,
}

impl Bucket {
    /// The bucket of this name. Sends no request.
    pub(super) fn new(connection: Connection, name: String, domain: Option<String>) -> Self {
        Self {
            connection,
            name,
            domain,
            limits: StreamLimits::default(),
        }
    }

    /// Sets the limits for a bucket that does not exist yet.
    pub(super) fn limit(&mut self, limits: StreamLimits) {
        self.limits = limits;
    }

    /// The name of the bucket, without the prefix `KV_` of its stream.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The connection that it is asked over.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Creates the bucket, unless it exists.
    ///
    /// # Errors
    ///
    /// `Store`, with advice if the account has no room.
    pub async fn prepare(&self) -> Result<(), Error> {
        self.store().await.map(|_| ())
    }

    /// The value of a key. Any server that has a copy of the bucket may answer, so the value may be older
    /// than the last write; a conditional write then fails, and the caller reads again.
    pub async fn get(&self, key: &str) -> Result<Entry, Error> {
        let entry = self.store().await?.entry(key).await;
        let entry = entry.map_err(|error| Error::store("read", &error))?;
        Ok(entry.map_or(
            Entry {
                value: None,
                revision: 0,
            },
            |entry| Entry {
                value: (entry.operation == Operation::Put).then_some(entry.value),
                revision: entry.revision,
            },
        ))
    }

    /// Writes a value in any case, and returns its revision.
    ///
    /// # Errors
    ///
    /// `TooLarge`, `Store`. After a lost connection the value may have been written.
    pub async fn put(&self, key: &str, value: Bytes) -> Result<u64, Error> {
        self.connection.refuse_too_large("value", value.len())?;
        let put = self.store().await?.put(key, value).await;
        put.map_err(|error| Error::store("write", &error))
    }

    /// Writes what `change` returns for the present value, and tries again while other hosts write
    /// at the same time. Returns the revision.
    ///
    /// `change` returns `Ok(None)` to write nothing.
    ///
    /// `change` may be called up to 64 times, and must not have effects of its own.
    ///
    /// # Errors
    ///
    /// `Contended` if other hosts wrote at each attempt, the error of `change`, `TooLarge`,
    /// `Store`.
    pub async fn update<F>(&self, key: &str, mut change: F) -> Result<u64, Error>
    where
        F: FnMut(Option<&Bytes>) -> Result<Option<Bytes>, Error>,
    {
        let store = self.store().await?;
        for _ in 0..ATTEMPTS {
            let entry = self.get(key).await?;
            let Some(value) = change(entry.value.as_ref())? else {
                return Ok(entry.revision);
            };
            self.connection.refuse_too_large("value", value.len())?;
            match store.update(key, value, entry.revision).await {
                Ok(revision) => return Ok(revision),
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
                Err(error) => return Err(Error::store("write", &error)),
            }
        }
        Err(Error::Contended(key.to_owned()))
    }

    /// Writes a value if the key still has this revision, and returns the new one. `None` if
    /// another host has written in the meantime. A key that never existed has revision 0.
    ///
    /// It never tries again: the caller decides anew with what is there now.
    pub async fn compare_and_set(
        &self,
        key: &str,
        value: Bytes,
        revision: u64,
    ) -> Result<Option<u64>, Error> {
        self.connection.refuse_too_large("value", value.len())?;
        match self.store().await?.update(key, value, revision).await {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
            Err(error) => Err(Error::store("write", &error)),
        }
    }

    /// Writes a value if the key has none. Returns whether it did.
    ///
    /// A deleted key has none, too.
    pub async fn create(&self, key: &str, value: Bytes) -> Result<bool, Error> {
        let mut created = false;
        let value = Some(value);
        self.update(key, |old| {
            created = old.is_none();
            Ok(value.clone().filter(|_| created))
        })
        .await?;
        Ok(created)
    }

    /// Deletes a key with its history, in a way that hosts of both eras see.
    ///
    /// It writes a marker that the server keeps for the key, so that watchers learn of the
    /// deletion. A missing key gets a marker, too.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        let purged = self.store().await?.purge(key).await;
        purged.map_err(|error| Error::store("delete", &error))
    }

    /// Deletes a key if it still has this revision. Returns whether it did.
    ///
    /// # Errors
    ///
    /// `Store`, if the deletion failed and the key is unchanged.
    pub async fn compare_and_delete(&self, key: &str, revision: u64) -> Result<bool, Error> {
        let store = self.store().await?;
        match store.purge_expect_revision(key, Some(revision)).await {
            Ok(()) => Ok(true),
            // The client has no kind of error for this, so the revision tells whether another host
            // has written.
            Err(error) => match self.get(key).await?.revision {
                now if now == revision => Err(Error::store("delete", &error)),
                _changed => Ok(false),
            },
        }
    }

    /// The identity and last revision of the bucket. Creates the bucket if it is missing.
    pub async fn position(&self) -> Result<Position, Error> {
        let mut stream = self.stream().await?;
        let info = stream.info().await;
        let info = info.map_err(|error| Error::store("look at the bucket", &error))?;
        Ok(Position {
            identity: info.created.unix_timestamp_nanos().to_string(),
            revision: info.state.last_sequence,
        })
    }

    /// The stream of the bucket with its present state. Creates the bucket if it is missing.
    pub(super) async fn stream(&self) -> Result<Stream, Error> {
        Ok(self.store().await?.stream)
    }

    /// Opens the bucket. Asking each time costs a request, and works after the bucket was lost.
    async fn store(&self) -> Result<Store, Error> {
        self.connection.client()?;
        let jetstream = self.jetstream();
        match jetstream.get_key_value(&self.name).await {
            Ok(store) => return Ok(store),
            Err(error) if error.kind() == KeyValueErrorKind::GetBucket => {}
            Err(error) => return Err(Error::store("open the bucket", &error)),
        }
        let created = jetstream.create_stream(self.config()).await;
        created.map_err(|error| OF_HOST.refused_stream(&error, self.limits))?;
        let store = jetstream.get_key_value(&self.name).await;
        store.map_err(|error| Error::store("open the bucket", &error))
    }

    /// The stream of the bucket, as hosts of the OTP era create it. The client's own function uses
    /// limits that servers of version 2.9 do not have.
    fn config(&self) -> Config {
        Config {
            name: format!("KV_{}", self.name),
            subjects: vec![format!("$KV.{}.>", self.name)],
            max_messages_per_subject: 1,
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            num_replicas: self.limits.replicas,
            max_bytes: self.limits.max_bytes(),
            allow_rollup: true,
            allow_direct: true,
            deny_delete: true,
            ..Config::default()
        }
    }

    /// The streams of the domain that has the bucket.
    fn jetstream(&self) -> jetstream::Context {
        self.connection.jetstream(self.domain.as_deref())
    }
}
