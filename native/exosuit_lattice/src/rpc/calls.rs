//! The calls of one host to others: signs them or adds a MAC, sends them, and decodes the answers.
//!
//! Calls in the other direction are in `serving`. Both share one `CallsState`, so that the guard,
//! the memory and the counters are those of the host.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::Message;
use bytes::Bytes;
use exosuit_claims::invocation::{Call, sign};
use exosuit_claims::unix_now;
use exosuit_core::{Code, Context, Id, Origin, Payload, Reply};
use tokio::sync::broadcast;

use super::address::{self, Address};
use super::admission::Admission;
use super::calling::{self, Outgoing};
use super::calls_state::{CallsState, LARGEST_REQUEST};
use super::chunks::Chunks;
use super::content::{self, Form};
use super::guard::Guard;
use super::headers;
use super::mac::MacKeys;
use super::mac_names::MacNames;
use super::memory::Memory;
use super::options::CallOptions;
use super::tally::{Refusal, Skew, Tally};
use super::wire::{Invocation, Response};
use crate::replies::Replies;
use crate::{Connection, Error, new_id, now};

/// The calls of one host over the lattice, in both directions. Clones share everything. Serving
/// ends with each [`Serving`](crate::Serving), not with this.
#[derive(Clone)]
pub struct Calls(pub(super) Arc<CallsState>);

impl Calls {
    /// Calls over this connection. Waits for nothing: the connection may still be on its way.
    ///
    /// # Errors
    ///
    /// `InvalidOption` from the check of the options, `Closed`.
    pub async fn start(connection: Connection, options: CallOptions) -> Result<Self, Error> {
        options.check()?;
        let domain = options.store_domain.clone();
        let shared = CallsState {
            replies: Replies::start(connection.clone()).await?,
            chunks: Chunks::new(connection.clone(), options.lattice.as_str(), domain),
            guard: Guard::new(
                &options.lattice,
                options.trusted(),
                options.freshness,
                now(),
            ),
            keys: MacKeys::new(&options.lattice, options.seeds()),
            mac_names: MacNames::default(),
            admission: Admission::new(&options),
            outgoing: Memory::new(options.memory),
            tally: Arc::new(Tally::new()),
            connection,
            options,
        };
        Ok(Self(Arc::new(shared)))
    }

    /// The number of refused calls from the lattice, by the code of the error.
    ///
    /// It grows from the start of the host and is never reset.
    pub fn refused(&self) -> BTreeMap<&'static str, u64> {
        self.0.tally.counts()
    }

    /// Subscribes to refusals: at most one notice a second for each kind of reason.
    ///
    /// 64 notices wait for a slow receiver.
    pub fn refusals(&self) -> broadcast::Receiver<Refusal> {
        self.0.tally.subscribe()
    }

    /// Subscribes to reports of hosts whose clocks differ from ours by more than 10 seconds. At
    /// most one a minute.
    pub fn skews(&self) -> broadcast::Receiver<Skew> {
        self.0.tally.skews()
    }

    /// Sets whether the heartbeat of any other host says that it accepts calls with a MAC. If none
    /// does, no new name is probed, and all calls are signed. Proven names stay so.
    pub fn others_take_macs(&self, they_do: bool) {
        self.0.mac_names.set_any_host(they_do);
    }

    /// Whether calls to this name carry a MAC, because a host of this cluster has answered to one.
    pub fn go_with_mac(&self, name: &Id) -> bool {
        self.0.mac_names.is_proven(name)
    }

    /// Calls a target on another host, and waits for the answer at most until the call's deadline.
    /// `to` replaces the call's target. `key` is the public key of the caller, if it has one
    /// besides its id.
    ///
    /// The future may be dropped: the entry of the answer goes with it. The other host is not told,
    /// and its call runs to its own end.
    ///
    /// # Errors
    ///
    /// | error | when |
    /// |---|---|
    /// | `NoResponders` | nobody serves the name |
    /// | `Deadline` | no answer in time; the call may have been served |
    /// | `ConnectionLost`, `NotConnected`, `Closed` | the connection |
    /// | `Remote` | the other host or its actor answered with an error |
    /// | `TooLarge`, `Malformed` | the payload or the answer |
    /// | `Overloaded` | no memory for a body that must be gathered |
    pub async fn call(
        &self,
        to: &Address,
        key: Option<&Id>,
        call: exosuit_core::Invocation,
    ) -> Result<Reply, Error> {
        let (shared, deadline) = (&self.0, call.context.deadline);
        calling::probe(shared, to, &call.origin, key);
        let exchange = shared.exchange(to, key, call);
        let answer = tokio::time::timeout_at(deadline.into(), exchange).await;
        answer.unwrap_or_else(|_late| {
            // The host that accepted calls with a MAC may be gone.
            shared.mac_names.mark_doubted(to.name());
            Err(Error::Deadline(to.name().to_string()))
        })
    }

    /// Calls on behalf of the router. An error of a host of the OTP era has no code, and gets
    /// `kind`.
    pub(super) async fn forward(
        &self,
        to: &Address,
        key: Option<&Id>,
        call: exosuit_core::Invocation,
        kind: Code,
    ) -> Result<Reply, exosuit_core::Error> {
        match self.call(to, key, call).await {
            Err(Error::Remote { code, detail }) => {
                Err(exosuit_core::Error::new(code.unwrap_or(kind), detail))
            }
            answer => answer.map_err(Into::into),
        }
    }
}

