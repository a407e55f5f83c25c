//! Bytes by their digest: the files of applications, in an object store that all hosts read.
//!
//! An object is called by the SHA-256 of its bytes. Anybody on the bus can write there, so bytes that were
//! read count only once their digest is the one that was asked for.
//!
//! Digest is name, so an object never changes, and two hosts that store the same file do not
//! disturb each other. The client of the library writes pieces first and the description last. A
//! host that dies in between leaves pieces that nobody reads.
//!
//! | bound | value |
//! |---|---|
//! | the bytes of an object | 256 MiB, `MAX_OBJECT` |
//! | the wait for a piece | 10 s |
//! | the objects of a listing | 131,072 |
//! | the silence of a listing | 2 s, then it begins again, 5 times |
//!
//! Objects are held in memory as a whole while they are read or written.

use std::time::Duration;

use async_nats::datetime::DateTime;
use async_nats::jetstream;
use async_nats::jetstream::object_store::{InfoErrorKind, ObjectInfo, ObjectMetadata, ObjectStore};
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use bytes::Bytes;
use data_encoding::{BASE64URL, HEXLOWER};
use futures_util::StreamExt;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, Take};

use crate::limits::OF_HOST;
use crate::{Connection, Error, StreamLimits};

/// The most bytes of an object.
pub const MAX_OBJECT: u64 = 256 << 20;

/// The size of the pieces of an object, as the client stores them.
const PIECE: usize = 128 << 10;

/// How long the next piece of an object may take. The servers may have lost it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time for which a listing may send nothing before it is begun again.
const STANDSTILL: Duration = Duration::from_secs(2);
/// The number of listings that are begun.
const LISTINGS: usize = 5;

/// More objects than any lattice has. A listing with more is an error, as its result would be too
/// large.
const MAX_OBJECTS: usize = 1 << 17;

/// The SHA-256 of an object, as text `sha256:` and 64 lower-case hexadecimal digits.
///
/// ```
/// use exosuit_lattice::Digest;
///
/// let digest = Digest::of(b"hello");
/// let text = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
/// assert_eq!(digest.to_string(), text);
/// assert_eq!(Digest::parse(text), Ok(digest));
/// assert!(Digest::parse("2cf24dba").is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes bytes. It takes about a second for the largest object, so call it on a blocking
    /// thread.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Parses the text of a digest.
    ///
    /// # Errors
    ///
    /// `Malformed`, if it is anything but `sha256:` and 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let digest = text
            .strip_prefix("sha256:")
            .and_then(|digits| HEXLOWER.decode(digits.as_bytes()).ok())
            .and_then(|bytes| bytes.try_into().ok());
        let expected = "expected sha256: and 64 lower-case hexadecimal digits";
        digest
            .map(Self)
            .ok_or_else(|| Error::malformed("digest of an object", expected))
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{}", HEXLOWER.encode(&self.0))
    }
}

/// An object in the store, as the host that stored it described it.
///
/// Nothing of it is verified: any host may have written it. Only [`Objects::get`] checks the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its digest.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// When it was put there, in milliseconds since 1970.
    pub at: u64,
}

/// The object store of a lattice. Clones share it. The store is created by the first operation.
#[derive(Debug, Clone)]
pub struct Objects {
    connection: Connection,
    bucket: String,
    domain: Option<String>,
    limits: StreamLimits,
}

impl Objects {
    pub(super) fn new(connection: Connection, bucket: String, domain: Option<String>) -> Self {
        Self {
            connection,
            bucket,
            domain,
            limits: StreamLimits::default(),
        }
    }

    /// Applies these limits to the store when it is made.
    pub(super) fn limit(&mut self, limits: StreamLimits) {
        self.limits = limits;
    }

