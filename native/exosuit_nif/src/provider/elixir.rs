//! Providers written in Elixir: a call becomes a message, and a NIF brings the answer back.
//!
//! - [`Elixir`]: the capability. Calls go to one process, which starts a process for each. Links go
//!   to another process, so that a link that takes long does not delay calls.
//! - [`Question`](super::question::Question): a call or link that Elixir has not answered yet.
//! - [`PendingCall`], [`PreparedLink`]: tell Elixir when nobody needs an answer or a link any more.
//!
//! The messages to Elixir:
//!
//! | message | to | meaning |
//! |---|---|---|
//! | `exosuit_invoke` | call process | run a call, and answer its question |
//! | `exosuit_cancel` | call process | end the call with this number |
//! | `exosuit_drop` | call process | a resource of this type or `nil` has ended; answer the question when that was handled |
//! | `exosuit_link` | link process | put or delete a link, and answer its question |
//! | `exosuit_link_undo` | link process | take back the link that was put with this number |
//!
//! Payloads are binaries, or the values of a WIT function as terms.
//!
//! # An answer always comes
//!
//! The question travels in the message, as a resource. Wherever it is lost, the BEAM collects it, its
//! sender is dropped, and the waiting call gets `dropped`: when the process that should get the message
//! has ended, when the process of the call crashes, or when the provider forgets to answer. Nothing here
//! monitors a process of a call.
//!
//! The other direction has no such guarantee from the BEAM, so it is explicit. A call that is given up
//! (deadline, cancel, end of its caller) drops its [`PendingCall`], which tells the call process to kill
//! the process that works on it. A link that the router does not use in the end drops its
//! [`PreparedLink`], which tells the link process to return to the former link.
//!
//! # Bounds
//!
//! `max_calls` bounds calls that Elixir has been sent and has not answered, not calls that somebody waits
//! for. So a provider that is stuck gets `max_calls` messages, and further calls are refused at once with
//! `overloaded`. Links have no bound of their own: the router has one change of a link under way at a time,
//! and ends it after 30 seconds.

use std::future::ready;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use exosuit_core::{
    Answer, Capability, CapabilityCall, Code, Configuration, Context, Contract, Done, Error, Id,
    Link, Payload, Pending, Prepared, Reply, Value,
};
use rustler::env::SavedTerm;
use rustler::{Encoder, Env, LocalPid, OwnedEnv, Term};
use tokio::sync::Semaphore;

use super::question::ask;
use super::state::{self, Maker};
use crate::outbox;
use crate::runtime::runtime;
use crate::term::{self, text_atom};
use crate::value::{Recipient, terms};

/// How long a provider may take to handle the end of a resource.
const DROP_TIME: Duration = Duration::from_secs(30);

/// A provider whose calls and links become messages to Elixir processes.
pub(crate) struct Elixir(Arc<ElixirState>);

/// The state that the calls of one provider share.
struct ElixirState {
    id: Id,
    contracts: Vec<Contract>,
    /// The process that gets the links. It owns the provider.
    link_process: LocalPid,
    /// The process that gets the calls.
    call_process: LocalPid,
    /// One permit for each call that Elixir has not answered.
    permits: Arc<Semaphore>,
    max_calls: usize,
    /// The next number of a call or link; `exosuit_cancel` and `exosuit_link_undo` refer to it.
    numbers: AtomicU64,
}

impl Elixir {
    /// A provider with these processes.
    pub(crate) fn new(
        id: Id,
        contracts: Vec<Contract>,
        link_process: LocalPid,
        call_process: LocalPid,
        max_calls: usize,
    ) -> Self {
        let max_calls = max_calls.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(ElixirState {
            id,
            contracts,
            link_process,
            call_process,
            permits: Arc::new(Semaphore::new(max_calls)),
            max_calls,
            numbers: AtomicU64::new(0),
        }))
    }
}

impl Capability for Elixir {
    fn contracts(&self) -> &[Contract] {
        &self.0.contracts
    }

    fn invoke(&self, call: CapabilityCall) -> Answer {
        let state = Arc::clone(&self.0);
        Box::pin(async move { state.invoke(call).await })
    }

    fn prepare(&self, link: Arc<Link>) -> Pending<Prepared> {
        let state = Arc::clone(&self.0);
        Box::pin(async move { state.prepare(link).await })
    }

