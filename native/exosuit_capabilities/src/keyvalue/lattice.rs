//! Records in a bucket of the lattice, which all its hosts see.
//!
//! An entry is one value of that bucket. A change reads the entry, works on a copy, and writes the copy only if the
//! entry has not changed in the meantime. If it has, the change starts over.
//!
//! Changes of one entry on this host take turns, so they collide only with those of other hosts. After a collision a
//! change waits for a random time, at most 64 ms. After 64 attempts the caller gets `conflict`, and nothing was
//! written.
//!
//! An attempt whose answer is lost ends the operation with an error, and the write may have happened. It is not
//! repeated: an increment would count twice.
//!
//! | operation | requests | is one step |
//! |---|---|---|
//! | reads one entry | one | yes |
//! | reads several | one for each, 32 at a time | for each entry |
//! | a page of keys | one consumer over the headers of all entries | no |
//! | changes one entry | a read and a write, again after a collision | yes |
//! | changes several | the same for each, 32 at a time | for each entry |
//!
//! Expired entries are hidden at once and removed by a sweep: every five minutes at most, and only
//! if something may expire.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use exosuit_core::{Bucket, Code, Done, Error, Kept, Listed, Written};
use parking_lot::Mutex as Lock;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::layout::{self, Head};
use super::memory::Records;
use super::operation::{Change, Operation, Outcome, Query};
use super::packed::{pack, unpack};
use super::space::{MAX_SEEN, check_key};
use super::store::{Running, Store, stopped};
use super::transaction::full;
use super::work::{Work, WorkContext};

/// The number of attempts to change an entry.
const ATTEMPTS: u32 = 64;
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// The number of entries of one operation that are asked for at a time.
const AT_ONCE: usize = 32;

/// The bytes that one operation may read: few of the largest entries, or many usual ones.
const MAX_READ: usize = 64 << 20;

/// The number of locks that the entries share, by hash.
const TURNS: usize = 256;

/// The shortest time between two sweeps, in milliseconds.
const SWEEP_EVERY: u64 = 300_000;

/// Records in a bucket of the lattice.
pub(crate) struct LatticeStore(Arc<Inner>);

/// Shared with the running operations, which outlive a borrow.
struct Inner {
    bucket: Arc<dyn Bucket>,
    turns: Turns,
    sweeping: Lock<Sweeping>,
    /// Whether further operations are refused.
    is_stopped: AtomicBool,
}

/// Locks by which changes of one entry on this host take turns. Otherwise they would collide with
/// each other.
struct Turns {
    hasher: RandomState,
    locks: Vec<Mutex<()>>,
}

/// When the next sweep is due, and whether nothing is left to expire.
#[derive(Default)]
struct Sweeping {
    next: u64,
    is_idle: bool,
}

/// Marks that a value with an expiry is being written. It does so when it is dropped, however the
/// write ends: a sweep that ran at the same time may have missed the value.
struct Expiring<'a>(&'a Lock<Sweeping>);

impl Drop for Expiring<'_> {
    fn drop(&mut self) {
        self.0.lock().is_idle = false;
    }
}

impl LatticeStore {
    /// Records in this bucket, which need not exist yet.
    pub(crate) fn new(bucket: Arc<dyn Bucket>) -> Self {
        let locks = (0..TURNS).map(|_| Mutex::default()).collect();
        let hasher = RandomState::new();
        Self(Arc::new(Inner {
            bucket,
            turns: Turns { hasher, locks },
            sweeping: Lock::default(),
            is_stopped: AtomicBool::new(false),
        }))
    }
}

impl Store for LatticeStore {
    fn run(&self, Work { operation, context }: Work) -> Running {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            if inner.is_stopped.load(Ordering::Relaxed) {
                return Err(stopped());
            }
            match operation {
                Operation::Query(Query::Keys(cursor)) => inner.list(cursor, &context).await,
                Operation::Query(query) => inner.ask(query, &context).await,
                Operation::Change(change) => {
                    inner.sweep_now_and_then((context.clock)());
                    inner.change_all(change, context).await
                }
            }
        })
    }

    fn stop(&self) -> Done {
        self.0.is_stopped.store(true, Ordering::Relaxed);
        Box::pin(ready(Ok(())))
    }
}

