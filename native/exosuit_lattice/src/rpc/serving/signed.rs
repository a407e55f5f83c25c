//! Signed calls: checked, handed to their target, answered, as the peers have it.

use std::sync::Arc;

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use exosuit_core::{Context, Target, bounded};
use futures_util::FutureExt;
use tokio::task::unconstrained;

use super::super::address::origin_of;
use super::super::admission::Entry;
use super::super::guard::{Genuine, Suspect};
use super::super::headers;
use super::super::memory::Held;
use super::super::wire::{Invocation, Response};
use super::inline::Call;
use super::{LARGEST_ANSWER, Service};
use crate::connection::unsent;
use crate::{Error, now};

/// A call that may be what it seems, and has its place.
struct Arrival {
    message: Message,
    call: Invocation,
    target: Target,
    suspect: Suspect,
    entry: Entry,
}

/// A call that is not served.
struct Refused {
    message: Message,
    /// The id of the call, if it could be read.
    id: String,
    error: Error,
}

impl Service {
    /// Looks at a call, and begins to work on it if it may be what it seems: what is not is refused
    /// before it takes anybody's place.
    pub(super) fn begin_signed(self: &Arc<Self>, message: Message) -> Option<Call> {
        match self.look(message) {
            Ok(arrival) => {
                let service = Arc::clone(self);
                Some(Box::pin(async move { service.run(&arrival).await }))
            }
            Err(refused) => {
                self.refuse_at_once(*refused);
                None
            }
        }
    }

    fn look(&self, message: Message) -> Result<Box<Arrival>, Box<Refused>> {
        let (mut id, inbox) = (String::new(), message.reply.as_deref());
        let mut look = || {
            let call = Invocation::decode(&message.payload)?;
            id.clone_from(&call.id);
            let target = self.served.target(&message.subject, &call.target)?;
            let suspect = self.shared.guard.inspect(&call, inbox, now())?;
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
        let genuine = self.shared.guard.verify(&arrival.suspect, now());
        let genuine = genuine.map_err(|error| self.refused(error))?;
        let origin = &arrival.call.origin.public_key;
        self.shared
            .tally
            .compare_clocks(origin, genuine.signed_at(), now());
        // Boxed, since each that has it inside would have room for it twice, and be moved with it.
        let answer = Box::pin(async {
            // A nested call does not wait, because the calls that it waits for may wait for it.
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
            guard.take(genuine, &payload.bytes, now())?;
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
        shared.take_payload(&call.id, length).await
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