    // Only the provider's own code can decide this, and it sees a link only when it takes it.
    fn check(&self, _link: Arc<Link>) -> Done {
        Box::pin(ready(Ok(())))
    }

    fn unlink(&self, link: Arc<Link>) -> Done {
        let state = Arc::clone(&self.0);
        Box::pin(async move { state.tell(Change::Delete, &link).await })
    }
}

impl ElixirState {
    /// Sends a call to Elixir and waits for the answer. If this is dropped while it waits, Elixir
    /// is told to end the call.
    async fn invoke(self: &Arc<Self>, call: CapabilityCall) -> Result<Reply, Error> {
        let CapabilityCall { invocation, link } = call;
        let payload = ElixirPayload::new(invocation.payload)?;
        let link = link.ok_or_else(|| self.unlinked())?;
        let maker = match &payload {
            ElixirPayload::Bytes(_) => None,
            ElixirPayload::Values(values) => {
                let made_for = MadeFor {
                    provider: Arc::clone(self),
                    link: Arc::clone(&link),
                    constructed: state::constructed(&invocation.operation),
                };
                state::check(values, &made_for)?;
                Some(Arc::new(made_for) as Arc<dyn Maker>)
            }
        };
        let permits = Arc::clone(&self.permits);
        let permit = permits.try_acquire_owned().map_err(|_| self.overloaded())?;
        let number = self.numbers.fetch_add(1, Relaxed);
        let (question, answer) = ask(Some(permit), maker);
        let id = self.id.clone();
        outbox::send(self.call_process, move |env| {
            let Context {
                deadline, within, ..
            } = invocation.context;
            let left = deadline.saturating_duration_since(Instant::now());
            (
                text_atom(env, "exosuit_invoke"),
                (number, question),
                key(env, &link, &id),
                invocation.operation,
                payload,
                u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
                within.map_or(0, NonZeroU64::get),
            )
                .encode(env)
        });
        let mut pending = PendingCall {
            call_process: self.call_process,
            number,
            answered: false,
        };
        let result = answer.await;
        pending.answered = true;
        result.unwrap_or_else(|_| Err(self.ended()))
    }

    /// Tells Elixir that a resource has ended, when a call less than the maximum runs. Nobody waits for it.
    fn end_resource(
        self: Arc<Self>,
        link: Arc<Link>,
        kind: Option<String>,
        (state_env, state): (OwnedEnv, SavedTerm),
    ) {
        runtime().spawn(async move {
            let permits = Arc::clone(&self.permits);
            let Ok(permit) = permits.acquire_owned().await else {
                return;
            };
            let number = self.numbers.fetch_add(1, Relaxed);
            let (question, answer) = ask(Some(permit), None);
            let id = self.id.clone();
            outbox::send(self.call_process, move |env| {
                let state = state_env.run(|own| state.load(own).in_env(env));
                (
                    text_atom(env, "exosuit_drop"),
                    (number, question),
                    key(env, &link, &id),
                    kind,
                    state,
                    u64::try_from(DROP_TIME.as_millis()).unwrap_or(u64::MAX),
                )
                    .encode(env)
            });
            let mut pending = PendingCall {
                call_process: self.call_process,
                number,
                answered: false,
            };
            pending.answered = tokio::time::timeout(DROP_TIME, answer).await.is_ok();
        });
    }

    /// Has the provider take the link. The router switches to it later; if it does not, Elixir is
    /// told to take it back.
    async fn prepare(self: Arc<Self>, link: Arc<Link>) -> Result<Prepared, Error> {
        let number = self.numbers.fetch_add(1, Relaxed);
        let mut prepared = PreparedLink {
            link_process: self.link_process,
            number,
            stays: false,
        };
        let result = self.tell(Change::Put(number), &link).await;
        // A refused link changes nothing at the provider, so there is nothing to take back.
        prepared.stays = result.is_err();
        result?;
        Ok(Prepared::new(async move { prepared.keep() }))
    }

    /// Sends a change of a link to Elixir and waits for the answer.
    async fn tell(&self, change: Change, link: &Arc<Link>) -> Result<(), Error> {
        let (question, answer) = ask(None, None);
        let (id, link) = (self.id.clone(), Arc::clone(link));
        outbox::send(self.link_process, move |env| {
            let (values, _actor) = link.seen_from(&id);
            (
                text_atom(env, "exosuit_link"),
                question,
                change.encode(env),
                key(env, &link, &id),
                map(env, values),
            )
                .encode(env)
        });
        let result = answer.await.unwrap_or_else(|_| Err(self.ended()));
        result.map(drop)
    }

