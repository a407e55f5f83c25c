//! The changes of a bucket, told for as long as somebody listens, through every outage.

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::bucket::Bucket;
use super::mirror::{From, Mirror, News};
use crate::{Backoff, Error, State};

/// How many changes wait for whoever is slow to take them, of a message's length each; after that we do
/// not read on.
const CHANGES: usize = 32;

/// Says what a deletion is; everything else is a value.
const OPERATION: &str = "KV-Operation";
const DELETIONS: [&str; 2] = ["DEL", "PURGE"];

/// What happened to a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A key has this value.
    Put {
        /// Which key.
        key: String,
        /// Its value.
        value: Bytes,
        /// Which change of the bucket it was.
        revision: u64,
    },
    /// A key is there no more.
    Deleted {
        /// Which key.
        key: String,
    },
    /// There is no room for this key: it is passed over, and what becomes of it is not told.
    Dropped {
        /// Which key.
        key: String,
    },
    /// All that there was has been told: at the beginning, and after each interruption.
    Current,
    /// The bucket is not the one that it was, and lacks these keys: somebody deleted it, or the
    /// servers lost what they had. They are told of as deleted by nothing else.
    Lost {
        /// The keys that it lacks.
        keys: Vec<String>,
    },
    /// The bucket cannot be read now. Told once, until it can be again.
    Interrupted(Error),
}

/// Reads the changes of a bucket, until it is dropped.
pub struct Watcher {
    changes: mpsc::Receiver<Change>,
    _task: AbortOnDropHandle<()>,
}

impl Watcher {
    pub(super) fn start(bucket: Bucket) -> Self {
        let (sender, changes) = mpsc::channel(CHANGES);
        let follower = Follower {
            bucket,
            mirror: Mirror::default(),
            changes: sender,
        };
        Self {
            changes,
            _task: AbortOnDropHandle::new(tokio::spawn(follower.run())),
        }
    }

    /// The next change; none once the connection is closed. First comes all that there is.
    pub async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
    }
}

/// Why following ended.
enum End {
    /// Nobody listens any more, or there will be no connection.
    Over,
    /// To be begun anew, at once.
    Again,
    Failed(Error),
}

type Followed<T> = Result<T, End>;

struct Follower {
    bucket: Bucket,
    mirror: Mirror,
    changes: mpsc::Sender<Change>,
}

impl Follower {
    async fn run(mut self) {
        let backoff = Backoff::default();
        let mut failures = 0;
        let mut is_told = false;
        loop {
            if self.connected().await.is_err() {
                return;
            }
            match self.follow(&mut failures, &mut is_told).await {
                Ok(()) | Err(End::Again) => {}
                Err(End::Over) => return,
                Err(End::Failed(error)) => {
                    if !is_told && self.tell(Change::Interrupted(error)).await.is_err() {
                        return;
                    }
                    is_told = true;
                    failures += 1;
                    tokio::time::sleep(backoff.delay(failures, rand::random())).await;
                }
            }
        }
    }

    /// Waits for a connection.
    async fn connected(&self) -> Followed<()> {
        let mut state = self.bucket.connection().state();
        let settled = state.wait_for(|state| matches!(state, State::Connected | State::Closed));
        match settled.await.as_deref() {
            Ok(State::Connected) => Ok(()),
            _ => Err(End::Over),
        }
    }

    /// Follows the bucket until something interrupts it.
    async fn follow(&mut self, failures: &mut usize, is_told: &mut bool) -> Followed<()> {
        let mut state = self.bucket.connection().state();
        state.mark_unchanged();
        let mut stream = self.bucket.stream().await.map_err(End::Failed)?;
        let info = stream.info().await.map_err(|error| failed(&error))?;
        let from = self.mirror.begin(info.created, info.state.last_sequence);
        let (mut messages, mut is_behind) = self.read(&stream, from).await?;
        if !is_behind {
            self.caught_up(&mut stream, from).await?;
        }
        (*failures, *is_told) = (0, false);
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

    /// The messages from there on, and whether there are any yet.
    async fn read(&self, stream: &Stream, from: From) -> Followed<(Ordered, bool)> {
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

    /// Takes a message, and says how many are still to come.
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
            News::Nothing => {}
            News::Deleted => self.tell(Change::Deleted { key }).await?,
            News::Put => {
                let value = message.payload.clone();
                self.tell(Change::Put {
                    key,
                    value,
                    revision,
                })
                .await?;
            }
            News::Dropped => self.tell(Change::Dropped { key }).await?,
        }
        Ok(pending)
    }

    /// All that there was has been read.
    async fn caught_up(&mut self, stream: &mut Stream, from: From) -> Followed<()> {
        if from != From::Beginning {
            let info = stream.info().await.map_err(|error| failed(&error))?;
            if !self.mirror.agrees(info.state.messages) {
                self.mirror.doubt();
                return Err(End::Again);
            }
        }
        let gone = self.mirror.caught_up();
        for key in gone.deleted {
            self.tell(Change::Deleted { key }).await?;
        }
        if !gone.lost.is_empty() {
            self.tell(Change::Lost { keys: gone.lost }).await?;
        }
        self.tell(Change::Current).await
    }

    async fn tell(&self, change: Change) -> Followed<()> {
        self.changes.send(change).await.map_err(|_| End::Over)
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.bucket.name())
    }
}

fn failed(why: &(impl std::fmt::Display + ?Sized)) -> End {
    End::Failed(Error::store("follow the bucket", &why))
}
