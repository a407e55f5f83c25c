//! Answers to requests: one subscription for all, and a place for each request that waits.
//!
//! The client has the like, but keeps a place for ever where no answer comes, and lets a caller
//! wait for one that the end of its connection has made impossible.

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

type Waiting = Mutex<HashMap<String, Waiter>>;

/// Whether a message is an answer, to those who can tell. It is asked where all answers come in, so it
/// must not take long.
pub(crate) type IsAnswer = Box<dyn Fn(&Bytes) -> bool + Send>;

/// What a waiting request takes for its answer.
pub(crate) enum Accepts {
    /// Any message.
    Anything,
    /// A message that passes the check, or the word of the server that nobody responds.
    Checked(IsAnswer),
    /// A message that passes the check, and nothing else: whoever may publish to the inbox can forge
    /// the word of the server.
    CheckedAlone(IsAnswer),
}

impl Accepts {
    fn is_answer(&self, message: &Message) -> bool {
        let is_nobody = message.status == Some(StatusCode::NO_RESPONDERS);
        match self {
            Self::Anything => true,
            Self::Checked(is_answer) => is_nobody || is_answer(&message.payload),
            Self::CheckedAlone(is_answer) => !is_nobody && is_answer(&message.payload),
        }
    }
}

struct Waiter {
    sender: oneshot::Sender<Message>,
    accepts: Accepts,
    /// How often the connection had been lost before.
    losses: u64,
}

/// Sends requests and waits for their answers.
pub(crate) struct Replies {
    connection: Connection,
    /// Nobody can guess it, so nobody else can answer.
    inbox: String,
    waiting: Arc<Waiting>,
    _task: AbortOnDropHandle<()>,
}

impl Replies {
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

    /// The same, and passes over what the request does not accept.
    pub(crate) async fn request_checked(
        &self,
        subject: &str,
        message: Bytes,
        deadline: Instant,
        accepts: Accepts,
    ) -> Result<Message, Error> {
        self.ask(subject, None, message, deadline, accepts).await
    }

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
        let (place, answer) = Place::take(&self.waiting, losses, accepts);
        let inbox = format!("{}.{}", self.inbox, place.token);
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

/// A place among those who wait, until it is dropped.
struct Place<'a> {
    waiting: &'a Waiting,
    token: String,
}

impl<'a> Place<'a> {
    fn take(
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

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.token);
    }
}

/// Hands answers to those who wait, and tells those for whom none can come any more.
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
