//! Providers written in Elixir: a call becomes a message, and a NIF brings the answer back.
//!
//! - [`Elixir`]: the capability. Calls go to one process, which starts a process for each. Links go
//!   to another process, so that a link that takes long does not delay calls.
//! - [`Question`]: a call or link that Elixir has not answered yet.
//! - [`PendingCall`], [`PreparedLink`]: tell Elixir when nobody needs an answer or a link any more.
//!
//! The messages to Elixir:
//!
//! | message | to | meaning |
//! |---|---|---|
//! | `exosuit_invoke` | call process | run a call, and answer its question |
//! | `exosuit_cancel` | call process | end the call with this number |
//! | `exosuit_drop` | call process | a resource has ended; answer the question when that was handled |
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
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use exosuit_core::{
    Answer, Capability, CapabilityCall, Code, Configuration, Contract, Done, Error, Id, Link,
    Payload, Pending, Prepared, Reply, Value,
};
use parking_lot::Mutex;
use rustler::env::SavedTerm;
use rustler::{Atom, Binary, Encoder, Env, LocalPid, OwnedEnv, Resource, ResourceArc, Term};
use tokio::sync::oneshot::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::state::{self, Maker};
use crate::deferred::{DeferredBinary, LIGHT_BYTES};
use crate::outbox;
use crate::runtime::runtime;
use crate::term::{self, failure, text_atom};
use crate::value::{ReadError, Reader, Recipient, answer, terms};

/// The longest error text of a provider that is passed on; the same as for guests.
const MAX_ERROR: usize = 8 << 10;

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
        let made_for = MadeFor {
            provider: Arc::clone(self),
            link: Arc::clone(&link),
        };
        if let ElixirPayload::Values(values) = &payload {
            state::check(values, &made_for)?;
        }
        let permits = Arc::clone(&self.permits);
        let permit = permits.try_acquire_owned().map_err(|_| self.overloaded())?;
        let number = self.numbers.fetch_add(1, Relaxed);
        let (question, answer) = ask(Some(permit));
        let id = self.id.clone();
        outbox::send(self.call_process, move |env| {
            let deadline = invocation.context.deadline;
            let left = deadline.saturating_duration_since(Instant::now());
            (
                text_atom(env, "exosuit_invoke"),
                (number, question),
                key(env, &link, &id),
                invocation.operation,
                payload,
                u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
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
        let reply = result.unwrap_or_else(|_| Err(self.ended()))?;
        if let Reply::Value(value) = &reply {
            state::settle(value, &(Arc::new(made_for) as _));
        }
        Ok(reply)
    }

    /// Tells Elixir that a resource has ended, when a call less than the maximum runs. Nobody waits for it.
    fn end_resource(
        self: Arc<Self>,
        link: Arc<Link>,
        kind: String,
        (state_env, state): (OwnedEnv, SavedTerm),
    ) {
        runtime().spawn(async move {
            let permits = Arc::clone(&self.permits);
            let Ok(permit) = permits.acquire_owned().await else {
                return;
            };
            let number = self.numbers.fetch_add(1, Relaxed);
            let (question, answer) = ask(Some(permit));
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
        let (question, answer) = ask(None);
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
}

impl Maker for MadeFor {
    fn id(&self) -> &Id {
        &self.provider.id
    }

    fn key(&self) -> usize {
        Arc::as_ptr(&self.provider).addr()
    }

    fn end(&self, kind: String, state: (OwnedEnv, SavedTerm)) {
        let provider = Arc::clone(&self.provider);
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
    /// Nothing is to be told: the process of the call has ended its work.
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

/// A question to Elixir, which a NIF answers.
///
/// It holds a permit until it is answered, even if its caller has given up. This bounds the
/// messages in the mailbox and the processes that work on them.
pub(crate) struct Question(Mutex<Option<Unanswered>>);

/// The waiting side of a question.
struct Unanswered {
    sender: Sender<Result<Reply, Error>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Unanswered {
    /// Sends the answer to the caller.
    fn answer(self, result: Result<Reply, Error>) {
        // The caller may have given up.
        let _ = self.sender.send(result);
    }
}

#[rustler::resource_impl]
impl Resource for Question {}

/// A question, and the receiver of its answer.
fn ask(
    permit: Option<OwnedSemaphorePermit>,
) -> (ResourceArc<Question>, Receiver<Result<Reply, Error>>) {
    let (sender, receiver) = oneshot::channel();
    let unanswered = Unanswered {
        sender,
        _permit: permit,
    };
    let question = Question(Mutex::new(Some(unanswered)));
    (ResourceArc::new(question), receiver)
}

impl Question {
    /// Answers the question. Returns false if it was answered before.
    fn answer(&self, result: Result<Reply, Error>) -> bool {
        let unanswered = self.0.lock().take();
        unanswered.map(|waiting| waiting.answer(result)).is_some()
    }

    /// Answers with a large binary, which Tokio copies.
    fn answer_with(&self, binary: DeferredBinary) -> bool {
        let unanswered = self.0.lock().take();
        let copied = |waiting: Unanswered| {
            runtime().spawn(async move { waiting.answer(binary.copy().map(Reply::from)) });
        };
        unanswered.map(copied).is_some()
    }
}

/// Answers a question: code `:ok` with bytes, or the code of an error with its text. Returns false
/// if it was answered before.
///
/// `:ok` alone says that the question was still open, not that anybody waited: the caller may have given
/// up. Bytes beyond 64 KiB are copied on Tokio, so this returns before the caller has them.
#[rustler::nif]
fn provider_reply(
    env: Env<'_>,
    question: ResourceArc<Question>,
    code: Atom,
    bytes: Binary<'_>,
) -> bool {
    if code == rustler::types::atom::ok() && bytes.len() > LIGHT_BYTES {
        return question.answer_with(DeferredBinary::new(bytes));
    }
    question.answer(result(env, code, &bytes))
}

/// Answers a question with the return value of a WIT function.
///
/// Returns false if it was answered before, an error if the term is not a value (the question stays
/// open), or `:large` if a scheduler may not read that much: then `provider_return_large` takes it.
#[rustler::nif]
fn provider_return<'a>(env: Env<'a>, question: ResourceArc<Question>, term: Term<'a>) -> Term<'a> {
    returned(env, &question, answer(term, Reader::Scheduler))
}

/// Answers a question like `provider_return`, with a value that takes long to read.
#[rustler::nif(schedule = "DirtyCpu")]
fn provider_return_large<'a>(
    env: Env<'a>,
    question: ResourceArc<Question>,
    term: Term<'a>,
) -> Term<'a> {
    returned(env, &question, answer(term, Reader::DirtyScheduler))
}

/// The return value of the two NIFs above.
fn returned<'a>(env: Env<'a>, question: &Question, answer: Result<Value, ReadError>) -> Term<'a> {
    match answer {
        Ok(value) => question.answer(Ok(Reply::Value(value))).encode(env),
        Err(ReadError::Invalid(error)) => failure(env, &error),
        Err(ReadError::Large) => text_atom(env, "large"),
    }
}

/// The bytes, or the error with the provider's code. Unknown codes become `provider`.
fn result(env: Env<'_>, code: Atom, bytes: &[u8]) -> Result<Reply, Error> {
    if code == rustler::types::atom::ok() {
        return Ok(Bytes::copy_from_slice(bytes).into());
    }
    let name = code.to_term(env).atom_to_string().unwrap_or_default();
    let known = Code::ALL.iter().find(|known| known.as_str() == name);
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_ERROR)]);
    Err(Error::new(*known.unwrap_or(&Code::Provider), text))
}
