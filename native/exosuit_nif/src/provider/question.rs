//! Questions to Elixir, and the NIFs that answer them.

use std::sync::Arc;

use bytes::Bytes;
use exosuit_core::{Code, Error, Reply, Value};
use parking_lot::Mutex;
use rustler::{Atom, Binary, Encoder, Env, Resource, ResourceArc, Term};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::oneshot::{self, Receiver, Sender};

use super::state::{self, Maker};
use crate::deferred::{DeferredBinary, LIGHT_BYTES};
use crate::runtime::runtime;
use crate::term::{failure, text_atom};
use crate::value::{ReadError, Reader, answer};

/// The longest error text of a provider that is passed on; the same as for guests.
const MAX_ERROR: usize = 8 << 10;

/// A question to Elixir, which a NIF answers.
///
/// It holds a permit until it is answered, even if its caller has given up. This bounds the
/// messages in the mailbox and the processes that work on them.
pub(crate) struct Question(Mutex<Option<Unanswered>>);

/// The waiting side of a question.
struct Unanswered {
    sender: Sender<Result<Reply, Error>>,
    /// Who makes the resources in the answer. `None` for a question whose answer is not a value.
    maker: Option<Arc<dyn Maker>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Unanswered {
    /// Sends the answer to the caller.
    fn answer(self, result: Result<Reply, Error>) {
        // Before anyone has the answer: whoever drops it ends the resources in it, and their maker must know.
        if let (Ok(Reply::Value(value)), Some(maker)) = (&result, &self.maker) {
            state::settle(value, maker);
        }
        // The caller may have given up.
        let _ = self.sender.send(result);
    }
}

#[rustler::resource_impl]
impl Resource for Question {}

/// A question, and the receiver of its answer.
pub(super) fn ask(
    permit: Option<OwnedSemaphorePermit>,
    maker: Option<Arc<dyn Maker>>,
) -> (ResourceArc<Question>, Receiver<Result<Reply, Error>>) {
    let (sender, receiver) = oneshot::channel();
    let unanswered = Unanswered {
        sender,
        maker,
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
