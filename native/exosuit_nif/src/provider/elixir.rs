//! Providers written in Elixir: a call becomes a message, and a NIF brings the answer.
//!
//! - [`Elixir`]: the capability. Its calls go to one process, which has each run in a process of
//!   its own; its links go to another, so that a link that takes its time holds up no call.
//! - [`Question`]: what Elixir was asked and has not answered yet.
//!
//! What is carried is bytes, or the values of a WIT function as terms.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use bytes::Bytes;
use exosuit_core::{
    Answer, Capability, CapabilityCall, Code, Configuration, Contract, Done, Error, Id, Link,
    Payload, Pending, Prepared, Reply, Value,
};
use parking_lot::Mutex;
use rustler::{Atom, Binary, Encoder, Env, LocalPid, Resource, ResourceArc, Term};
use tokio::sync::oneshot::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::kept::{Kept, LIGHT_BYTES};
use crate::outbox;
use crate::runtime::runtime;
use crate::term::{self, failure, text_atom};
use crate::value::{Reader, Unread, answer, terms};

/// The longest error text of a provider that is passed on, as of a guest.
const MAX_ERROR: usize = 8 << 10;

/// A capability whose calls and links are messages to Elixir processes.
pub(crate) struct Elixir(Arc<Shared>);

struct Shared {
    id: Id,
    contracts: Vec<Contract>,
    /// Takes the links.
    keeper: LocalPid,
    /// Takes the calls.
    dispatcher: LocalPid,
    places: Arc<Semaphore>,
    max_calls: usize,
    numbers: AtomicU64,
}

impl Elixir {
    pub(crate) fn new(
        id: Id,
        contracts: Vec<Contract>,
        keeper: LocalPid,
        dispatcher: LocalPid,
        max_calls: usize,
    ) -> Self {
        let max_calls = max_calls.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            id,
            contracts,
            keeper,
            dispatcher,
            places: Arc::new(Semaphore::new(max_calls)),
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
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.invoke(call).await })
    }

    fn prepare(&self, link: Arc<Link>) -> Pending<Prepared> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.prepare(link).await })
    }

    // Only the provider could tell, and it would have to take the link for that.
    fn check(&self, _link: Arc<Link>) -> Done {
        Box::pin(ready(Ok(())))
    }

    fn unlink(&self, link: Arc<Link>) -> Done {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.tell(Change::Delete, &link).await })
    }
}

impl Shared {
    async fn invoke(&self, call: CapabilityCall) -> Result<Reply, Error> {
        let CapabilityCall { invocation, link } = call;
        let payload = Carried::new(invocation.payload)?;
        let link = link.ok_or_else(|| self.unlinked())?;
        let places = Arc::clone(&self.places);
        let place = places.try_acquire_owned().map_err(|_| self.overloaded())?;
        let number = self.numbers.fetch_add(1, Relaxed);
        let (question, answer) = ask(Some(place));
        let id = self.id.clone();
        outbox::send(self.dispatcher, move |env| {
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
        let mut asked = Asked {
            dispatcher: self.dispatcher,
            number,
            answered: false,
        };
        let result = answer.await;
        asked.answered = true;
        result.unwrap_or_else(|_| Err(self.ended()))
    }

    /// The provider takes the link, with one word: if nobody switches to it, it is told to take it
    /// back.
    async fn prepare(self: Arc<Self>, link: Arc<Link>) -> Result<Prepared, Error> {
        let number = self.numbers.fetch_add(1, Relaxed);
        let mut taken = Taken {
            keeper: self.keeper,
            number,
            stays: false,
        };
        let result = self.tell(Change::Put(number), &link).await;
        // Refused, the provider has what it had.
        taken.stays = result.is_err();
        result?;
        Ok(Prepared::new(async move { taken.keep() }))
    }

    async fn tell(&self, change: Change, link: &Arc<Link>) -> Result<(), Error> {
        let (question, answer) = ask(None);
        let (id, link) = (self.id.clone(), Arc::clone(link));
        outbox::send(self.keeper, move |env| {
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

    fn unlinked(&self) -> Error {
        let detail = format!("provider {} was called without a link", self.id);
        Error::new(Code::MissingLink, detail)
    }

    fn overloaded(&self) -> Error {
        let detail = format!(
            "provider {} already runs {} calls, as many as it may",
            self.id, self.max_calls
        );
        Error::new(Code::Overloaded, detail)
    }

    fn ended(&self) -> Error {
        let detail = format!("provider {} ended before it answered", self.id);
        Error::new(Code::Dropped, detail)
    }
}

/// The messages to a provider about a link.
#[derive(Clone, Copy)]
enum Change {
    /// To take it, under this number.
    Put(u64),
    Delete,
}

impl Change {
    fn encode(self, env: Env<'_>) -> Term<'_> {
        match self {
            Self::Put(number) => (text_atom(env, "put"), number).encode(env),
            Self::Delete => text_atom(env, "delete"),
        }
    }
}

/// A link that the provider was asked to take. Dropped, unless it stays, the provider is told to go
/// back to what it had: also if it answers only later.
struct Taken {
    keeper: LocalPid,
    number: u64,
    stays: bool,
}

impl Taken {
    fn keep(mut self) {
        self.stays = true;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.stays {
            let number = self.number;
            outbox::send(self.keeper, move |env| {
                (text_atom(env, "exosuit_link_undo"), number).encode(env)
            });
        }
    }
}

/// What a call carries to Elixir: a binary, or a list of arguments.
enum Carried {
    Bytes(term::Payload),
    Values(Vec<Value>),
}

impl Carried {
    fn new(payload: Payload) -> Result<Self, Error> {
        match payload {
            Payload::Bytes(bytes) => Ok(Self::Bytes(term::Payload(bytes))),
            other => other.into_values().map(Self::Values),
        }
    }
}

impl Encoder for Carried {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Self::Bytes(bytes) => bytes.encode(env),
            Self::Values(values) => terms(env, values).encode(env),
        }
    }
}

/// What a link is found by in Elixir: the actor, the contract, the link's name, and which interfaces
/// it covers, in which those of one name differ.
fn key<'a>(env: Env<'a>, link: &Link, provider: &Id) -> Term<'a> {
    let (_values, actor) = link.seen_from(provider);
    let names = (actor.as_str(), link.contract.as_str(), link.name.as_str());
    (names, &link.interfaces).encode(env)
}

fn map<'a>(env: Env<'a>, values: &Configuration) -> Term<'a> {
    let pairs: Vec<_> = values.iter().collect();
    // Keys are distinct, so there is nothing that could fail.
    Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env))
}

