//! The key-value store: every operation of `wasmcloud:keyvalue` and `wasi:keyvalue`, written once, over records
//! that are ordered by key.
//!
//! 1. `wasmbus` and `wit` decode an `operation` of their contract, and encode its outcome.
//! 2. `work` carries an operation out: `space` reads, `changes` writes. Both work on the entries that `layout` lays
//!    out in records; `bookmarks` keep the cursors of lists.
//! 3. `transaction` makes a change atomic, and counts its bytes against the `limits`.
//! 4. A `store` keeps the records: `memory`, `file` (with `disk`, which reopens the file after a failure), or
//!    `lattice`, in one of its buckets, whose entries are `packed`.
//!
//! # Threads
//!
//! An operation is a future that the caller polls, perhaps on a scheduler of the BEAM. Quick work in memory is done
//! in the first poll. Everything else leaves that thread: reads of a file go to blocking threads, writes to one
//! thread that owns the transaction, and a bucket of the lattice is asked over the network. A caller that gives up
//! drops the future; work that has begun is carried out to its end.
//!
//! # Atomicity
//!
//! Memory has one lock for all buckets, the file one writer: an operation, a batch among them, is one step. A bucket
//! of the lattice knows only single entries. There an operation reads its entry with a revision, and writes it if it
//! still has that revision.
//!
//! # What is bounded
//!
//! | what | by | past it |
//! |---|---|---|
//! | a key | 4,096 bytes | an error |
//! | a value, or an item of a list | `max_value_bytes` | an error |
//! | a member of a set | 65,536 bytes | an error |
//! | a list or set | `max_items` | an error |
//! | the store | `max_bytes` | writes fail, reads and deletions work |
//! | the bucket of a link | `max_bucket_bytes`, half of the store by default | likewise |
//! | an answer | 16 MiB | an error: ask for less |
//! | keys of a batch | 1,024 | an error |
//! | sets of one operation | 64 | an error |
//! | keys of a page | 1,000 | a cursor |
//! | cursors of an actor | 1,024 | the oldest are forgotten |
//! | writes that wait for the file | 64 | further callers wait until their deadlines |
//!
//! # Errors
//!
//! | code | reason |
//! |---|---|
//! | `invalid_input` | arguments that cannot be decoded, the name of a bucket, an unknown cursor |
//! | `provider` | an entry of another kind, a number outside of its bounds, a full store |
//! | `conflict` | in a lattice: others changed the entry at each of 64 attempts |
//! | `io` | the disk failed, or a record is damaged |
//! | `unavailable` | the provider is stopped, or the lattice is away |
//! | `deadline` | the deadline passed; a write may have happened |

mod bookmarks;
mod changes;
mod disk;
mod file;
mod lattice;
mod layout;
mod limits;
mod memory;
mod operation;
mod packed;
mod records;
mod space;
mod store;
mod transaction;
pub(crate) mod wasmbus;
mod wit;
mod work;

use std::future::ready;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exosuit_core::{
    Answer, Bucket, BucketLimits, Capability, CapabilityCall, Code, Configuration, Contract, Done,
    Error, Id, Invocation, KEYVALUE, Lattice, Link, Observe, Origin, Payload, Pending, Prepared,
    Reply,
};

use crate::message;
use crate::settings::{Settings, invalid};
use bookmarks::Bookmarks;
use limits::StoreLimits;
use operation::{Operation, Outcome, Query};
use store::Store;
use work::{Clock, Work, WorkContext, system_clock};

/// The longest name of a link's bucket.
const MAX_BUCKET: usize = 128;
/// The longest name of a bucket inside of it. With the slash between them, both fit a length of one
/// byte, which is in the key of every record.
const MAX_INNER: usize = 126;

/// The key that the health check reads. It need not exist.
const PROBE: &str = "exosuit.health";