impl Inner {
    /// Reads the entries of a query, and answers from the copies.
    async fn ask(self: &Arc<Self>, query: Query, context: &WorkContext) -> Result<Outcome, Error> {
        let records = self.read(query.keys(), context).await?;
        context.ask(query, &records)
    }

    /// The entries of these keys, each as of the moment when it is read.
    async fn read(
        self: &Arc<Self>,
        keys: Vec<&String>,
        context: &WorkContext,
    ) -> Result<Records, Error> {
        let mut records = Records::new();
        let mut bytes = 0;
        for keys in keys.chunks(AT_ONCE) {
            let mut reading = JoinSet::new();
            for key in keys {
                check_key(key)?;
                let (key, kept) = ((*key).clone(), self.bucket.get(&at(context, key)));
                reading.spawn(async move { (key, kept.await) });
            }
            while let Some(read) = reading.join_next().await {
                let (key, kept) = read.map_err(|_| stopped())?;
                let Some(value) = kept?.value else { continue };
                bytes += value.len();
                if bytes > MAX_READ {
                    let detail = format!(
                        "the operation would read more than {MAX_READ} bytes: ask for less"
                    );
                    return Err(Error::new(Code::Provider, detail));
                }
                unpack(&value, &context.bucket, &key, &mut records)?;
            }
        }
        Ok(records)
    }

    /// A page of keys. The servers send the headers of all entries of the bucket for it.
    async fn list(&self, cursor: Option<u64>, context: &WorkContext) -> Result<Outcome, Error> {
        let after = context.after(cursor)?;
        // One more than is looked at for a page tells whether there are any.
        let listing = self
            .bucket
            .keys(&context.bucket, after.as_deref(), MAX_SEEN + 1);
        let head = |Listed { key, expires }: Listed| {
            let value = Vec::new();
            let head = Head::Value { expires, value };
            (layout::head_key(&context.bucket, &key), head.encode())
        };
        let records: Records = listing.await?.into_iter().map(head).collect();
        context.ask(Query::Keys(cursor), &records)
    }

    /// Carries out a change, for each entry by itself if there are several. An error in the middle
    /// leaves the entries before it changed.
    async fn change_all(
        self: &Arc<Self>,
        change: Change,
        context: WorkContext,
    ) -> Result<Outcome, Error> {
        let changes = change.split();
        for change in &changes {
            context.check(change)?;
        }
        if let [change] = &changes[..] {
            return self.change(change, &context).await;
        }
        let context = Arc::new(context);
        let mut outcome = Outcome::Nothing;
        for changes in changes.chunks(AT_ONCE) {
            let mut running = JoinSet::new();
            for change in changes {
                let (inner, change, context) =
                    (Arc::clone(self), change.clone(), Arc::clone(&context));
                running.spawn(async move { inner.change(&change, &context).await });
            }
            while let Some(changed) = running.join_next().await {
                outcome = changed.map_err(|_| stopped())??;
            }
        }
        Ok(outcome)
    }

    /// Changes one entry, until no other host was faster. A full bucket is swept once.
    ///
    /// # Errors
    ///
    /// `conflict` after 64 attempts, `provider` if the bucket stays full.
    async fn change(&self, change: &Change, context: &WorkContext) -> Result<Outcome, Error> {
        let key = change.key();
        let _turn = self.turns.of(context, key).lock().await;
        let mut has_swept = false;
        for attempt in 0..ATTEMPTS {
            let (written, outcome) = self.attempt(change, context, key).await?;
            match written {
                Written::Done => return Ok(outcome),
                Written::Behind => sleep(pause(attempt)).await,
                Written::Full if has_swept => return Err(full(context.limits.bytes)),
                Written::Full => {
                    self.sweep((context.clock)()).await?;
                    has_swept = true;
                }
            }
        }
        let detail = "the entry was not written, because others changed it at each attempt";
        Err(Error::new(Code::Conflict, detail))
    }

