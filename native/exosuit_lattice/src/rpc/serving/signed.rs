//! Signed calls: checked, delivered to their target, and answered as hosts of the OTP era do it.
//!
//! A call takes a slot before its signature is verified, and is verified before it waits for its
//! turn. A flood of forged calls therefore never fills the queue, and a full queue costs no
//! signature checks.
//!
//! | step | in the receiving task | may refuse with |
//! |---|---|---|
//! | decode, target | yes | `Malformed`, `Misdirected` |
//! | all but the signature | yes | `Stale`, `Replayed`, `Forged`, `Overloaded` |
//! | slot and memory | yes | `Overloaded` |
//! | signature | in the call | `Forged` |
//! | turn | in the call | `deadline` |
//! | payload, record | in the call | `Forged`, `Replayed`, `Store` |
//!
//! The answer has no signature, as hosts of the OTP era expect none.

use std::sync::Arc;

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use exosuit_core::{Context, Target, bounded};
use futures_util::FutureExt;
use tokio::task::unconstrained;

use super::super::address::origin_of;
use super::super::admission::CallSlot;
use super::super::guard::{Unverified, Verified};
use super::super::headers;
use super::super::memory::Held;
use super::super::wire::{Invocation, Response};
use super::inline::Call;
use super::{LARGEST_ANSWER, Service};
use crate::connection::unsent;
use crate::{Error, now};

/// A call with a slot, whose signature is not verified yet.
struct Arrival {
    message: Message,
    call: Invocation,
    target: Target,
    unverified: Unverified,
    slot: CallSlot,
}

/// A refused message, with what its answer needs.
struct Refused {
    message: Message,
    /// The id of the call, if it was decoded.
    id: String,
    error: Error,
}

impl Service {
    /// Inspects a message, and returns the work of its call. A refused message takes no slot.
    ///
    /// It never waits.
    pub(super) fn begin_signed(self: &Arc<Self>, message: Message) -> Option<Call> {
        match self.inspect(message) {
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

    /// Decodes a message, checks all but its signature, and takes a slot.
    fn inspect(&self, message: Message) -> Result<Box<Arrival>, Box<Refused>> {
        let (mut id, inbox) = (String::new(), message.reply.as_deref());
        let mut inspect = || {
            let call = Invocation::decode(&message.payload)?;
            id.clone_from(&call.id);
            let target = self.served.target(&message.subject, &call.target)?;
            let unverified = self.shared.guard.inspect(&call, inbox, now())?;
            let slot = self.shared.admission.enter(message.payload.len())?;
            Ok((call, target, unverified, slot))
        };
        match inspect() {
            Ok((call, target, unverified, slot)) => Ok(Box::new(Arrival {
                message,
                call,
                target,
                unverified,
                slot,
            })),
            Err(error) => Err(Box::new(Refused { message, id, error })),
        }
    }

    /// Answers without a task and without waiting. Under load, such an answer may be lost.
    fn refuse_at_once(&self, refused: Refused) {
        let Refused { message, id, error } = refused;
        let (response, headers) = failed(id, self.refused(error));
        // `unconstrained`, because Tokio's budget of this task must not decide whether there is
        // room to send.
        let _ = unconstrained(self.send(&message, &response, headers)).now_or_never();
    }

    /// Runs a call and sends its answer, be it an error.
    async fn run(&self, arrival: &Arrival) {
        let (response, headers) = match self.answer(arrival).await {
            Ok(response) => (response, HeaderMap::new()),
            Err(error) => failed(arrival.call.id.clone(), error),
        };
        // If the answer cannot be sent, the caller times out.
        let _ = self.send(&arrival.message, &response, headers).await;
    }

    /// Verifies a call, waits for its turn and runs it. The signature comes before the wait, so
    /// that the queue holds authentic calls only.
    async fn answer(&self, arrival: &Arrival) -> Result<Response, exosuit_core::Error> {
        let given = arrival.message.headers.as_ref();
        let options = &self.shared.options;
        let context = headers::context(given, options.usual_timeout, options.longest_timeout);
        let verified = self.shared.guard.verify(&arrival.unverified, now());
        let verified = verified.map_err(|error| self.refused(error))?;
        let origin = &arrival.call.origin.public_key;
        self.shared
            .tally
            .compare_clocks(origin, verified.signed_at(), now());
        // Boxed: otherwise each future around it would hold it twice, and move it.
        let answer = Box::pin(async {
            // A nested call does not wait for a turn: the calls that have one may wait for it.
            let turn = match context.depth {
                0 => Some(arrival.slot.turn().await),
                _inside => None,
            };
            let answer = self.deliver(arrival, &verified, context).await?;
            drop(turn);
            self.succeeded(&arrival.call.id, answer.bytes.clone()).await
        });
        let answer = bounded(answer, context.deadline, Some(&self.ended));
        headers::trace(given).scope(answer).await
    }

    /// Accepts a call with its payload, and delivers it to the target.
    ///
    /// `accept` runs after the turn was taken, so the call is recorded at the moment when it really
    /// runs.
    async fn deliver(
        &self,
        arrival: &Arrival,
        verified: &Verified<'_>,
        context: Context,
    ) -> Result<Held, exosuit_core::Error> {
        let (form, memory) = (self.served.form(), self.shared.admission.memory());
        let payload = self.payload(&arrival.call).await;
        let accept = |payload: Held| {
            let guard = &self.shared.guard;
            guard.accept(verified, &payload.bytes, now())?;
            let origin = origin_of(&arrival.call.origin, verified.origin_id())?;
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
        let accepted = payload.and_then(accept);
        let (answer, _held) = accepted.map_err(|error| self.refused(error))?;
        Ok(form
            .reply(answer.await?, self.shared.payload_limits(memory))
            .await?)
    }

    /// The payload, from the message or from the object store, with memory taken for the latter.
    async fn payload(&self, call: &Invocation) -> Result<Held, Error> {
        let shared = &self.shared;
        if !call.is_apart() {
            return Ok(call.payload.clone().into());
        }
        let length = call.content_length.unwrap_or_default();
        shared.fetch_payload(&call.id, length).await
    }

    /// The answer to a call that succeeded. A large payload goes to the object store first.
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
            // Boxed: most calls do not need it, and would be forty times as large.
            Box::pin(self.shared.chunks.put(&name, &response.payload)).await?;
            response.payload = Bytes::new();
        }
        Ok(response)
    }

    /// Sends an answer. A call without an inbox gets none.
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

/// The answer with an error. Its code is in a header, which hosts of the OTP era ignore.
fn failed(id: String, error: exosuit_core::Error) -> (Response, HeaderMap) {
    let response = Response {
        invocation_id: id,
        error: Some(error.detail),
        ..Response::default()
    };
    (response, headers::of_error(error.code))
}