/// The provider of `wasmcloud:keyvalue` and `wasi:keyvalue`.
///
/// Data is apart by provider and bucket; actors that are linked with the same bucket share it. A
/// write is answered when it is done: on disk, for the file; by the servers, in a lattice.
///
/// The functions of `batch` take 1024 keys at most. They happen whole or not at all, and see one moment;
/// in a lattice that holds for each key alone.
///
/// `""` and `default` open the bucket of the link. Any other name opens one inside of it: shared by
/// those whose links have the same bucket, and out of reach for all others, whatever they open.
///
/// Both contracts see the same entries. A value is bytes: `get` reads what `Set` wrote, and `Get` what
/// `set` wrote if it is UTF-8. A number is a text for either, within the bounds of the contract that
/// adds to it. `exists` and `list-keys` know of lists and sets, which `get` refuses.
///
/// `list-keys` gives a thousand keys at a time, in order. A key that is there from the first page to the
/// last is given once, whatever else comes and goes. A cursor is good until the link or the provider
/// ends, or the actor was given a thousand others, and where it was given.
///
/// # Backends
///
/// `memory` lasts as long as the provider. `file` is `keyvalue/<id>.redb` of the host's data directory,
/// and survives `kill -9`; while its disk is full, writes are refused and reads go on. `nats` is a
/// bucket of the lattice, `EXOSUIT_KV_<lattice>_<id>`: all hosts that run a provider of this id see
/// the same data. An entry, a list or set with all its items, must fit into one message of the
/// servers there (1 MiB, unless they are told otherwise), and without a connection each operation
/// fails at once.
///
/// [`KEYVALUE`] lists the settings.
pub struct KeyValue {
    id: Id,
    /// The contract of the OTP era, and then that of WASI.
    contracts: Vec<Contract>,
    /// The bounds of the provider. A link may set another bound for its bucket.
    limits: StoreLimits,
    /// Whether the provider counts the bytes of each bucket.
    has_shares: bool,
    clock: Clock,
    /// The cursors that were given to actors.
    bookmarks: Arc<Bookmarks>,
    /// The backend.
    store: Box<dyn Store>,
}

/// The setting that bounds one bucket.
const BUCKET_BYTES: &str = "max_bucket_bytes";

/// The contract of an operation, by which its outcome is encoded.
#[derive(Clone, Copy)]
enum Encoding {
    Wasmbus,
    Wit,
}

/// The backend of the settings. The file is not open yet.
enum Backend {
    Memory,
    /// The directory of the files of all key-value stores of this host.
    File(PathBuf),
    Nats(Arc<dyn Bucket>),
}

/// The settings of a provider, parsed and checked. Nothing is open yet.
struct Wanted {
    limits: StoreLimits,
    has_shares: bool,
    backend: Backend,
}

impl Wanted {
    /// Parses the settings, and decides on the backend: that of the settings, or `nats` in a
    /// lattice, a file if the host keeps files, and memory otherwise.
    fn read(
        id: &Id,
        configuration: &Configuration,
        data_dir: Option<&Path>,
        lattice: &dyn Lattice,
    ) -> Result<Self, Error> {
        let mut settings = Settings::new(&KEYVALUE);
        settings.lay(configuration);
        let mut limits = limits(&settings)?;
        let bucket = lattice.bucket(id, bucket_limits(&settings)?);
        let default = match (&bucket, data_dir) {
            (Some(_), _) => "nats",
            (None, Some(_)) => "file",
            (None, None) => "memory",
        };
        let backend = match (settings.text("backend").unwrap_or(default), bucket) {
            ("memory", _) => Backend::Memory,
            ("file", _) => Backend::File(data_dir.ok_or_else(no_data_dir)?.join("keyvalue")),
            ("nats", Some(bucket)) => Backend::Nats(bucket),
            ("nats", None) => return Err(no_lattice()),
            (other, _) => return Err(invalid("backend", other, "memory, file or nats")),
        };
        let has_shares = !matches!(backend, Backend::Nats(_));
        if !has_shares {
            limits.bucket_bytes = limits.bytes;
        }
        check_share(settings.text(BUCKET_BYTES).is_some(), has_shares)?;
        Ok(Self {
            limits,
            has_shares,
            backend,
        })
    }
}

impl KeyValue {
    /// Checks the settings as `open` does, and opens nothing: the file may be in use by the provider
    /// that these settings are for.
    pub fn check(
        id: &Id,
        configuration: &Configuration,
        data_dir: Option<&Path>,
        lattice: &dyn Lattice,
    ) -> Result<(), Error> {
        Wanted::read(id, configuration, data_dir, lattice).map(drop)
    }

    /// Opens the store. Waits for the disk, and a little for another that is just letting go of
    /// the same file: not for an async thread.
    pub fn open(
        id: Id,
        configuration: &Configuration,
        data_dir: Option<&Path>,
        lattice: &dyn Lattice,
        observe: Arc<dyn Observe>,
    ) -> Result<Arc<Self>, Error> {
        let clock = Arc::new(system_clock);
        Self::open_at(id, configuration, data_dir, lattice, observe, clock)
    }