    /// Stores bytes, unless they are stored already, and returns their digest.
    ///
    /// An existing object is read, so that a damaged one is replaced.
    ///
    /// # Errors
    ///
    /// `TooLarge`, `NotConnected`, `Store`. A write whose answer was lost is repeated by calling it
    /// again.
    pub async fn put(&self, bytes: Bytes) -> Result<Digest, Error> {
        refuse_too_large(bytes.len() as u64)?;
        // Hashing takes up to a second, and would delay the other tasks of the thread.
        let of = bytes.clone();
        let digest = tokio::task::spawn_blocking(move || Digest::of(&of)).await;
        let digest = digest.map_err(|error| Error::store("hash the object", &error))?;
        let store = self.store().await?;
        if let Some(info) = find(&store, digest).await?
            && matches!(fetch(&store, &info, digest).await, Ok(Some(_)))
        {
            return Ok(digest);
        }
        let piece = self.connection.client()?.max_payload() / 2;
        let meta = ObjectMetadata {
            name: digest.to_string(),
            chunk_size: Some(piece.min(PIECE)),
            ..ObjectMetadata::default()
        };
        let put = store.put(meta, &mut bytes.as_ref()).await;
        put.map_err(|error| Error::store("write the object", &error))?;
        Ok(digest)
    }

    /// Reads an object and checks its digest. `None` if there is none.
    ///
    /// # Errors
    ///
    /// `TooLarge` if the description says so or the bytes go on for too long. `Store` if a piece
    /// does not come within 10 seconds, if the bytes have another digest, or if the object is a
    /// link to another.
    pub async fn get(&self, digest: Digest) -> Result<Option<Bytes>, Error> {
        let store = self.store().await?;
        match find(&store, digest).await? {
            Some(info) => fetch(&store, &info, digest).await,
            None => Ok(None),
        }
    }

    /// Deletes an object with all its pieces. Returns whether there was one.
    ///
    /// Hosts that are just reading it get an error for a missing piece.
    pub async fn delete(&self, digest: Digest) -> Result<bool, Error> {
        let store = self.store().await?;
        let Some(info) = find(&store, digest).await? else {
            return Ok(false);
        };
        let jetstream = self.jetstream();
        let stream = jetstream.get_stream_no_info(self.stream()).await;
        let failed = |why: &dyn std::fmt::Display| Error::store("delete the object", why);
        let stream = stream.map_err(|error| failed(&error))?;
        let bucket = &self.bucket;
        // The description is deleted first, because hosts find the pieces by it.
        let name = BASE64URL.encode(digest.to_string().as_bytes());
        let mut subjects = vec![format!("$O.{bucket}.M.{name}")];
        // The description comes from any host, and could name the pieces of another object.
        if is_plain(&info.nuid) {
            subjects.push(format!("$O.{bucket}.C.{}", info.nuid));
        }
        for subject in subjects {
            let purged = stream.purge().filter(subject).await;
            purged.map_err(|error| failed(&error))?;
        }
        Ok(true)
    }

    /// Lists all objects. Names that are not digests are left out.
    ///
    /// If an object is written again just as a listing begins, the listing waits for a message that is gone. A listing
    /// that stands still is therefore begun again.
    pub async fn list(&self) -> Result<Vec<Stored>, Error> {
        for _ in 0..LISTINGS {
            if let Some(objects) = self.list_once().await? {
                return Ok(objects);
            }
        }
        let why = "the server sent no further object";
        Err(Error::store("list the objects", &why))
    }

    /// One listing. `None` if it stood still.
    async fn list_once(&self) -> Result<Option<Vec<Stored>>, Error> {
        let failed = |why: &dyn std::fmt::Display| Error::store("list the objects", why);
        let store = self.store().await?;
        let mut list = store.list().await.map_err(|error| failed(&error))?;
        let mut objects = Vec::new();
        loop {
            let Ok(next) = tokio::time::timeout(STANDSTILL, list.next()).await else {
                return Ok(None);
            };
            let Some(info) = next else {
                return Ok(Some(objects));
            };
            if objects.len() == MAX_OBJECTS {
                return Err(failed(&format!("there are more than {MAX_OBJECTS}")));
            }
            objects.extend(stored(&info.map_err(|error| failed(&error))?));
        }
    }

    /// The object store, which is created if it is missing. It is opened each time, as it may have
    /// been lost.
    async fn store(&self) -> Result<ObjectStore, Error> {
        self.connection.client()?;
        let jetstream = self.jetstream();
        if let Ok(store) = jetstream.get_object_store(&self.bucket).await {
            return Ok(store);
        }
        let created = jetstream.create_stream(self.config()).await;
        created.map_err(|error| OF_HOST.refused_stream(&error, self.limits))?;
        let store = jetstream.get_object_store(&self.bucket).await;
        store.map_err(|error| Error::store("open the object store", &error))
    }

