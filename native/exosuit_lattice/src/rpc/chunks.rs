//! Payloads that are too large for a message. They are sent through the object store of the lattice.
//!
//! The bucket has the name of the lattice. A payload has the id of its invocation as its name; an answer
//! has `-r` at the end. The reader deletes the payload.

use std::time::Duration;

use async_nats::jetstream::object_store::{Config, ObjectInfo, ObjectMetadata, ObjectStore};
use bytes::Bytes;
use data_encoding::BASE64URL;
use tokio::io::AsyncReadExt;

use crate::{Connection, Error};

/// The time for which an unread payload is kept. If a wasmCloud host has made the bucket, it is kept
/// forever.
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

    /// Stores a payload.
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

    /// Takes a payload out that must have this length.
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

    /// Deletes a payload that will not be read any more. Ignores errors: a remaining payload is deleted by its
    /// age.
    pub(super) async fn discard(&self, name: &str) {
        let Ok(store) = self.store().await else {
            return;
        };
        if let Ok(info) = store.info(name).await {
            self.purge(name, &info.nuid).await;
        }
    }

    /// Deletes the payload without a delete marker, because names are not used twice.
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

    async fn stream(&self) -> Result<async_nats::jetstream::stream::Stream<()>, Error> {
        let jetstream = self.connection.jetstream(self.domain.as_deref());
        let stream = jetstream
            .get_stream_no_info(format!("OBJ_{}", self.bucket))
            .await;
        stream.map_err(|error| Error::store("open the store of large payloads", &error))
    }

    /// The store, which is made if it is missing. It is opened each time, because it may have been lost.
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

/// Checks the description of an object. Any host may write it, and its length is used before the object is
/// read.
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