    fn open_at(
        id: Id,
        configuration: &Configuration,
        data_dir: Option<&Path>,
        lattice: &dyn Lattice,
        observe: Arc<dyn Observe>,
        clock: Clock,
    ) -> Result<Arc<Self>, Error> {
        let wanted = Wanted::read(&id, configuration, data_dir, lattice)?;
        let store: Box<dyn Store> = match wanted.backend {
            Backend::Memory => Box::new(memory::MemoryStore::default()),
            Backend::File(directory) => {
                Box::new(file::FileStore::open(id.clone(), &directory, observe)?)
            }
            Backend::Nats(bucket) => Box::new(lattice::LatticeStore::new(bucket)),
        };
        Ok(Arc::new(Self {
            id,
            contracts: KEYVALUE.contracts(),
            limits: wanted.limits,
            has_shares: wanted.has_shares,
            clock,
            bookmarks: Arc::default(),
            store,
        }))
    }

    /// Decodes a call: the operation, and the bucket of the link that it came through. A call of the host itself has
    /// no link, and sees the bucket `default`.
    fn work(&self, call: CapabilityCall) -> Result<(Work, Encoding), Error> {
        let CapabilityCall { invocation, link } = call;
        let Invocation {
            origin,
            operation: name,
            payload,
            ..
        } = invocation;
        let bucket = self.bucket(link.as_deref())?;
        let (bucket, operation, encoding) = if name.starts_with("wasi:") {
            let call = self.wit(&name, payload)?;
            (opened(bucket, &call.bucket)?, call.operation, Encoding::Wit)
        } else {
            let operation = self.wasmbus(&name, &payload)?;
            (bucket.into(), operation, Encoding::Wasmbus)
        };
        let mut context = self.context(bucket, origin);
        context.limits = self.limits_of(link.as_deref())?;
        Ok((Work { operation, context }, encoding))
    }

    /// What an operation works with. A link may change the limits.
    fn context(&self, bucket: Box<str>, caller: Origin) -> WorkContext {
        WorkContext {
            bucket,
            limits: self.limits,
            clock: self.clock.clone(),
            bookmarks: self.bookmarks.clone(),
            caller,
        }
    }

    /// Decodes an operation of the OTP era's contract.
    fn wasmbus(&self, name: &str, payload: &Payload) -> Result<Operation, Error> {
        let unknown = || message::unknown_operation(&self.contracts[0], name);
        wasmbus::read(name, payload.bytes()?).ok_or_else(unknown)?
    }

    /// Decodes a call of `wasi:keyvalue`.
    fn wit(&self, name: &str, payload: Payload) -> Result<wit::Call, Error> {
        let unknown = || message::unknown_operation(&self.contracts[1], name);
        wit::Call::read(name, payload.into_values()?).ok_or_else(unknown)?
    }

    /// The limits of the provider, with what a link says of its bucket.
    fn limits_of(&self, link: Option<&Link>) -> Result<StoreLimits, Error> {
        let mut limits = self.limits;
        let own = link.map(|link| link.seen_from(&self.id).0);
        if let Some(own) = own.filter(|own| !own.is_empty()) {
            let mut settings = Settings::new(&KEYVALUE);
            settings.lay(own);
            if let Some(bytes) = settings.given_number(BUCKET_BYTES)? {
                limits.bucket_bytes = bytes;
                check_share(true, self.has_shares)?;
            }
        }
        Ok(limits)
    }

    /// The bucket of a link.
    fn bucket<'a>(&self, link: Option<&'a Link>) -> Result<&'a str, Error> {
        let own = link.map(|link| link.seen_from(&self.id).0);
        let mut given = own.into_iter().flatten();
        let bucket = given.find(|(key, _)| key.eq_ignore_ascii_case("bucket"));
        let Some((key, bucket)) = bucket else {
            return Ok("default");
        };
        let bucket = bucket.trim();
        if is_name(bucket, MAX_BUCKET) {
            Ok(bucket)
        } else {
            let expected = "1 to 128 of A-Z, a-z, 0-9, -, _ and .";
            Err(invalid(key, bucket, expected))
        }
    }
}

impl Encoding {
    /// The outcome in the form of its contract.
    fn write(self, outcome: Outcome) -> Result<Reply, Error> {
        match self {
            Self::Wasmbus => wasmbus::write(outcome).map(Reply::Bytes),
            Self::Wit => Ok(Reply::Value(wit::write(outcome))),
        }
    }
}

