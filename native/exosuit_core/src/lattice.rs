//! The lattice as built-in providers use it: messages, and values that hosts share.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::{Done, Error, Heard, Id, Mailbox, Message, Pending};

/// A lattice for built-in providers: over NATS, or within one VM.
///
/// The provider decides whether an actor may use a subject.
pub trait Lattice: Send + Sync {
    /// Publishes a message. It does not say whether anybody receives it.
    fn publish(&self, message: Message) -> Done;

    /// Sends a request, and returns the first answer. If nobody listens, returns an error at once.
    fn request(&self, subject: &str, body: Bytes, deadline: Instant) -> Pending<Message>;

    /// Subscribes to a subject, which may have wildcards. In a group, one member gets each message.
    fn subscribe(&self, subject: &str, group: Option<&str>) -> Pending<Subscription>;

    /// A bucket that all hosts see, within these limits if it does not exist yet. `None` if there
    /// are no other hosts. Sends no request yet.
    fn bucket(&self, name: &Id, limits: BucketLimits) -> Option<Arc<dyn Bucket>>;

    /// Checks that messages can be sent now.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Prefixes of further subjects that actors may not use, such as `my.control`.
    fn reserved(&self) -> &[String] {
        &[]
    }
}

/// The messages on a subject, until this is dropped.
pub struct Subscription {
    mailbox: Arc<Mailbox>,
    _source: Box<dyn Any + Send + Sync>,
}

impl Subscription {
    /// The messages in this mailbox, as long as `source` exists.
    pub fn new(mailbox: Arc<Mailbox>, source: impl Any + Send + Sync) -> Self {
        Self {
            mailbox,
            _source: Box::new(source),
        }
    }

    /// The next message or loss. `None` when nothing can come any more.
    pub async fn next(&mut self) -> Option<Heard> {
        self.mailbox.recv().await
    }
}

/// The limits of a bucket that does not exist yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketLimits {
    /// How many bytes it may take.
    pub max_bytes: u64,
    /// On how many servers it is stored. `None` for as many as the shared state.
    pub replicas: Option<usize>,
}

/// Keys and values that all hosts of a lattice see. A write names the revision that it replaces.
pub trait Bucket: Send + Sync {
    /// The value of a key.
    fn get(&self, place: &Place) -> Pending<Kept>;

    /// Writes a value if the key has this revision, 0 for a new one. `expires` is stored for
    /// [`keys`](Self::keys) and [`sweep`](Self::sweep); the readers decide whether a value has
    /// expired.
    fn put(&self, place: &Place, value: Bytes, expires: u64, revision: u64) -> Pending<Written>;

    /// Deletes the value if it has this revision.
    fn delete(&self, place: &Place, revision: u64) -> Pending<Written>;

    /// The keys of a space in their order, after this one, at most `most`.
    fn keys(&self, space: &str, after: Option<&str>, most: usize) -> Pending<Vec<Listed>>;

    /// Deletes the values of all spaces that have expired at `now`. Returns whether any values are
    /// left that will expire.
    fn sweep(&self, now: u64) -> Pending<bool>;
}

/// A key in a space. Both are any texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// Separates equal keys.
    pub space: Box<str>,
    /// The key.
    pub key: Box<str>,
}

/// The value of a key, with its revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The value. `None` if the key was deleted, or never existed.
    pub value: Option<Bytes>,
    /// The revision of the bucket that set it; 0 if the key never existed.
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

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is stored on the servers.
    Done,
    /// The key has another revision by now.
    Behind,
    /// The bucket has no room for the value.
    Full,
}
