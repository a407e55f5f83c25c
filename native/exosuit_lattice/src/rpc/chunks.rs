//! Payloads that are too large for a message. They are sent through the object store of the lattice.
//!
//! The bucket has the name of the lattice. A payload has the id of its invocation as its name; an answer
//! has `-r` at the end. The reader deletes the payload.
//!
//! | who | does |
//! |---|---|
//! | the caller | stores a large payload, then sends the call; deletes it if the call failed |
//! | the host of the target | reads it and deletes it; stores a large answer as `<id>-r` |
//! | the caller | reads the answer and deletes it |
//! | the server | deletes what nobody read, after 10 minutes, if Exosuit made the bucket |
//!
//! What was read is checked by the caller of this module, against a hash that is signed or under a
//! MAC. Here only the length counts.

use std::time::Duration;

use async_nats::jetstream::object_store::{Config, ObjectInfo, ObjectMetadata, ObjectStore};
use bytes::Bytes;
use data_encoding::BASE64URL;
use tokio::io::AsyncReadExt;

use crate::{Connection, Error};

/// The life of a payload that is never read, because its reader is gone. Hosts of the OTP era that
/// make the bucket set no limit.
const KEPT: Duration = Duration::from_mins(10);

/// The size of the pieces in which a payload is stored, as in wasmCloud hosts.
const PIECE: usize = 128 << 10;

/// The object store of a lattice.
pub(super) struct Chunks {
    connection: Connection,
    bucket: String,
    domain: Option<String>,
}

impl Chunks {
    pub(super) fn new(connection: Connection, lattice: &str, domain: Option<String>) -> Self {
        Self {
            connection,
            bucket: lattice.to_owned(),
            domain,
        }
    }

    /// Stores a payload under this name.
    ///
    /// # Errors
    ///
    /// `NotConnected`, `Store`.
    pub(super) async fn put(&self, name: &str, payload: &Bytes) -> Result<(), Error> {
        let store = self.store().await?;
        let piece = self.connection.client()?.max_payload() / 2;
        let meta = ObjectMetadata {
            name: name.to_owned(),
            chunk_size: Some(piece.min(PIECE)),
            ..ObjectMetadata::default()
        };
        let put = store.put(meta, &mut payload.as_ref()).await;
        put.map_err(|error| Error::store("keep a large payload", &error))?;
        Ok(())
    }

    /// Reads a payload of this length, and deletes it.
    ///
    /// # Errors
    ///
    /// `Store`, if it is missing, is a link, or has another length. No more than `length` bytes and
    /// one are read.
    pub(super) async fn fetch(&self, name: &str, length: u64) -> Result<Bytes, Error> {
        let wrong = |why: &dyn std::fmt::Display| Error::store("give a large payload", why);
        let store = self.store().await?;
        let info = store.info(name).await.map_err(|error| wrong(&error))?;
        refuse(&info, length).map_err(|why| wrong(&why))?;
        let object = store.get(name).await.map_err(|error| wrong(&error))?;
        // One byte more than allowed, so that a larger payload is noticed.
        let mut payload = Vec::with_capacity(info.size);
        let mut object = object.take(length.saturating_add(1));
        object
            .read_to_end(&mut payload)
            .await
            .map_err(|error| wrong(&error))?;
        if payload.len() as u64 != length {
            return Err(wrong(&"its length is not the one announced"));
        }
        self.purge(name, &info.nuid).await;
        Ok(payload.into())
    }

    /// Deletes a payload that nobody will read. Failures are ignored: what is left ends by its age.
    pub(super) async fn discard(&self, name: &str) {
        let Ok(store) = self.store().await else {
            return;
        };
        if let Ok(info) = store.info(name).await {
            self.purge(name, &info.nuid).await;
        }
    }

    /// Deletes pieces and description, without a marker: names do not come again. Failures are
    /// ignored.
    async fn purge(&self, name: &str, pieces: &str) {
        // Otherwise the writer could make this host delete other subjects.
        if !pieces.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return;
        }
        let Ok(stream) = self.stream().await else {
            return;
        };
        let bucket = &self.bucket;
        let name = BASE64URL.encode(name.as_bytes());
        for subject in [
            format!("$O.{bucket}.C.{pieces}"),
            format!("$O.{bucket}.M.{name}"),
        ] {
            let _ = stream.purge().filter(subject).await;
        }
    }

    /// The stream behind the store, for deletions.
    async fn stream(&self) -> Result<async_nats::jetstream::stream::Stream<()>, Error> {
        let jetstream = self.connection.jetstream(self.domain.as_deref());
        let stream = jetstream
            .get_stream_no_info(format!("OBJ_{}", self.bucket))
            .await;
        stream.map_err(|error| Error::store("open the store of large payloads", &error))
    }

    /// The store, which is created if it is missing. It is looked up each time, because it may have
    /// been lost.
    async fn store(&self) -> Result<ObjectStore, Error> {
        self.connection.client()?;
        let jetstream = self.connection.jetstream(self.domain.as_deref());
        if let Ok(store) = jetstream.get_object_store(&self.bucket).await {
            return Ok(store);
        }
        let config = Config {
            bucket: self.bucket.clone(),
            max_age: KEPT,
            ..Config::default()
        };
        let created = jetstream.create_object_store(config).await;
        created.map_err(|error| Error::store("make the store of large payloads", &error))
    }
}

/// Checks what an object says of itself, before its length is relied on.
fn refuse(info: &ObjectInfo, length: u64) -> Result<(), String> {
    if info.deleted {
        return Err("it is not there any more".to_owned());
    }
    if info
        .options
        .as_ref()
        .is_some_and(|options| options.link.is_some())
    {
        return Err("it is a link to another".to_owned());
    }
    if info.size as u64 == length {
        return Ok(());
    }
    Err(format!(
        "it has {} bytes, and {length} were announced",
        info.size
    ))
}

/// The name of a large payload in the store.
pub(super) fn id_text(id: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*id))
}
