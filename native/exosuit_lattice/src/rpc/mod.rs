//! Calls from host to host: with a MAC between hosts of one cluster, signed as the hosts of the OTP era
//! have it to all others.
//!
//! - [`Calls`]: the calls of one host; [`Hosts`]: all other hosts, as the router knows them; `remote`:
//!   a provider elsewhere as if it ran here; `serving`: what runs here for those elsewhere.
//! - `calling`, `takers`, `frame`, `mac`: calls with a MAC, who takes them, their messages and the keys.
//!   [`MacCaller`]: such calls for those who measure or try a host.
//! - `wire`, `reader`: signed messages. `headers`: what goes along with them. `address`: who is who.
//!   `content`: what they carry.
//! - `guard`, `replays`, `doubt`: whether a call is what it seems. `admission`, `memory`: whether there
//!   is room for it. `tally`: how many were refused.
//! - `chunks`: the way of what is too large for a message.

mod address;
mod admission;
mod caller;
mod calling;
mod chunks;
mod content;
mod doubt;
mod frame;
#[cfg(fuzzing)]
pub mod fuzz;
mod guard;
mod headers;
mod hosts;
mod mac;
mod memory;
mod options;
mod reader;
mod remote;
mod replays;
mod serving;
mod takers;
mod tally;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::Message;
use bytes::Bytes;
use exosuit_claims::invocation::{Call, sign};
use exosuit_claims::unix_now;
use exosuit_core::{Capability, Code, Context, Contract, Deliver, Id, Origin, Payload, Reply};
use tokio::sync::broadcast;

pub use address::{Address, Served};
pub use caller::{MacCaller, MacRequest};
pub use headers::Trace;
pub use hosts::Hosts;
pub use options::CallOptions;
pub use serving::Serving;
pub use tally::{Refusal, Skew};
pub use wire::{Invocation, Response};

use crate::replies::Replies;
use crate::{Connection, Error, new_id, now};
use admission::Admission;
use calling::Outgoing;
use chunks::Chunks;
use content::{Form, Terms};
use guard::Guard;
use mac::MacKeys;
use memory::{Held, Memory};
use remote::RemoteProvider;
use takers::Takers;
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
    keys: MacKeys,
    takers: Takers,
    admission: Admission,
    /// What is sent and had to be gathered first.
    outgoing: Memory,
    tally: Arc<Tally>,
}

impl Calls {
    /// Calls over this connection. Waits for nothing: there need not be a connection yet.
    pub async fn start(connection: Connection, options: CallOptions) -> Result<Self, Error> {
        options.check()?;
        let domain = options.store_domain.clone();
        let shared = Shared {
            replies: Replies::start(connection.clone()).await?,
            chunks: Chunks::new(connection.clone(), options.lattice.as_str(), domain),
            guard: Guard::new(
                &options.lattice,
                options.trusted(),
                options.freshness,
                now(),
            ),
            keys: MacKeys::new(&options.lattice, options.seeds()),
            takers: Takers::default(),
            admission: Admission::new(&options),
            outgoing: Memory::new(options.memory),
            tally: Arc::new(Tally::new()),
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

    /// Receives reports of hosts whose clocks differ from ours.
    pub fn skews(&self) -> broadcast::Receiver<Skew> {
        self.0.tally.skews()
    }

    /// Says whether any other host takes calls with a MAC, as its heartbeat says. Until then no name is
    /// asked for, and all calls are signed. Names that were proven stay so.
    pub fn others_take_macs(&self, they_do: bool) {
        self.0.takers.are_there(they_do);
    }

    /// Whether calls to this name go with a MAC: somebody of the cluster has answered to it so.
    pub fn go_with_mac(&self, name: &Id) -> bool {
        self.0.takers.take(name)
    }

    /// Calls what is served elsewhere, and waits for the answer no longer than the call may take. Its
    /// target is this address; `key` is the public key of its origin, if it has one besides its id.
    pub async fn call(
        &self,
        to: &Address,
        key: Option<&Id>,
        call: exosuit_core::Invocation,
    ) -> Result<Reply, Error> {
        let (shared, deadline) = (&self.0, call.context.deadline);
        calling::ask_for(shared, to, &call.origin, key);
        let exchange = shared.exchange(to, key, call);
        let answer = tokio::time::timeout_at(deadline.into(), exchange).await;
        answer.unwrap_or_else(|_late| {
            // The host that accepted calls with a MAC may be gone.
            shared.takers.doubt(to.name());
            Err(Error::Deadline(to.name().to_string()))
        })
    }

    /// Hands on a call of this host; an error of the other side that has no kind gets this one.
    async fn forward(
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

impl Shared {
    /// A signed call, with its whole payload.
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

    async fn exchange(
        &self,
        to: &Address,
        key: Option<&Id>,
        mut call: exosuit_core::Invocation,
    ) -> Result<Reply, Error> {
        // It lasts until the answer is there, with its whole body.
        let _lease = match &mut call.payload {
            Payload::Http(exchange) => Some(std::mem::take(&mut exchange.lease)),
            _ => None,
        };
        let is_request = matches!(call.payload, Payload::Http(_));
        let by_mac = self.takers.take(to.name()) && !call.operation.is_empty();
        let form = if by_mac { Form::Tagged } else { to.form() };
        let payload = match form.payload(call.payload, self.terms(&self.outgoing)).await {
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

    fn terms<'a>(&self, memory: &'a Memory) -> Terms<'a> {
        Terms {
            largest: self.options.largest_payload,
            memory,
        }
    }

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

    /// A large payload of a call to this host, which takes room of what calls may have.
    async fn take_payload(&self, name: &str, length: u64) -> Result<Held, Error> {
        self.refuse_too_large(length)?;
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        let room = self.admission.memory().reserve(size)?;
        let bytes = Box::pin(self.chunks.take(name, length)).await?;
        Ok(Held::from(bytes).and(room))
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
