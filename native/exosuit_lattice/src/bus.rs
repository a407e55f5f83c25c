//! Messages over a connection: publish, request, gather and subscribe.
//!
//! The control plane uses this module: commands of tools and hosts, events, heartbeats. Calls
//! between hosts use `rpc`, which has its own inbox on another connection.
//!
//! | function | waits for | answers |
//! |---|---|---|
//! | `publish`, `send` | room in the client's queue | none |
//! | `request`, `ask` | the first answer | one |
//! | `gather` | a time, or a number of answers | any number |
//! | `subscribe` | the client | all messages, until dropped |
//!
//! Nothing here is repeated. A message that is published while there is no connection fails with
//! `NotConnected`. A subscription is made again by the client with the next connection.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{StatusCode, Subscriber};
use bytes::Bytes;
use exosuit_core::{Heard, Mailbox};
use futures_util::StreamExt;
use tokio_util::task::AbortOnDropHandle;

use crate::connection::unsent;
use crate::replies::Replies;
use crate::{Connection, Error};

/// Messages over a connection. Clones share it.
///
/// It holds one inbox for the answers of all requests, see `replies`. It lives until the last clone
/// is dropped.
#[derive(Clone)]
pub struct Bus {
    connection: Connection,
    replies: Arc<Replies>,
}

/// A message from the lattice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The subject that it was sent to.
    pub subject: String,
    /// The subject that an answer is awaited on.
    pub reply: Option<String>,
    /// The bytes of the message.
    pub payload: Bytes,
}

/// The bytes of answers after which `gather` ends: 64 MiB. A message may have a mebibyte, and the
/// caller chooses the number of answers, so the number alone is no bound.
const GATHERED: usize = 64 << 20;

/// The messages on a subject, until this is dropped. The subscription survives outages, but
/// messages sent during one are lost. Messages are also lost while the reader is too slow; a notice
/// of the connection reports this.
pub struct Subscription {
    connection: Connection,
    heard: exosuit_core::Subscription,
}

impl Bus {
    /// Messages over this connection. Does not wait, even if there is no connection yet.
    ///
    /// # Errors
    ///
    /// `Closed`, if the connection was closed before.
    pub async fn start(connection: Connection) -> Result<Self, Error> {
        let replies = Arc::new(Replies::start(connection.clone()).await?);
        Ok(Self {
            connection,
            replies,
        })
    }

    /// Checks that there is a connection.
    ///
    /// # Errors
    ///
    /// `NotConnected` or `Closed`. The answer may be out of date at once; it is for a health check,
    /// and for a better error.
    pub fn check(&self) -> Result<(), Error> {
        self.connection.client().map(drop)
    }

    /// The connection that messages go over.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The waiting requests of this bus.
    pub(crate) fn replies(&self) -> &Replies {
        &self.replies
    }

