//! Calls from the lattice: taken, checked, handed to their target, answered.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use exosuit_claims::unix_now;
use exosuit_core::{Context, Deliver, Target, bounded};
use futures_util::{FutureExt, StreamExt};
use tokio::task::unconstrained;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::{Served, origin_of};
use super::admission::Entry;
use super::guard::{Genuine, Suspect};
use super::memory::Held;
use super::wire::{Invocation, Response};
use super::{Shared, headers};
use crate::Error;
use crate::connection::unsent;

/// How long a server may be silent before what is drained holds nothing more: many round trips.
const DRAINED: Duration = Duration::from_secs(1);

/// An answer larger than this travels apart, as with the peers.
const LARGEST_ANSWER: usize = 900 << 10;

/// What is served to the lattice, until this is dropped.
#[must_use]
pub struct Serving {
    /// No new calls.
    closed: CancellationToken,
    /// No running ones either.
    ended: CancellationToken,
    calls: TaskTracker,
}

impl Serving {
    /// Takes no new calls, and ends when the running ones have, or when the grace is over.
    pub async fn stop(self, grace: Duration) {
        self.closed.cancel();
        self.calls.close();
        let _late = tokio::time::timeout(grace, self.calls.wait()).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.closed.cancel();
        self.ended.cancel();
    }
}

/// One thing that is served.
struct Service {
    shared: Arc<Shared>,
    served: Served,
    target: Arc<dyn Deliver>,
    client: Client,
    ended: CancellationToken,
}

/// A call that may be what it seems, and has its place.
struct Arrival {
    message: Message,
    call: Invocation,
    target: Target,
    suspect: Suspect,
    entry: Entry,
}

/// One that is not.
struct Refused {
    message: Message,
    /// Of the call, as far as it could be read.
    id: String,
    error: Error,
}

/// Begins to serve.
pub(super) async fn serve(
    shared: Arc<Shared>,
    served: Served,
    target: Arc<dyn Deliver>,
) -> Result<Serving, Error> {
    let lattice = &shared.options.lattice;
    let client = shared.connection.any_client().clone();
    let subscriber = client
        .queue_subscribe(served.subject(lattice), served.group(lattice))
        .await;
    let subscriber = subscriber.map_err(|_| Error::Closed)?;
    let serving = Serving {
        closed: CancellationToken::new(),
        ended: CancellationToken::new(),
        calls: TaskTracker::new(),
    };
    let service = Service {
        shared,
        served,
        target,
        client,
        ended: serving.ended.clone(),
    };
    let receive = receive(
        Arc::new(service),
        subscriber,
        serving.closed.clone(),
        serving.calls.clone(),
    );
    serving.calls.spawn(receive);
    Ok(serving)
}

/// Takes calls as they come: it never waits for one, so that none is lost unanswered.
async fn receive(
    service: Arc<Service>,
    mut subscriber: Subscriber,
    closed: CancellationToken,
    calls: TaskTracker,
) {
    let mut closing = pin!(closed.cancelled());
    loop {
        tokio::select! {
            biased;
            () = &mut closing => break,
            message = subscriber.next() => match message {
                Some(message) => service.begin(message, &calls),
                None => return,
            }
        }
    }
    let connection = &service.shared.connection;
    if connection.client().is_err() {
        // The end of the subscriber is enough: a connection that is made anew does not know of it.
        return;
    }
    let losses = connection.losses();
    // What the server had sent by then is served; it sends no more.
    let drained = async {
        if subscriber.drain().await.is_ok() {
            let mut next = async || tokio::time::timeout(DRAINED, subscriber.next()).await;
            while let Ok(Some(message)) = next().await {
                service.begin(message, &calls);
            }
        }
    };
    tokio::select! {
        () = service.ended.cancelled() => {}
        () = drained => {}
    }
    if connection.losses() != losses {
        // The client has asked for it again on the new connection, and does not know that: calls
        // would come that nobody takes. Yet another connection is asked for what there is.
        let _ = service.client.force_reconnect().await;
    }
}

impl Service {
    /// Looks at a call, and begins to work on it if it may be what it seems: what is not is refused
    /// before it takes anybody's place.
    fn begin(self: &Arc<Self>, message: Message, calls: &TaskTracker) {
        match self.look(message) {
            Ok(arrival) => {
                let service = Arc::clone(self);
                calls.spawn(async move { service.run(&arrival).await });
            }
            Err(refused) => self.refuse_at_once(*refused),
        }
    }

    fn look(&self, message: Message) -> Result<Box<Arrival>, Box<Refused>> {
        let (mut id, inbox) = (String::new(), message.reply.as_deref());
        let mut look = || {
            let call = Invocation::decode(&message.payload)?;
            id.clone_from(&call.id);
            let target = self.served.target(&message.subject, &call.target)?;
            let suspect = self.shared.guard.inspect(&call, inbox, unix_now())?;
            let entry = self.shared.admission.enter(message.payload.len())?;
            Ok((call, target, suspect, entry))
        };
        match look() {
            Ok((call, target, suspect, entry)) => Ok(Box::new(Arrival {
                message,
                call,
                target,
                suspect,
                entry,
            })),
            Err(error) => Err(Box::new(Refused { message, id, error })),
        }
    }

