//! What built-in providers use of a lattice: messages to whoever listens, and values that hosts share.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::{Done, Error, Heard, Id, Mailbox, Message, Pending};

/// A lattice as built-in providers know it: over NATS, or within one VM.
///
/// Whether an actor may use a subject is for the provider to say.
pub trait Lattice: Send + Sync {
    /// Sends a message to whoever listens. That somebody does, it does not say.
    fn publish(&self, message: Message) -> Done;

    /// Sends a message, and gives the first answer. That nobody listens is an error at once.
    fn request(&self, subject: &str, body: Bytes, deadline: Instant) -> Pending<Message>;

    /// Listens to a subject, which may have wildcards; of those in one group, one gets each message.
    fn subscribe(&self, subject: &str, group: Option<&str>) -> Pending<Subscription>;

    /// Where a provider may keep what all hosts see, within these limits if it is not there yet. None
    /// if there are no other hosts. Asks nobody yet.
    fn bucket(&self, name: &Id, limits: BucketLimits) -> Option<Arc<dyn Bucket>>;

    /// Whether messages can be sent now.
    ///
    /// # Errors
    /// Without a connection to the other hosts.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// The subjects that are none of an actor's business, besides those that never are: each with all
    /// that begins with it, as in `my.control`.
    fn reserved(&self) -> &[String] {
        &[]
    }
}

/// What is sent to a subject, until this is dropped.
pub struct Subscription {
    mailbox: Arc<Mailbox>,
    _source: Box<dyn Any + Send + Sync>,
}

impl Subscription {
    /// What this mailbox gets for as long as `source` is kept.
    pub fn new(mailbox: Arc<Mailbox>, source: impl Any + Send + Sync) -> Self {
        Self {
            mailbox,
            _source: Box::new(source),
        }
    }

    /// What is heard next; none when nothing can come any more.
    pub async fn next(&mut self) -> Option<Heard> {
        self.mailbox.take().await
    }
}

/// How a bucket is kept that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketLimits {
    /// How many bytes it may take.
    pub max_bytes: u64,
    /// On how many servers it is kept; none for as many as what the hosts share.
    pub replicas: Option<usize>,
}

/// Values under keys that all hosts of a lattice see, each changed by comparing what was there.
pub trait Bucket: Send + Sync {
    /// What stands there.
    fn get(&self, place: &Place) -> Pending<Kept>;

    /// Writes a value in the place of the one of this revision, 0 for none. `expires` is kept beside
    /// it, for [`keys`](Self::keys) and [`sweep`](Self::sweep): whoever reads decides.
    fn put(&self, place: &Place, value: Bytes, expires: u64, revision: u64) -> Pending<Written>;

    /// Deletes the value of this revision.
    fn delete(&self, place: &Place, revision: u64) -> Pending<Written>;

    /// The first keys of a space in their order, past this one, as many as `most`.
    fn keys(&self, space: &str, after: Option<&str>, most: usize) -> Pending<Vec<Listed>>;

    /// Deletes what expired by then, in all spaces. Says whether anything is left that will expire.
    fn sweep(&self, now: u64) -> Pending<bool>;
}

/// Where a value stands: any texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// Apart from all other spaces.
    pub space: Box<str>,
    /// The key.
    pub key: Box<str>,
}

/// What stands under a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The value; none for one that was deleted, or never was.
    pub value: Option<Bytes>,
    /// Which change of the bucket it came with; 0 for none.
    pub revision: u64,
}

/// A key, and when its value expires in milliseconds since 1970; 0 for never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// When it expires.
    pub expires: u64,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is kept, whatever becomes of this host.
    Done,
    /// Something else stands there by now.
    Behind,
    /// The bucket has no room for it.
    Full,
}
