//! Watches the changes of a bucket, through every outage, until the watcher is dropped.
//!
//! One task follows the bucket by an ordered consumer. It compares each message with [`KeyMirror`],
//! which knows the keys that were reported, and reports only differences. After an interruption it
//! continues after the last revision, if the bucket is still the same. Three cases make that
//! unsafe, and then it reads everything again:
//!
//! - The bucket has another creation time, or fewer revisions: it was lost or restored. Keys that
//!   are missing are reported as `Lost`, not as `Deleted`, because no host has deleted them.
//! - The number of keys differs from the mirror's: deletions leave markers, but the server removes
//!   markers some day, and a deletion during a long outage is then invisible.
//! - Reading everything was itself interrupted.
//!
//! Slow readers are not a problem: the channel holds [`CHANGES`], and the task stops reading while
//! it is full.
//!
//! # What a reader can rely on
//!
//! - After [`Change::Current`], the reader knows the keys as they were at some time since the last
//!   interruption. From then on each change follows, the last one of a key always; when a key
//!   changes several times in a row, changes in between may be missing.
//! - A value is reported again only if its revision is another one, however often the connection is
//!   lost.
//! - `Lost` is not `Deleted`: hosts write such keys again from their copies, see
//!   `Exosuit.Host.Replica`. Treating an empty, new bucket as a mass deletion would take all links
//!   and applications away.
//! - `Interrupted` comes once for an outage. The reader keeps what it knows.
//!
//! # The task
//!
//! It runs on Tokio and owns the mirror; the reader only has the channel. It ends when the
//! [`Watcher`] is dropped, at once, or when the connection is closed for good. A lost connection
//! ends the consumer within the `select!`: the consumer itself would notice later, by heartbeats that
//! are missing.

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::bucket::Bucket;
use super::mirror::{From, KeyChange, KeyMirror};
use crate::{Backoff, Error, State};

/// How many changes wait for a slow reader. Each may have the size of a message.
const CHANGES: usize = 32;

/// The header of deletions. Every message without it is a value.
const OPERATION: &str = "KV-Operation";
const DELETIONS: [&str; 2] = ["DEL", "PURGE"];

/// A change of a bucket.
///
/// For a host that starts, the order is: a `Put` for each key that has a value, `Current`, and from
/// then on each change as it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A key has this value.
    Put {
        /// The key.
        key: String,
        /// Its value.
        value: Bytes,
        /// Which change of the bucket it was.
        revision: u64,
    },
    /// A key was deleted.
    Deleted {
        /// The key.
        key: String,
    },
    /// There is no room for this key. Its changes are not reported.
    Dropped {
        /// The key.
        key: String,
    },
    /// All existing keys have been reported: at the beginning, and after each interruption.
    Current,
    /// The bucket was replaced by another one, which lacks these keys. They are not reported as
    /// deleted.
    Lost {
        /// The keys that it lacks.
        keys: Vec<String>,
    },
    /// The bucket cannot be read now. Reported once, until it can be read again.
    Interrupted(Error),
}

/// The changes of a bucket. Dropping it ends the task and the consumer.
pub struct Watcher {
    changes: mpsc::Receiver<Change>,
    /// Dropped with this, it ends the task.
    _task: AbortOnDropHandle<()>,
}

impl Watcher {
    /// Starts the task that follows the bucket.
    pub(super) fn start(bucket: Bucket) -> Self {
        let (sender, changes) = mpsc::channel(CHANGES);
        let follower = Follower {
            bucket,
            mirror: KeyMirror::default(),
            changes: sender,
        };
        Self {
            changes,
            _task: AbortOnDropHandle::new(tokio::spawn(follower.run())),
        }
    }

    /// The next change. All existing keys come first. `None` once the connection is closed.
    ///
    /// The future may be dropped and called again without losing a change. A reader that does not
    /// call it stops the task after 32 changes, and the server keeps the rest.
    pub async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
    }
}

/// Why following the bucket ended.
///
/// `Over` ends the task. The other two start a new consumer.
enum End {
    /// The watcher was dropped, or the connection is closed for good.
    Over,
    /// The connection changed, or something was missed: start again at once.
    Again,
    /// The server refused or did not answer: start again after a pause.
    Failed(Error),
}

/// The result of a step of following; an error ends the consumer.
type Followed<T> = Result<T, End>;

/// The task of a watcher.
struct Follower {
    bucket: Bucket,
    mirror: KeyMirror,
    changes: mpsc::Sender<Change>,
}

impl Follower {
    /// Follows the bucket again and again, with pauses after failures.
    ///
    /// A failure is reported once, and the pauses grow to a minute. A lost connection is not a
    /// failure: the next attempt waits for the connection.
    async fn run(mut self) {
        let backoff = Backoff::default();
        let mut failures = 0;
        // Whether the reader knows of the present outage.
        let mut is_reported = false;
        loop {
            if self.connected().await.is_err() {
                return;
            }
            match self.follow(&mut failures, &mut is_reported).await {
                Ok(()) | Err(End::Again) => {}
                Err(End::Over) => return,
                Err(End::Failed(error)) => {
                    if !is_reported && self.send(Change::Interrupted(error)).await.is_err() {
                        return;
                    }
                    is_reported = true;
                    failures += 1;
                    tokio::time::sleep(backoff.delay(failures, rand::random())).await;
                }
            }
        }
    }

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// `End::Over` if the connection is closed for good.
    async fn connected(&self) -> Followed<()> {
        let mut state = self.bucket.connection().state();
        let settled = state.wait_for(|state| matches!(state, State::Connected | State::Closed));
        match settled.await.as_deref() {
            Ok(State::Connected) => Ok(()),
            _ => Err(End::Over),
        }
    }