impl Capability for KeyValue {
    fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    fn invoke(&self, call: CapabilityCall) -> Answer {
        match self.work(call) {
            Ok((work, encoding)) => {
                let running = self.store.run(work);
                Box::pin(async move { running.await.and_then(|outcome| encoding.write(outcome)) })
            }
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn prepare(&self, link: Arc<Link>) -> Pending<Prepared> {
        let checked = if self.contracts.contains(&link.contract) {
            let settings = KEYVALUE.check_link(&self.id, &link);
            let limits = settings.and_then(|_| self.limits_of(Some(&link)));
            limits.and_then(|_| self.bucket(Some(&link)).map(drop))
        } else {
            let (one, other) = (&self.contracts[0], &self.contracts[1]);
            let detail = format!(
                "the key-value store offers {one} and {other}, not {}",
                link.contract
            );
            Err(Error::new(Code::InvalidLink, detail))
        };
        Box::pin(ready(checked.map(|()| Prepared::nothing())))
    }

    fn warnings(&self, link: &Link) -> Vec<String> {
        KEYVALUE.check_link(&self.id, link).unwrap_or_default()
    }

    fn unlink(&self, link: Arc<Link>) -> Done {
        let (_, actor) = link.seen_from(&self.id);
        self.bookmarks.forget(actor);
        Box::pin(ready(Ok(())))
    }

    /// Reads a key as an actor would, and then asks whether writes work. A failing disk is
    /// `unavailable`, so the provider is not restarted for it.
    fn health(&self) -> Done {
        let context = self.context("default".into(), Origin::Host);
        let operation = Operation::Query(Query::Contains(PROBE.to_owned()));
        let running = self.store.run(Work { operation, context });
        let impaired = self.store.impaired();
        Box::pin(async move {
            running.await?;
            impaired.map_or(Ok(()), Err)
        })
    }

    fn stop(&self) -> Done {
        self.store.stop()
    }
}

/// Refuses a limit of a bucket that would have no effect.
fn check_share(is_given: bool, has_shares: bool) -> Result<(), Error> {
    if !is_given || has_shares {
        return Ok(());
    }
    let detail = format!(
        "setting {BUCKET_BYTES} has no effect with the backend nats, where the servers bound the \
         whole: start a provider for each tenant"
    );
    Err(Error::new(Code::InvalidLink, detail))
}

/// The error for a file without a place.
fn no_data_dir() -> Error {
    let detail = "setting backend is \"file\", which needs a host with a data directory";
    Error::new(Code::InvalidLink, detail)
}

/// The error for a bucket of a host that has no NATS.
fn no_lattice() -> Error {
    let detail = "setting backend is \"nats\", which needs a host in a lattice over NATS";
    Error::new(Code::InvalidLink, detail)
}

/// Whether a text is the name of a bucket, with at most this many bytes.
fn is_name(bucket: &str, most: usize) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=most).contains(&bucket.len()) && bucket.bytes().all(good)
}

/// The bucket that a guest opens by a name, inside the bucket of its link. Names have no slash, so no other link
/// can have this bucket.
fn opened(bucket: &str, name: &str) -> Result<Box<str>, Error> {
    match name {
        "" | "default" => Ok(bucket.into()),
        name if is_name(name, MAX_INNER) => Ok(format!("{bucket}/{name}").into()),
        _ => Err(Error::new(
            Code::InvalidInput,
            "expected the bucket's name to be 1 to 126 characters of A-Z, a-z, 0-9, -, _ and .",
        )),
    }
}

/// The settings with which a bucket of the lattice is made. One that exists keeps its own.
fn bucket_limits(settings: &Settings) -> Result<BucketLimits, Error> {
    let replicas = settings.given_number("replicas")?;
    Ok(BucketLimits {
        max_bytes: settings.number("max_bytes")?,
        replicas: replicas.map(|number| usize::try_from(number).unwrap_or(usize::MAX)),
    })
}

/// The limits by the settings of the provider.
fn limits(settings: &Settings) -> Result<StoreLimits, Error> {
    let bytes = settings.number("max_bytes")?;
    Ok(StoreLimits {
        bytes,
        // Prevents one tenant from filling the store for all.
        bucket_bytes: settings.given_number(BUCKET_BYTES)?.unwrap_or(bytes / 2),
        value_bytes: settings.number("max_value_bytes")?,
        items: settings.number("max_items")?,
    })
}

#[cfg(test)]
mod tests;
