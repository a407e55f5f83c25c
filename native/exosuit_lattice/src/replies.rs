//! Requests and their answers: one subscription for all answers, and an entry for each request that
//! waits.
//!
//! The client has requests, too, but keeps an entry forever if no answer comes, and lets a caller
//! wait for an answer that can no longer come because the connection was lost.
//!
//! # How a request ends
//!
//! | what happens | the caller gets |
//! |---|---|
//! | an accepted answer arrives | the answer |
//! | nobody listens to the subject | `NoResponders`, at once, from the server |
//! | the connection is lost after the request | `ConnectionLost`, at once: answers are not repeated |
//! | the deadline passes | `Deadline` |
//! | the caller drops the future | nothing; the entry is removed with it |
//!
//! In the third case the request may have been carried out. Only the caller knows whether it may be repeated.
//!
//! The number of entries is that of waiting futures, which callers bound. Answers to entries that are gone
//! are dropped in the task.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use crate::connection::unsent;
use crate::{Connection, Error, State, new_id};

/// The waiting requests, by the last token of their inbox.
type Waiting = Mutex<HashMap<String, Waiter>>;

/// Whether a message is an answer. It is called in the task of all answers, so it must not take
/// long.
pub(crate) type IsAnswer = Box<dyn Fn(&Bytes) -> bool + Send>;

/// The messages that a request accepts as its answer.
pub(crate) enum Accepts {
    /// Any message.
    Anything,
    /// A message that passes the check, or "no responders" from the server.
    Checked(IsAnswer),
    /// Only a message that passes the check: "no responders" can be forged by anyone who may
    /// publish to the inbox.
    CheckedAlone(IsAnswer),
}

impl Accepts {
    /// Whether a message to the inbox is the answer. Others leave the request waiting.
    fn is_answer(&self, message: &Message) -> bool {
        let is_nobody = message.status == Some(StatusCode::NO_RESPONDERS);
        match self {
            Self::Anything => true,
            Self::Checked(is_answer) => is_nobody || is_answer(&message.payload),
            Self::CheckedAlone(is_answer) => !is_nobody && is_answer(&message.payload),
        }
    }
}

/// A waiting request. Dropping it ends the wait with `ConnectionLost`.
struct Waiter {
    sender: oneshot::Sender<Message>,
    accepts: Accepts,
    /// The number of losses of the connection before the request.
    losses: u64,
}

/// Sends requests and waits for their answers.
pub(crate) struct Replies {
    connection: Connection,
    /// It is random, so that only those who get a request can answer it.
    inbox: String,
    waiting: Arc<Waiting>,
    _task: AbortOnDropHandle<()>,
}

impl Replies {
    /// Subscribes to the answers of this connection.
    pub(crate) async fn start(connection: Connection) -> Result<Self, Error> {
        let inbox = format!("_INBOX.{}", new_id().simple());
        let subscriber = connection
            .any_client()
            .subscribe(format!("{inbox}.*"))
            .await;
        let subscriber = subscriber.map_err(|_| Error::Closed)?;
        let waiting = Arc::new(Waiting::default());
        let hand_out = hand_out(Arc::clone(&waiting), subscriber, connection.clone());
        Ok(Self {
            connection,
            inbox,
            waiting,
            _task: AbortOnDropHandle::new(tokio::spawn(hand_out)),
        })
    }

    /// Sends a request and waits for its answer until the deadline.
    ///
    /// The errors are those of [`crate::Bus::request`].
    pub(crate) async fn request(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        message: Bytes,
        deadline: Instant,
    ) -> Result<Message, Error> {
        self.ask(subject, headers, message, deadline, Accepts::Anything)
            .await
    }

    /// Sends a request, and ignores messages that it does not accept.
    ///
    /// A message that is not accepted does not end the wait, so a forged answer cannot suppress the
    /// real one.
    pub(crate) async fn request_checked(
        &self,
        subject: &str,
        message: Bytes,
        deadline: Instant,
        accepts: Accepts,
    ) -> Result<Message, Error> {
        self.ask(subject, None, message, deadline, accepts).await
    }