/// A call that Elixir was asked to answer. Dropped unanswered (by the deadline, a cancel, the end of
/// the caller) it has the process ended that works on it.
struct Asked {
    dispatcher: LocalPid,
    number: u64,
    answered: bool,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.answered {
            let number = self.number;
            outbox::send(self.dispatcher, move |env| {
                (text_atom(env, "exosuit_cancel"), number).encode(env)
            });
        }
    }
}

/// What Elixir was asked. A place is held until it has answered, also for a call that nobody waits
/// for any more: so the messages under way are bounded, and the processes that work on them.
pub(crate) struct Question(Mutex<Option<Unanswered>>);

struct Unanswered {
    sender: Sender<Result<Reply, Error>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Unanswered {
    fn answer(self, result: Result<Reply, Error>) {
        // Nobody may wait for it any more.
        let _ = self.sender.send(result);
    }
}

#[rustler::resource_impl]
impl Resource for Question {}

fn ask(
    place: Option<OwnedSemaphorePermit>,
) -> (ResourceArc<Question>, Receiver<Result<Reply, Error>>) {
    let (sender, receiver) = oneshot::channel();
    let unanswered = Unanswered {
        sender,
        _place: place,
    };
    let question = Question(Mutex::new(Some(unanswered)));
    (ResourceArc::new(question), receiver)
}

impl Question {
    /// False where it has been answered before.
    fn answer(&self, result: Result<Reply, Error>) -> bool {
        let unanswered = self.0.lock().take();
        unanswered.map(|it| it.answer(result)).is_some()
    }

    /// Answers with a large binary, which Tokio copies.
    fn answer_with(&self, binary: Kept) -> bool {
        let unanswered = self.0.lock().take();
        let copied = |it: Unanswered| {
            runtime().spawn(async move { it.answer(binary.copy().map(Reply::from)) });
        };
        unanswered.map(copied).is_some()
    }
}

/// Answers a question: `:ok` with bytes, or the code of an error with its text. False where it has
/// been answered before.
#[rustler::nif]
fn provider_reply(
    env: Env<'_>,
    question: ResourceArc<Question>,
    code: Atom,
    bytes: Binary<'_>,
) -> bool {
    if code == rustler::types::atom::ok() && bytes.len() > LIGHT_BYTES {
        return question.answer_with(Kept::new(bytes));
    }
    question.answer(result(env, code, &bytes))
}

/// Answers a question with what a WIT function returns. A term that is no value is an error, and the
/// question stays open. `:large` where it is more than a scheduler should read: then `provider_return_large`
/// takes it.
#[rustler::nif]
fn provider_return<'a>(env: Env<'a>, question: ResourceArc<Question>, term: Term<'a>) -> Term<'a> {
    returned(env, &question, answer(term, Reader::Scheduler))
}

/// Answers a question, as `provider_return` does, with what takes long to read.
#[rustler::nif(schedule = "DirtyCpu")]
fn provider_return_large<'a>(
    env: Env<'a>,
    question: ResourceArc<Question>,
    term: Term<'a>,
) -> Term<'a> {
    returned(env, &question, answer(term, Reader::DirtyScheduler))
}

fn returned<'a>(env: Env<'a>, question: &Question, answer: Result<Value, Unread>) -> Term<'a> {
    match answer {
        Ok(value) => question.answer(Ok(Reply::Value(value))).encode(env),
        Err(Unread::Wrong(error)) => failure(env, &error),
        Err(Unread::Large) => text_atom(env, "large"),
    }
}

fn result(env: Env<'_>, code: Atom, bytes: &[u8]) -> Result<Reply, Error> {
    if code == rustler::types::atom::ok() {
        return Ok(Bytes::copy_from_slice(bytes).into());
    }
    let name = code.to_term(env).atom_to_string().unwrap_or_default();
    let known = Code::ALL.iter().find(|known| known.as_str() == name);
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_ERROR)]);
    Err(Error::new(*known.unwrap_or(&Code::Provider), text))
}