    /// Reads the entry, changes a copy, and writes it if the entry is still the same. An unchanged copy is not
    /// written.
    async fn attempt(
        &self,
        change: &Change,
        context: &WorkContext,
        key: &str,
    ) -> Result<(Written, Outcome), Error> {
        let at = at(context, key);
        let Kept { value, revision } = self.bucket.get(&at).await?;
        let mut records = Records::new();
        if let Some(value) = &value {
            unpack(value, &context.bucket, key, &mut records)?;
        }
        let outcome = context.change(change.clone(), &mut records)?;
        let written = match (pack(&records, &context.bucket, key)?, &value) {
            (None, None) => Written::Done,
            (None, Some(_)) => self.bucket.delete(&at, revision).await?,
            (Some((new, _)), Some(old)) if new == *old => Written::Done,
            (Some((new, expires)), _) => {
                let _expiring = (expires > 0).then(|| Expiring(&self.sweeping));
                self.bucket.put(&at, new, expires, revision).await?
            }
        };
        Ok((written, outcome))
    }

    /// Starts a sweep in the background, if one is due.
    fn sweep_now_and_then(self: &Arc<Self>, now: u64) {
        {
            let mut sweeping = self.sweeping.lock();
            if sweeping.is_idle || now < sweeping.next {
                return;
            }
            sweeping.next = now + SWEEP_EVERY;
        }
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            // What fails is tried again the next time.
            let _ = inner.sweep(now).await;
        });
    }

    /// Removes expired values from the whole bucket.
    async fn sweep(&self, now: u64) -> Result<(), Error> {
        self.sweeping.lock().is_idle = true;
        let swept = self.bucket.sweep(now).await;
        // Something that will expire may have been written meanwhile.
        self.sweeping.lock().is_idle &= swept == Ok(false);
        swept.map(drop)
    }
}

impl Turns {
    /// The lock of an entry. Two entries may share one, and then wait for each other.
    fn of(&self, context: &WorkContext, key: &str) -> &Mutex<()> {
        let number = self.hasher.hash_one((&context.bucket, key));
        let index = usize::try_from(number % TURNS as u64).unwrap_or(0);
        &self.locks[index]
    }
}

/// The place of an entry in the bucket: the space is the bucket of the link.
fn at(context: &WorkContext, key: &str) -> exosuit_core::Place {
    exosuit_core::Place {
        space: context.bucket.clone(),
        key: key.into(),
    }
}

/// A random pause, at most 1 ms after the first collision and at most 64 ms later.
fn pause(attempt: u32) -> Duration {
    let longest = Duration::from_millis(1 << attempt.min(6)).min(LONGEST_PAUSE);
    longest.mul_f64(rand::random())
}

impl Query {
    /// The keys whose entries it reads.
    fn keys(&self) -> Vec<&String> {
        match self {
            Self::Contains(key) | Self::Get(key) | Self::SetMembers(key) => vec![key],
            Self::ListRange(range) => vec![&range.key],
            Self::GetMany(keys) => {
                let once: BTreeSet<_> = keys.iter().collect();
                once.into_iter().collect()
            }
            Self::SetIntersection(keys) | Self::SetUnion(keys) => keys.iter().collect(),
            Self::Keys(_) => Vec::new(),
        }
    }
}

impl Change {
    /// The key of the one entry that it changes.
    fn key(&self) -> &str {
        match self {
            Self::Delete(key) | Self::ListClear(key) | Self::SetClear(key) => key,
            Self::Increment(increment) => &increment.key,
            Self::Set(set) => &set.key,
            Self::Swap(swap) => &swap.key,
            Self::ListAdd(item)
            | Self::ListDelete(item)
            | Self::SetAdd(item)
            | Self::SetDelete(item) => &item.key,
            Self::DeleteMany(keys) => keys.first().map_or("", String::as_str),
            Self::SetMany(entries) => entries.first().map_or("", |(key, _)| key),
        }
    }

    /// One change for each entry. If a key occurs several times, its last value counts.
    fn split(self) -> Vec<Self> {
        match self {
            Self::DeleteMany(keys) => {
                let keys: BTreeSet<_> = keys.into_iter().collect();
                let one = |key| Self::DeleteMany(vec![key]);
                keys.into_iter().map(one).collect()
            }
            Self::SetMany(entries) => {
                let last: BTreeMap<String, Vec<u8>> = entries.into_iter().collect();
                let one = |entry| Self::SetMany(vec![entry]);
                last.into_iter().map(one).collect()
            }
            other => vec![other],
        }
    }
}