    /// The error of a call without a link: only the host could make one.
    fn unlinked(&self) -> Error {
        let detail = format!("provider {} was called without a link", self.id);
        Error::new(Code::MissingLink, detail)
    }

    /// The error of a call beyond `max_calls`.
    fn overloaded(&self) -> Error {
        let detail = format!(
            "provider {} already runs {} calls, the maximum",
            self.id, self.max_calls
        );
        Error::new(Code::Overloaded, detail)
    }

    /// The error of a question that was lost.
    fn ended(&self) -> Error {
        let detail = format!("provider {} ended before it answered", self.id);
        Error::new(Code::Dropped, detail)
    }
}

/// The maker of the resources in an answer.
struct MadeFor {
    provider: Arc<ElixirState>,
    link: Arc<Link>,
    /// The type of the resources, if the function is a constructor.
    constructed: Option<String>,
}

impl Maker for MadeFor {
    fn id(&self) -> &Id {
        &self.provider.id
    }

    fn key(&self) -> usize {
        Arc::as_ptr(&self.provider).addr()
    }

    fn end(&self, kind: Option<Box<str>>, state: (OwnedEnv, SavedTerm)) {
        let provider = Arc::clone(&self.provider);
        let kind = kind.map(String::from).or_else(|| self.constructed.clone());
        provider.end_resource(Arc::clone(&self.link), kind, state);
    }
}

/// A change of a link.
#[derive(Clone, Copy)]
enum Change {
    /// Take the link, under this number.
    Put(u64),
    /// Release the link.
    Delete,
}

impl Change {
    /// `{put, number}`, or `delete`.
    fn encode(self, env: Env<'_>) -> Term<'_> {
        match self {
            Self::Put(number) => (text_atom(env, "put"), number).encode(env),
            Self::Delete => text_atom(env, "delete"),
        }
    }
}

/// A link that the provider was asked to take. If it is dropped without `keep`, the provider is
/// told to return to its former link, even if the provider's answer comes later.
struct PreparedLink {
    link_process: LocalPid,
    number: u64,
    stays: bool,
}

impl PreparedLink {
    /// The router uses the link now.
    fn keep(mut self) {
        self.stays = true;
    }
}

impl Drop for PreparedLink {
    fn drop(&mut self) {
        if !self.stays {
            let number = self.number;
            outbox::send(self.link_process, move |env| {
                (text_atom(env, "exosuit_link_undo"), number).encode(env)
            });
        }
    }
}

/// The payload of a call to Elixir: a binary, or a list of arguments.
enum ElixirPayload {
    Bytes(term::Payload),
    Values(Vec<Value>),
}

impl ElixirPayload {
    fn new(payload: Payload) -> Result<Self, Error> {
        match payload {
            Payload::Bytes(bytes) => Ok(Self::Bytes(term::Payload(bytes))),
            other => other.into_values().map(Self::Values),
        }
    }
}

impl Encoder for ElixirPayload {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Self::Bytes(bytes) => bytes.encode(env),
            Self::Values(values) => terms(env, values, Recipient::Provider).encode(env),
        }
    }
}

/// Identifies a link in Elixir: the actor, the contract, the link's name, and the interfaces that
/// it covers. Links of one name differ in the interfaces.
fn key<'a>(env: Env<'a>, link: &Link, provider: &Id) -> Term<'a> {
    let (_values, actor) = link.seen_from(provider);
    let names = (actor.as_str(), link.contract.as_str(), link.name.as_str());
    (names, &link.interfaces).encode(env)
}

/// A configuration as a map of strings.
fn map<'a>(env: Env<'a>, values: &Configuration) -> Term<'a> {
    let pairs: Vec<_> = values.iter().collect();
    // The keys are distinct, so the map cannot be refused.
    Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env))
}

/// A call that Elixir was asked to answer. If it is dropped unanswered (deadline, cancel, end of
/// the caller), the process that works on it is told to end.
struct PendingCall {
    call_process: LocalPid,
    number: u64,
    /// Sends nothing, because the process of the call has ended its work.
    answered: bool,
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        if !self.answered {
            let number = self.number;
            outbox::send(self.call_process, move |env| {
                (text_atom(env, "exosuit_cancel"), number).encode(env)
            });
        }
    }
}