    /// Registers an entry, sends the request, and waits. The entry comes first, because the answer may be
    /// here before `publish` returns.
    ///
    /// The losses are read before the client is: a connection that is lost between the two ends
    /// this request as well. The timeout covers the sending, because the client's queue may be
    /// full.
    async fn ask(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        message: Bytes,
        deadline: Instant,
        accepts: Accepts,
    ) -> Result<Message, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        let late = || Error::Deadline(subject.to_owned());
        if left.is_zero() {
            return Err(late());
        }
        self.connection.refuse_too_large("message", message.len())?;
        let losses = self.connection.losses();
        let client = self.connection.client()?;
        let (pending, answer) = PendingReply::register(&self.waiting, losses, accepts);
        let inbox = format!("{}.{}", self.inbox, pending.token);
        let exchange = async {
            let subject = subject.to_owned();
            let published = match headers {
                Some(headers) => {
                    let publish =
                        client.publish_with_reply_and_headers(subject, inbox, headers, message);
                    publish.await
                }
                None => client.publish_with_reply(subject, inbox, message).await,
            };
            published.map_err(|error| unsent(&error))?;
            answer.await.map_err(|_| Error::ConnectionLost)
        };
        let answer = tokio::time::timeout(left, exchange)
            .await
            .map_err(|_| late())??;
        match answer.status {
            Some(StatusCode::NO_RESPONDERS) => Err(Error::NoResponders(subject.to_owned())),
            _ => Ok(answer),
        }
    }
}

/// The entry of a waiting request, until it is dropped.
///
/// Its drop is the only place that removes an entry of a caller that gave up.
struct PendingReply<'a> {
    waiting: &'a Waiting,
    token: String,
}

impl<'a> PendingReply<'a> {
    /// Adds an entry.
    fn register(
        waiting: &'a Waiting,
        losses: u64,
        accepts: Accepts,
    ) -> (Self, oneshot::Receiver<Message>) {
        let (sender, receiver) = oneshot::channel();
        let token = new_id().simple().to_string();
        let waiter = Waiter {
            sender,
            accepts,
            losses,
        };
        waiting.lock().insert(token.clone(), waiter);
        (Self { waiting, token }, receiver)
    }
}

impl Drop for PendingReply<'_> {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.token);
    }
}

/// Passes answers to their requests. Ends requests whose answers can no longer come, because the
/// connection was lost since.
///
/// The state comes first in the `select!`, so that answers of an old connection do not delay the
/// end of requests that wait for it in vain.
async fn hand_out(waiting: Arc<Waiting>, mut subscriber: Subscriber, connection: Connection) {
    let mut state = connection.state();
    loop {
        tokio::select! {
            biased;
            _ = state.changed() => {
                let is_closed = *state.borrow_and_update() == State::Closed;
                let losses = connection.losses();
                waiting.lock().retain(|_, waiter| !is_closed && waiter.losses == losses);
                if is_closed {
                    return;
                }
            }
            message = subscriber.next() => {
                let Some(message) = message else {
                    waiting.lock().clear();
                    return;
                };
                answer(&waiting, message);
            }
        }
    }
}

/// Passes a message to its request. A message that is not accepted leaves the request waiting.
///
/// The lock is released before the message is sent to the waiter, because that wakes a task.
fn answer(waiting: &Waiting, message: Message) {
    let token = message.subject.rsplit('.').next().unwrap_or_default();
    let mut waiting = waiting.lock();
    let is_answer = |waiter: &Waiter| waiter.accepts.is_answer(&message);
    if waiting.get(token).is_some_and(is_answer)
        && let Some(waiter) = waiting.remove(token)
    {
        drop(waiting);
        // The waiter may be gone.
        let _ = waiter.sender.send(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(status: Option<StatusCode>, payload: &'static str) -> Message {
        Message {
            subject: "_INBOX.1.2".into(),
            reply: None,
            payload: payload.into(),
            headers: None,
            status,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn the_word_that_nobody_responds_counts_for_calls_and_not_for_questions() {
        let check = || -> IsAnswer { Box::new(|payload: &Bytes| payload == "true") };
        let nobody = Some(StatusCode::NO_RESPONDERS);
        let messages = [
            (None, "true"),
            (None, "forged"),
            (nobody, ""),
            (nobody, "true"),
        ];
        for (accepts, expected) in [
            (Accepts::Anything, [true, true, true, true]),
            (Accepts::Checked(check()), [true, false, true, true]),
            (Accepts::CheckedAlone(check()), [true, false, false, false]),
        ] {
            let accepted = messages.map(|(status, text)| accepts.is_answer(&message(status, text)));
            assert_eq!(accepted, expected);
        }
    }
}