    /// Publishes a message. It does not say whether anybody receives it.
    ///
    /// # Errors
    ///
    /// `NotConnected`, `Closed`, `TooLarge` if the server would refuse its size, `Malformed` for a
    /// subject with a blank.
    pub async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), Error> {
        let subject = subject.to_owned();
        let reply = None;
        self.send(Message {
            subject,
            reply,
            payload,
        })
        .await
    }

    /// Publishes a message that may name a subject for its answer.
    ///
    /// # Errors
    ///
    /// Those of [`Self::publish`]; `Malformed` also for a blank in the reply subject.
    pub async fn send(&self, message: Message) -> Result<(), Error> {
        let Message {
            subject,
            reply,
            payload,
        } = message;
        self.connection.refuse_too_large("message", payload.len())?;
        let client = self.connection.client()?;
        let sent = match reply {
            Some(reply) => {
                check_reply(&reply)?;
                client.publish_with_reply(subject, reply, payload).await
            }
            None => client.publish(subject, payload).await,
        };
        sent.map_err(|error| unsent(&error))
    }

    /// Sends a request, and returns the payload of the first answer. If nobody listens, returns an
    /// error at once.
    ///
    /// # Errors
    ///
    /// | error | when |
    /// |---|---|
    /// | `NoResponders` | nobody subscribes to the subject |
    /// | `Deadline` | no answer came until then, or the deadline had passed already |
    /// | `ConnectionLost` | the connection was lost in between; the request may have been served |
    /// | `NotConnected`, `Closed`, `TooLarge`, `Malformed` | the request was not sent |
    pub async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, Error> {
        Ok(self.ask(subject, payload, deadline).await?.payload)
    }

    /// Sends a request, and returns the whole answer, which may name a subject for a further
    /// answer.
    ///
    /// The errors are those of [`Self::request`].
    pub async fn ask(
        &self,
        subject: &str,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<Message, Error> {
        let answer = self.replies.request(subject, None, payload, deadline);
        Ok(answer.await?.into())
    }

    /// Sends a request, and returns the answers that arrive within this time. Ends early after
    /// `most` answers.
    ///
    /// It ends without answers if nobody listens. No number of answers is an error.
    pub async fn gather(
        &self,
        subject: &str,
        payload: Bytes,
        within: Duration,
        most: usize,
    ) -> Result<Vec<Bytes>, Error> {
        self.gather_until_quiet(subject, payload, within, within, most)
            .await
    }

    /// Gathers answers like [`Bus::gather`]. After the first answer, it ends when no other has
    /// arrived for `quiet`. So a caller that expects few hosts need not wait for the whole time.
    ///
    /// Its inbox is a subscription of its own, which ends with the future. It also ends once 64 MiB
    /// were gathered.
    ///
    /// # Errors
    ///
    /// `NotConnected`, `Closed`, `TooLarge`, `Malformed`, all before anything was gathered.
    pub async fn gather_until_quiet(
        &self,
        subject: &str,
        payload: Bytes,
        within: Duration,
        quiet: Duration,
        most: usize,
    ) -> Result<Vec<Bytes>, Error> {
        self.connection.refuse_too_large("message", payload.len())?;
        let client = self.connection.client()?;
        let inbox = client.new_inbox();
        let mut answers = client
            .subscribe(inbox.clone())
            .await
            .map_err(|_| Error::Closed)?;
        let sent = client
            .publish_with_reply(subject.to_owned(), inbox, payload)
            .await;
        sent.map_err(|error| unsent(&error))?;
        let (mut gathered, mut bytes) = (Vec::new(), 0);
        let gather = async {
            while gathered.len() < most && bytes < GATHERED {
                let patience = if gathered.is_empty() { within } else { quiet };
                match tokio::time::timeout(patience, answers.next()).await {
                    Ok(Some(answer)) if answer.status == Some(StatusCode::NO_RESPONDERS) => return,
                    Ok(Some(answer)) => {
                        bytes += answer.payload.len();
                        gathered.push(answer.payload);
                    }
                    Ok(None) | Err(_) => return,
                }
            }
        };
        // The timeout is the usual end.
        let _ = tokio::time::timeout(within, gather).await;
        Ok(gathered)
    }

    /// Subscribes to a subject, which may have wildcards. In a group, one member gets each message.
    ///
    /// It does not wait for the server: the subscription begins with the connection, now or later.
    /// It does not fail for a subject that the account may not read; the server reports that, and a
    /// [`crate::Notice`] says so.
    pub async fn subscribe(
        &self,
        subject: &str,
        group: Option<&str>,
    ) -> Result<Subscription, Error> {
        Ok(Subscription {
            connection: self.connection.clone(),
            heard: self.listen(subject, group).await?,
        })
    }

    /// Subscribes for built-in providers, which learn how many messages were lost.
    ///
    /// A task moves the messages into a mailbox until the subscription is dropped. So a reader may
    /// be slow without blocking the client, and what does not fit is counted.
    pub(crate) async fn listen(
        &self,
        subject: &str,
        group: Option<&str>,
    ) -> Result<exosuit_core::Subscription, Error> {
        let client = self.connection.any_client();
        let subscriber = match group {
            Some(group) => {
                client
                    .queue_subscribe(subject.to_owned(), group.to_owned())
                    .await
            }
            None => client.subscribe(subject.to_owned()).await,
        };
        let refused =
            |error: async_nats::SubscribeError| Error::malformed("subject", error.to_string());
        let mailbox = Arc::new(Mailbox::default());
        let filling = tokio::spawn(fill(Arc::clone(&mailbox), subscriber.map_err(refused)?));
        Ok(exosuit_core::Subscription::new(
            mailbox,
            AbortOnDropHandle::new(filling),
        ))
    }
}

/// Moves messages to a mailbox with a bound on bytes. The client's own queue has only a bound on
/// their number.
///
/// It ends when the subscription ends, that is with the connection.
async fn fill(mailbox: Arc<Mailbox>, mut subscriber: Subscriber) {
    while let Some(message) = subscriber.next().await {
        mailbox.put(Message::from(message).into());
    }
    mailbox.close();
}

impl Subscription {
    /// The next message. `None` once the connection is closed.
    ///
    /// Lost messages are reported as [`crate::Notice::SlowConsumer`] and skipped. The future may be
    /// dropped and called again; no message is lost by that.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            match self.heard.next().await? {
                Heard::Message(message) => return Some(message.into()),
                Heard::Lost(_) => self.connection.fell_behind(),
            }
        }
    }
}

impl From<async_nats::Message> for Message {
    fn from(message: async_nats::Message) -> Self {
        Self {
            subject: message.subject.to_string(),
            reply: message.reply.map(|reply| reply.to_string()),
            payload: message.payload,
        }
    }
}

/// Checks the subject of an answer. The client sends any text, and a blank in it would change the
/// message.
fn check_reply(reply: &str) -> Result<(), Error> {
    let is_bad = |byte: u8| byte.is_ascii_whitespace() || byte.is_ascii_control();
    if reply.is_empty() || reply.bytes().any(is_bad) {
        return Err(Error::malformed(
            "reply subject",
            "it has a blank in it, or is empty",
        ));
    }
    Ok(())
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bus").field(&self.connection).finish()
    }
}