    /// Answers without a task and without waiting: under such a load an answer may be lost.
    fn refuse_at_once(&self, refused: Refused) {
        let Refused { message, id, error } = refused;
        let (response, headers) = failed(id, self.refused(error));
        // Whether there is room for it does not depend on what this task has done so far.
        let _ = unconstrained(self.send(&message, &response, headers)).now_or_never();
    }

    async fn run(&self, arrival: &Arrival) {
        let (response, headers) = match self.answer(arrival).await {
            Ok(response) => (response, HeaderMap::new()),
            Err(error) => failed(arrival.call.id.clone(), error),
        };
        // An answer that cannot be sent is one that the caller will miss.
        let _ = self.send(&arrival.message, &response, headers).await;
    }

    /// Answers a call. What is forged is refused before it waits: the queue is for the genuine.
    async fn answer(&self, arrival: &Arrival) -> Result<Response, exosuit_core::Error> {
        let given = arrival.message.headers.as_ref();
        let options = &self.shared.options;
        let context = headers::context(given, options.usual_timeout, options.longest_timeout);
        let genuine = self.shared.guard.verify(&arrival.suspect, unix_now());
        let genuine = genuine.map_err(|error| self.refused(error))?;
        // Boxed, since each that has it inside would have room for it twice, and be moved with it.
        let answer = Box::pin(async {
            // One inside another does not wait: those that it waits for may wait for it.
            let turn = match context.depth {
                0 => Some(arrival.entry.turn().await),
                _inside => None,
            };
            let answer = self.deliver(arrival, &genuine, context).await?;
            drop(turn);
            self.succeeded(&arrival.call.id, answer.bytes.clone()).await
        });
        let answer = bounded(answer, context.deadline, Some(&self.ended));
        headers::trace(given).scope(answer).await
    }

    async fn deliver(
        &self,
        arrival: &Arrival,
        genuine: &Genuine<'_>,
        context: Context,
    ) -> Result<Held, exosuit_core::Error> {
        let (form, memory) = (self.served.form(), self.shared.admission.memory());
        let payload = self.payload(&arrival.call).await;
        let take = |payload: Held| {
            let guard = &self.shared.guard;
            guard.take(genuine, &payload.bytes, unix_now())?;
            let origin = origin_of(&arrival.call.origin, genuine.origin_id())?;
            let (payload, held) = form.read_payload(payload, memory)?;
            let invocation = exosuit_core::Invocation {
                origin,
                target: arrival.target.clone(),
                operation: arrival.call.operation.clone(),
                payload,
                context,
            };
            Ok((self.target.deliver(invocation), held))
        };
        let taken = payload.and_then(take);
        let (answer, _held) = taken.map_err(|error| self.refused(error))?;
        Ok(form.reply(answer.await?, self.shared.terms(memory)).await?)
    }

    async fn payload(&self, call: &Invocation) -> Result<Held, Error> {
        let shared = &self.shared;
        if !call.is_apart() {
            return Ok(call.payload.clone().into());
        }
        let length = call.content_length.unwrap_or_default();
        shared.refuse_too_large(length)?;
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        let room = shared.admission.memory().reserve(size)?;
        let bytes = Box::pin(shared.chunks.take(&call.id, length)).await?;
        Ok(Held::from(bytes).and(room))
    }

    async fn succeeded(&self, id: &str, payload: Bytes) -> Result<Response, exosuit_core::Error> {
        let length = payload.len() as u64;
        let mut response = Response {
            payload,
            invocation_id: id.to_owned(),
            error: None,
            content_length: Some(length),
        };
        if response.payload.len() > self.shared.largest_message(LARGEST_ANSWER) {
            let name = format!("{id}-r");
            // Boxed, since most calls have no need of it and would be forty times as large.
            Box::pin(self.shared.chunks.put(&name, &response.payload)).await?;
            response.payload = Bytes::new();
        }
        Ok(response)
    }

    fn refused(&self, error: Error) -> exosuit_core::Error {
        self.shared.tally.count(self.served.name().as_str(), &error);
        error.into()
    }

    async fn send(
        &self,
        call: &Message,
        response: &Response,
        headers: HeaderMap,
    ) -> Result<(), Error> {
        let Some(reply) = call.reply.clone() else {
            return Ok(());
        };
        let response = response.encode();
        let sent = if headers.is_empty() {
            self.client.publish(reply, response).await
        } else {
            self.client
                .publish_with_headers(reply, headers, response)
                .await
        };
        sent.map_err(|error| unsent(&error))
    }
}

fn failed(id: String, error: exosuit_core::Error) -> (Response, HeaderMap) {
    let response = Response {
        invocation_id: id,
        error: Some(error.detail),
        ..Response::default()
    };
    (response, headers::of_error(error.code))
}
