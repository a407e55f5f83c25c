//! Calls from the lattice: taken, checked, handed to their target, answered.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use exosuit_claims::unix_now;
use exosuit_core::{Context, Deliver, Target, bounded};
use futures_util::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::{Served, origin_of};
use super::admission::Entry;
use super::guard::Genuine;
use super::memory::Held;
use super::wire::{Invocation, Response};
use super::{Shared, headers};
use crate::Error;
use crate::connection::unsent;

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
    loop {
        tokio::select! {
            biased;
            () = closed.cancelled() => break,
            message = subscriber.next() => match message {
                Some(message) => service.begin(message, &calls),
                None => return,
            }
        }
    }
    // What the server had sent by then is served; it sends no more.
    let drained = async {
        if subscriber.drain().await.is_ok() {
            while let Some(message) = subscriber.next().await {
                service.begin(message, &calls);
            }
        }
    };
    tokio::select! {
        () = service.ended.cancelled() => {}
        () = drained => {}
    }
}

impl Service {
    fn begin(self: &Arc<Self>, message: Message, calls: &TaskTracker) {
        match self.shared.admission.enter(message.payload.len()) {
            Ok(entry) => {
                let (service, ended) = (Arc::clone(self), self.ended.clone());
                calls.spawn(
                    ended.run_until_cancelled_owned(
                        async move { service.run(message, entry).await },
                    ),
                );
            }
            Err(error) => self.refuse_at_once(&message, error),
        }
    }

    /// Answers without a task and without waiting: under such a load an answer may be lost.
    fn refuse_at_once(&self, message: &Message, error: Error) {
        self.shared.tally.count(self.served.name().as_str(), &error);
        let id = Invocation::decode(&message.payload)
            .map(|call| call.id)
            .unwrap_or_default();
        let (response, headers) = failed(id, error.into());
        let _ = self.send(message, &response, headers).now_or_never();
    }

    async fn run(&self, message: Message, entry: Entry) {
        let (id, answer) = match Invocation::decode(&message.payload) {
            Ok(call) => {
                let answer = self.answer(&call, &message, &entry).await;
                (call.id, answer)
            }
            Err(error) => (String::new(), Err(self.refused(error))),
        };
        let (response, headers) = answer.map_or_else(
            |error| failed(id, error),
            |response| (response, HeaderMap::new()),
        );
        // An answer that cannot be sent is one that the caller will miss.
        let _ = self.send(&message, &response, headers).await;
    }

    /// Answers a call. What is forged is refused before it waits: the queue is for the genuine.
    async fn answer(
        &self,
        call: &Invocation,
        message: &Message,
        entry: &Entry,
    ) -> Result<Response, exosuit_core::Error> {
        let given = message.headers.as_ref();
        let options = &self.shared.options;
        let context = headers::context(given, options.usual_timeout, options.longest_timeout);
        let admit = || {
            let target = self.served.target(&message.subject, &call.target)?;
            Ok((target, self.shared.guard.admit(call, unix_now())?))
        };
        let (target, genuine) = admit().map_err(|error| self.refused(error))?;
        let answer = async {
            let turn = entry.turn().await;
            let answer = self.deliver(call, target, &genuine, context).await?;
            drop(turn);
            self.succeeded(&call.id, answer.bytes.clone()).await
        };
        let answer = bounded(answer, context.deadline, Some(&self.ended));
        headers::trace(given).scope(answer).await
    }

    async fn deliver(
        &self,
        call: &Invocation,
        target: Target,
        genuine: &Genuine<'_>,
        context: Context,
    ) -> Result<Held, exosuit_core::Error> {
        let payload = self
            .payload(call)
            .await
            .map_err(|error| self.refused(error))?;
        let taken = self.shared.guard.take(genuine, &payload.bytes, unix_now());
        taken.map_err(|error| self.refused(error))?;
        let (form, memory) = (self.served.form(), self.shared.admission.memory());
        let read = || {
            let origin = origin_of(&call.origin, genuine.origin_id())?;
            let (payload, held) = form.read_payload(payload, memory)?;
            let invocation = exosuit_core::Invocation {
                origin,
                target,
                operation: call.operation.clone(),
                payload,
                context,
            };
            Ok((invocation, held))
        };
        let (invocation, _held) = read().map_err(|error| self.refused(error))?;
        let reply = self.target.deliver(invocation).await?;
        Ok(form.reply(reply, self.shared.terms(memory)).await?)
    }

    async fn payload(&self, call: &Invocation) -> Result<Held, Error> {
        let shared = &self.shared;
        let length = call.content_length.unwrap_or_default();
        if length <= call.payload.len() as u64 {
            return Ok(call.payload.clone().into());
        }
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