    /// Follows the bucket until something interrupts it. Resets the failures once it has caught up.
    ///
    /// The consumer is an *ordered* one: it is kept in memory, has no acknowledgements, and ends if
    /// a message is missing. Then the next one begins after the last revision that the mirror has.
    async fn follow(&mut self, failures: &mut usize, is_reported: &mut bool) -> Followed<()> {
        let mut state = self.bucket.connection().state();
        // From here on: a connection that is lost during the next requests must be noticed below.
        state.mark_unchanged();
        let mut stream = self.bucket.stream().await.map_err(End::Failed)?;
        let info = stream.info().await.map_err(|error| failed(&error))?;
        let from = self.mirror.begin(info.created, info.state.last_sequence);
        let (mut messages, mut is_behind) = self.open(&stream, from).await?;
        if !is_behind {
            self.caught_up(&mut stream, from).await?;
        }
        (*failures, *is_reported) = (0, false);
        loop {
            let message = tokio::select! {
                biased;
                _ = state.changed() => return Err(End::Again),
                () = self.changes.closed() => return Err(End::Over),
                message = messages.next() => message,
            };
            let message = message.ok_or(End::Again)?.map_err(|error| failed(&error))?;
            let pending = self.apply(&message).await?;
            if is_behind && pending == 0 {
                is_behind = false;
                self.caught_up(&mut stream, from).await?;
            }
        }
    }

    /// Opens a consumer that begins there. The flag says whether messages are waiting.
    ///
    /// An empty bucket has no message that would say "caught up", hence the flag.
    async fn open(&self, stream: &Stream, from: From) -> Followed<(Ordered, bool)> {
        let deliver_policy = match from {
            From::Beginning => DeliverPolicy::LastPerSubject,
            From::Revision(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
        };
        let config = OrderedConfig {
            deliver_subject: self.bucket.connection().any_client().new_inbox(),
            filter_subject: self.subject(">"),
            deliver_policy,
            replay_policy: ReplayPolicy::Instant,
            ..OrderedConfig::default()
        };
        let consumer = stream
            .create_consumer(config)
            .await
            .map_err(|error| failed(&error))?;
        let is_behind = consumer.cached_info().num_pending > 0;
        let messages = consumer.messages().await.map_err(|error| failed(&error))?;
        Ok((messages, is_behind))
    }

    /// Applies a message, and returns how many more are waiting.
    ///
    /// The count of waiting messages is the server's, at the time when it sent this one.
    async fn apply(&mut self, message: &Message) -> Followed<u64> {
        let info = message.info().map_err(|error| failed(&*error))?;
        let (revision, pending) = (info.stream_sequence, info.pending);
        let prefix = self.subject("");
        let Some(key) = message.subject.strip_prefix(&prefix) else {
            return Ok(pending);
        };
        let operation = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get(OPERATION));
        let is_live = operation.is_none_or(|operation| !DELETIONS.contains(&operation.as_str()));
        let key = key.to_owned();
        match self.mirror.apply(&key, revision, is_live) {
            KeyChange::Nothing => {}
            KeyChange::Deleted => self.send(Change::Deleted { key }).await?,
            KeyChange::Put => {
                let value = message.payload.clone();
                self.send(Change::Put {
                    key,
                    value,
                    revision,
                })
                .await?;
            }
            KeyChange::Dropped => self.send(Change::Dropped { key }).await?,
        }
        Ok(pending)
    }

    /// All waiting messages were read: reports keys that disappeared without a message. After continuing
    /// from a revision, first compares the number of keys: the server counts one message for each key,
    /// its deletion markers included, just as the mirror does.
    async fn caught_up(&mut self, stream: &mut Stream, from: From) -> Followed<()> {
        if from != From::Beginning {
            let info = stream.info().await.map_err(|error| failed(&error))?;
            if !self.mirror.agrees(info.state.messages) {
                self.mirror.restart();
                return Err(End::Again);
            }
        }
        let gone = self.mirror.caught_up();
        for key in gone.deleted {
            self.send(Change::Deleted { key }).await?;
        }
        if !gone.lost.is_empty() {
            self.send(Change::Lost { keys: gone.lost }).await?;
        }
        self.send(Change::Current).await
    }

    /// Sends a change to the reader. Waits while the reader is slow.
    ///
    /// Waiting is what bounds memory: the consumer's own buffer is bounded by the client.
    async fn send(&self, change: Change) -> Followed<()> {
        self.changes.send(change).await.map_err(|_| End::Over)
    }

    /// The subject of a key.
    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.bucket.name())
    }
}

/// The server refused, did not answer, or sent a message that cannot be read.
fn failed(why: &(impl std::fmt::Display + ?Sized)) -> End {
    End::Failed(Error::store("follow the bucket", &why))
}