    /// The stream of an object store, as the client makes it, with the host's limits.
    fn config(&self) -> Config {
        let bucket = &self.bucket;
        Config {
            name: self.stream(),
            subjects: vec![format!("$O.{bucket}.C.>"), format!("$O.{bucket}.M.>")],
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            num_replicas: self.limits.replicas,
            max_bytes: self.limits.max_bytes(),
            allow_rollup: true,
            allow_direct: true,
            ..Config::default()
        }
    }

    /// The stream of an object store of this name.
    fn stream(&self) -> String {
        format!("OBJ_{}", self.bucket)
    }

    /// The streams of the domain that has the store.
    fn jetstream(&self) -> jetstream::Context {
        self.connection.jetstream(self.domain.as_deref())
    }
}

/// The description of an object. `None` if there is none, or only a note that it was deleted.
async fn find(store: &ObjectStore, digest: Digest) -> Result<Option<ObjectInfo>, Error> {
    match store.info(digest.to_string()).await {
        Ok(info) => Ok(Some(info).filter(|info| !info.deleted)),
        Err(error) if error.kind() == InfoErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::store("find the object", &error)),
    }
}

/// Reads the object of a description. Only the place of the pieces is taken from the description.
///
/// The digest is computed while the pieces arrive. `None` if the object was deleted in the
/// meantime.
async fn fetch(
    store: &ObjectStore,
    info: &ObjectInfo,
    digest: Digest,
) -> Result<Option<Bytes>, Error> {
    let failed = |why: &dyn std::fmt::Display| Error::store("read the object", why);
    refuse_too_large(info.size as u64)?;
    let is_link = |info: &ObjectInfo| info.options.as_ref().is_some_and(|it| it.link.is_some());
    if is_link(info) || !is_plain(&info.nuid) {
        return Err(failed(&format!("{digest} is not an object")));
    }
    let object = match store.get(digest.to_string()).await {
        Ok(object) => object,
        // Another host has deleted it in the meantime.
        Err(_) if find(store, digest).await?.is_none() => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    let mut bytes = Vec::with_capacity(info.size);
    let mut hash = Sha256::new();
    // One byte more than allowed, so that a larger object is noticed.
    let mut object: Take<_> = object.take(MAX_OBJECT + 1);
    loop {
        let start = bytes.len();
        let piece = tokio::time::timeout(PATIENCE, object.read_buf(&mut bytes)).await;
        let piece = piece.map_err(|_| failed(&format!("a piece of {digest} is missing")))?;
        if piece.map_err(|error| failed(&error))? == 0 {
            break;
        }
        hash.update(&bytes[start..]);
    }
    refuse_too_large(bytes.len() as u64)?;
    let found = Digest(hash.finalize().into());
    if found == digest {
        return Ok(Some(bytes.into()));
    }
    Err(failed(&format!(
        "{digest} was asked for, and the bytes have the digest {found}"
    )))
}

/// An entry of a listing. `None` if its name is not a digest.
fn stored(info: &ObjectInfo) -> Option<Stored> {
    let at = info.modified.map_or(0, DateTime::unix_timestamp_nanos);
    Some(Stored {
        digest: Digest::parse(&info.name).ok()?,
        size: info.size as u64,
        at: u64::try_from(at / 1_000_000).unwrap_or(0),
    })
}

/// `TooLarge` past `MAX_OBJECT`.
fn refuse_too_large(size: u64) -> Result<(), Error> {
    if size <= MAX_OBJECT {
        return Ok(());
    }
    Err(Error::TooLarge {
        what: "object",
        size,
        limit: MAX_OBJECT,
    })
}

/// Whether the name of the pieces is a token of a subject without wildcards. It comes from the
/// description, which any host can write.
fn is_plain(nuid: &str) -> bool {
    !nuid.is_empty() && nuid.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_was_written() {
        let digest = Digest::of(b"bytes");
        assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
        let digits = "0".repeat(63);
        for wrong in [
            "",
            "sha256:",
            &"0".repeat(64),
            &format!("sha256:{digits}"),
            &format!("sha256:{digits}A"),
            &format!("sha256:{digits}00"),
            &format!("sha512:{digits}0"),
        ] {
            assert!(Digest::parse(wrong).is_err(), "{wrong}");
        }
    }
}