impl CallsState {
    /// A signed call with its whole payload. The signature covers the hash of the payload, so that
    /// the payload may travel apart.
    fn prepare(
        &self,
        to: &Address,
        (origin, key): (&Origin, Option<&Id>),
        operation: String,
        payload: Bytes,
    ) -> Result<Invocation, Error> {
        let length = payload.len() as u64;
        let id = new_id().to_string();
        let (origin, origin_id) = address::of_origin(origin, key, &self.options.host)?;
        let target = to.entity();
        let mut facts = Call::new(&id, &origin, &target, &operation);
        facts = facts.within(self.options.lattice.as_str());
        if let Some(origin_id) = origin_id {
            facts = facts.by(origin_id.as_str());
        }
        let token =
            sign(&facts, &payload, &self.options.cluster, unix_now()).map_err(Error::Forged)?;
        Ok(Invocation {
            origin,
            target,
            operation,
            payload,
            id,
            token,
            host_id: self.options.host.to_string(),
            content_length: Some(length),
        })
    }

    /// Sends a call in the form that its target accepts, and decodes the reply.
    ///
    /// An HTTP request that is too large is answered with 413, like the HTTP server does, and not
    /// with an error.
    async fn exchange(
        &self,
        to: &Address,
        key: Option<&Id>,
        mut call: exosuit_core::Invocation,
    ) -> Result<Reply, Error> {
        // The lease lasts until the answer is complete, including its body.
        let _lease = match &mut call.payload {
            Payload::Http(exchange) => Some(std::mem::take(&mut exchange.lease)),
            _ => None,
        };
        let is_request = matches!(call.payload, Payload::Http(_));
        let by_mac = self.mac_names.is_proven(to.name()) && !call.operation.is_empty();
        let form = if by_mac { Form::Tagged } else { to.form() };
        let payload = match form
            .payload(call.payload, self.payload_limits(&self.outgoing))
            .await
        {
            Err(Error::TooLarge { .. }) if is_request => {
                return Ok(Reply::Http(Box::new(content::too_large())));
            }
            payload => payload?,
        };
        if by_mac {
            let outgoing = Outgoing {
                to,
                origin: &call.origin,
                key,
                operation: &call.operation,
                payload: &payload.bytes,
                context: call.context,
            };
            return self.exchange_by_mac(&outgoing).await;
        }
        let signed = self.prepare(
            to,
            (&call.origin, key),
            call.operation,
            payload.bytes.clone(),
        )?;
        self.exchange_signed(to, signed, call.context).await
    }

    /// Sends a signed call, and decodes the reply.
    async fn exchange_signed(
        &self,
        to: &Address,
        signed: Invocation,
        context: Context,
    ) -> Result<Reply, Error> {
        let answer = self.ask(to, signed, context).await;
        let answer = answer.map_err(|error| error.about(to.name()));
        to.form().read_reply(&answer?)
    }

    /// Sends a signed call and returns the payload of the answer. A payload that travels apart is
    /// stored before, and discarded if the call failed: its reader may never come.
    async fn ask(
        &self,
        to: &Address,
        mut call: Invocation,
        context: Context,
    ) -> Result<Bytes, Error> {
        let is_apart = call.payload.len() > self.largest_message(LARGEST_REQUEST);
        if is_apart {
            self.connection.client()?;
            let payload = std::mem::take(&mut call.payload);
            Box::pin(self.chunks.put(&call.id, &payload)).await?;
        }
        let subject = to.subject(&self.options.lattice);
        let headers = headers::of_call(context);
        let answer = self
            .replies
            .request(&subject, Some(headers), call.encode(), context.deadline)
            .await;
        if is_apart && answer.is_err() {
            Box::pin(self.chunks.discard(&call.id)).await;
        }
        self.read_response(&call.id, &answer?).await
    }

    /// The payload of an answer, which may be in the object store.
    ///
    /// # Errors
    ///
    /// `Remote` with the other side's error, `TooLarge`, `Malformed`, `Store`.
    async fn read_response(&self, id: &str, answer: &Message) -> Result<Bytes, Error> {
        let response = Response::decode(&answer.payload)?;
        if let Some(detail) = response.error {
            let code = headers::code(answer.headers.as_ref());
            return Err(Error::Remote {
                code,
                detail: crate::error::clip(&detail),
            });
        }
        let length = response.content_length.unwrap_or_default();
        if length <= response.payload.len() as u64 {
            return Ok(response.payload);
        }
        self.refuse_too_large(length)?;
        Box::pin(self.chunks.fetch(&format!("{id}-r"), length)).await
    }
}
