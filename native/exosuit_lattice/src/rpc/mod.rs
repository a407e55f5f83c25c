//! Calls from host to host, as the hosts of the OTP era make them.
//!
//! - [`Calls`]: the calls of one host; `remote`: what runs elsewhere as if it ran here; `serving`:
//!   what runs here for those elsewhere.
//! - `wire`, `reader`: messages. `headers`: what goes along with them. `address`: who is who.
//! - `guard`, `replays`: whether a call is what it seems. `admission`: whether there is room for it.
//!   `tally`: how many were refused.
//! - `chunks`: the way of what is too large for a message.

mod address;
mod admission;
mod chunks;
mod guard;
mod headers;
mod options;
mod reader;
mod remote;
mod replays;
mod serving;
mod tally;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::Message;
use bytes::Bytes;
use exosuit_claims::invocation::{Call, sign};
use exosuit_claims::unix_now;
use exosuit_core::{Capability, Code, Context, Contract, Deliver, Id, Origin, Reply};
use tokio::sync::broadcast;

pub use address::Served;
pub use headers::Trace;
pub use options::CallOptions;
pub use serving::Serving;
pub use tally::Refusal;
pub use wire::{Invocation, Response};

use crate::replies::Replies;
use crate::{Connection, Error, new_id};
use admission::Admission;
use chunks::Chunks;
use guard::Guard;
use remote::{RemoteActor, RemoteProvider};
use tally::Tally;

/// A request larger than this travels apart, as with the peers.
const LARGEST_REQUEST: usize = 700 << 10;

/// What a message has besides its payload, at most: names, token, headers.
const OVERHEAD: usize = 16 << 10;

/// The calls of one host over the lattice, both ways. Clones are the same.
#[derive(Clone)]
pub struct Calls(Arc<Shared>);

struct Shared {
    options: CallOptions,
    connection: Connection,
    replies: Replies,
    chunks: Chunks,
    guard: Guard,
    admission: Admission,
    tally: Tally,
}

impl Calls {
    /// Calls over this connection. Waits for nothing: there need not be a connection yet.
    pub async fn start(connection: Connection, options: CallOptions) -> Result<Self, Error> {
        options.check()?;
        let domain = options.store_domain.clone();
        let shared = Shared {
            replies: Replies::start(connection.clone()).await?,
            chunks: Chunks::new(connection.clone(), options.lattice.as_str(), domain),
            guard: Guard::new(options.trusted(), options.freshness, unix_now()),
            admission: Admission::new(&options),
            tally: Tally::new(),
            connection,
            options,
        };
        Ok(Self(Arc::new(shared)))
    }

    /// Serves to the lattice what `target` answers. Several hosts that serve the same share the calls.
    ///
    /// A call comes with the origin that its signer gave it; whether that may call is for the target
    /// to say.
    pub async fn serve(&self, served: Served, target: Arc<dyn Deliver>) -> Result<Serving, Error> {
        serving::serve(Arc::clone(&self.0), served, target).await
    }

    /// An actor on another host, by its public key or its id.
    pub fn actor(&self, id: Id) -> Arc<dyn Deliver> {
        let calls = self.clone();
        Arc::new(RemoteActor { calls, id })
    }

    /// A provider on another host, or in a process of its own: it is told of links, and called
    /// through them.
    pub fn provider(&self, id: Id, contracts: Vec<Contract>) -> Arc<dyn Capability> {
        let calls = self.clone();
        Arc::new(RemoteProvider {
            calls,
            id,
            contracts,
        })
    }

    /// How many calls from the lattice were refused, by the code of the error.
    pub fn refused(&self) -> BTreeMap<&'static str, u64> {
        self.0.tally.counts()
    }

    /// What is refused from now on: a notice a second at most for each kind of reason.
    pub fn refusals(&self) -> broadcast::Receiver<Refusal> {
        self.0.tally.subscribe()
    }

    /// Calls what is served elsewhere and waits for the answer, no longer than the context says.
    pub async fn call(
        &self,
        origin: &Origin,
        target: &Served,
        operation: &str,
        payload: Bytes,
        context: Context,
    ) -> Result<Bytes, Error> {
        let shared = &self.0;
        let call = shared.prepare(origin, target, operation, payload)?;
        let late = || Error::Deadline(target.subject(&shared.options.lattice));
        let exchange = shared.exchange(call, target, context);
        let answer = tokio::time::timeout_at(context.deadline.into(), exchange).await;
        answer.map_err(|_| late())?
    }

    /// Hands on a call of this host; an error of the other side that has no kind gets this one.
    async fn forward(
        &self,
        target: &Served,
        invocation: exosuit_core::Invocation,
        kind: Code,
    ) -> Result<Reply, exosuit_core::Error> {
        let payload = invocation.payload.into_bytes()?;
        let answer = self.call(
            &invocation.origin,
            target,
            &invocation.operation,
            payload,
            invocation.context,
        );
        match answer.await {
            Ok(answer) => Ok(answer.into()),
            Err(Error::Remote { code, detail }) => {
                Err(exosuit_core::Error::new(code.unwrap_or(kind), detail))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Shared {
    /// A signed call, with its whole payload.
    fn prepare(
        &self,
        origin: &Origin,
        target: &Served,
        operation: &str,
        payload: Bytes,
    ) -> Result<Invocation, Error> {
        let length = payload.len() as u64;
        self.refuse_too_large(length)?;
        let id = new_id().to_string();
        let origin = address::of_origin(origin, &self.options.host);
        let target = target.entity();
        let facts = Call::new(&id, &origin, &target, operation);
        let token =
            sign(&facts, &payload, &self.options.cluster, unix_now()).map_err(Error::Forged)?;
        Ok(Invocation {
            origin,
            target,
            operation: operation.to_owned(),
            payload,
            id,
            token,
            host_id: self.options.host.to_string(),
            content_length: Some(length),
        })
    }

    async fn exchange(
        &self,
        mut call: Invocation,
        target: &Served,
        context: Context,
    ) -> Result<Bytes, Error> {
        let is_apart = call.payload.len() > self.largest_message(LARGEST_REQUEST);
        if is_apart {
            self.connection.client()?;
            let payload = std::mem::take(&mut call.payload);
            Box::pin(self.chunks.put(&call.id, &payload)).await?;
        }
        let subject = target.subject(&self.options.lattice);
        let answer = self
            .replies
            .request(
                &subject,
                headers::of_call(context),
                call.encode(),
                context.deadline,
            )
            .await;
        if is_apart && answer.is_err() {
            Box::pin(self.chunks.discard(&call.id)).await;
        }
        self.read(&call.id, &answer?).await
    }

    async fn read(&self, id: &str, answer: &Message) -> Result<Bytes, Error> {
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
        Box::pin(self.chunks.take(&format!("{id}-r"), length)).await
    }

    fn refuse_too_large(&self, size: u64) -> Result<(), Error> {
        let limit = u64::from(self.options.largest_payload);
        if size <= limit {
            return Ok(());
        }
        Err(Error::TooLarge {
            what: "payload",
            size,
            limit,
        })
    }

    /// What fits into a message of this server, and no more than the peers put into one.
    fn largest_message(&self, usual: usize) -> usize {
        let limit = self.connection.any_client().max_payload();
        usual.min(limit.saturating_sub(OVERHEAD))
    }
}
