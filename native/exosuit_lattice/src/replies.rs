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

struct Waiter {
    sender: oneshot::Sender<Message>,
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
        headers: HeaderMap,
        message: Bytes,
        deadline: Instant,
    ) -> Result<Message, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        let late = || Error::Deadline(subject.to_owned());
        if left.is_zero() {
            return Err(late());
        }
        self.connection.refuse_too_large("message", message.len())?;
        let losses = self.connection.losses();
        let client = self.connection.client()?;
        let (place, answer) = Place::take(&self.waiting, losses);
        let inbox = format!("{}.{}", self.inbox, place.token);
        let exchange = async {
            let publish =
                client.publish_with_reply_and_headers(subject.to_owned(), inbox, headers, message);
            publish.await.map_err(|error| unsent(&error))?;
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
    fn take(waiting: &'a Waiting, losses: u64) -> (Self, oneshot::Receiver<Message>) {
        let (sender, receiver) = oneshot::channel();
        let token = new_id().simple().to_string();
        waiting
            .lock()
            .insert(token.clone(), Waiter { sender, losses });
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
    let place = waiting.lock().remove(token);
    if let Some(place) = place {
        // Whoever waited may have gone.
        let _ = place.sender.send(message);
    }
}
