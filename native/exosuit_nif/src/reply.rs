//! Answers by message.

use std::future::Future;

use exosuit_core::{Code, Error};
use rustler::env::SavedTerm;
use rustler::thread::is_scheduler_thread;
use rustler::{Encoder, Env, LocalPid, OwnedEnv, Reference, Term};

use crate::runtime::runtime;
use crate::term::{failure, ok};

/// A promise to answer one process exactly once; dropped unanswered, it answers `dropped`.
///
/// It is made when the work is handed over, not before: until then the NIF's return value is the
/// answer.
pub(crate) struct Reply(Option<Address>);

struct Address {
    pid: LocalPid,
    env: OwnedEnv,
    reference: SavedTerm,
}

impl Reply {
    pub(crate) fn new(pid: LocalPid, reference: Reference<'_>) -> Self {
        let env = OwnedEnv::new();
        let reference = env.save(reference);
        Self(Some(Address {
            pid,
            env,
            reference,
        }))
    }

    pub(crate) fn send<T: Encoder>(mut self, result: Result<T, Error>) {
        if let Some(address) = self.0.take() {
            address.send(result);
        }
    }
}

impl Address {
    fn send<T: Encoder>(self, result: Result<T, Error>) {
        let Self {
            pid,
            mut env,
            reference,
        } = self;
        // A process that has ended needs no answer.
        let _ = env.send_and_clear(&pid, |env| {
            let result = match result {
                Ok(value) => ok(env, value),
                Err(error) => failure(env, &error),
            };
            (reference.load(env), result)
        });
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let Some(address) = self.0.take() else { return };
        let answer = || Err::<(), _>(Error::new(Code::Dropped, "the engine gave up the work"));
        if is_scheduler_thread() {
            // A scheduler may not send from an environment that is not its process's.
            runtime().spawn(async move { address.send(answer()) });
        } else {
            address.send(answer());
        }
    }
}

/// Where an answer goes, as Elixir says it: `{pid, reference}`.
pub(crate) type To<'a> = (LocalPid, Reference<'a>);

/// Runs `work` on Tokio and sends its result to `to`.
pub(crate) fn answer<T>(
    env: Env<'_>,
    (pid, reference): To<'_>,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> rustler::Atom
where
    T: Encoder + Send + 'static,
{
    let reply = Reply::new(pid, reference.in_env(env));
    runtime().spawn(async move { reply.send(work.await) });
    rustler::types::atom::ok()
}

/// `:ok`, or the error as a term: what most NIFs return.
pub(crate) fn done(env: Env<'_>, result: Result<(), Error>) -> Term<'_> {
    match result {
        Ok(()) => rustler::types::atom::ok().encode(env),
        Err(error) => failure(env, &error),
    }
}
