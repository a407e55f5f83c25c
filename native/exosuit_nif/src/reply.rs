//! Answers by message: the promise that a NIF makes when it returns `:ok`.
//!
//! - [`To`]: the process and the reference that an answer goes to.
//! - [`answer`]: runs work on Tokio and sends its result. Most NIFs use only this.
//! - [`Reply`]: the promise itself, for NIFs that start their tasks themselves.
//! - [`done`]: the return value of NIFs that finish at once.
//!
//! An answer always comes. A task may panic, may be aborted, or the engine may drop it: in each of
//! these cases its [`Reply`] is dropped, and dropping it sends an error. Therefore no process waits
//! forever.
//!
//! At most one answer comes: [`Reply::send`] consumes the promise. A process that stopped waiting gets a
//! message that it must ignore, so each request has a reference of its own. The reference is made by
//! Elixir (`make_ref/0`), which lets the BEAM skip older messages while it waits.
//!
//! # Who answers
//!
//! | what happens | the process gets | from |
//! |---|---|---|
//! | the work ends | its result | the task |
//! | the task is aborted, or panics | `dropped` | the drop of the [`Reply`] |
//! | that drop is on a scheduler | `dropped` | another task: a scheduler may not send here |
//! | the process has ended | – | nobody: the message is lost |
//! | the VM ends | – | nobody |

use std::future::Future;

use exosuit_core::{Code, Error};
use rustler::env::SavedTerm;
use rustler::thread::is_scheduler_thread;
use rustler::{Encoder, Env, LocalPid, OwnedEnv, Reference, Term};

use crate::runtime::runtime;
use crate::term::{failure, ok};

/// A promise to answer one process exactly once. If it is dropped before that, it answers
/// `dropped`.
///
/// A NIF creates it when it hands the work over, not earlier. Until then the return value of the
/// NIF is the answer, and a message would be a second one.
pub(crate) struct Reply(Option<Address>);

/// Where an answer goes. The reference lives in an environment of its own, which the message is
/// built in, too.
struct Address {
    /// A process of this VM. It may end at any time.
    pid: LocalPid,
    env: OwnedEnv,
    /// Valid in `env` alone.
    reference: SavedTerm,
}

impl Reply {
    /// Promises an answer `{reference, result}` to a process. Copies the reference, because the one of
    /// the caller ends with the NIF.
    pub(crate) fn new(pid: LocalPid, reference: Reference<'_>) -> Self {
        let env = OwnedEnv::new();
        let reference = env.save(reference);
        Self(Some(Address {
            pid,
            env,
            reference,
        }))
    }

    /// Sends the answer: `{:ok, value}` or `{:error, {code, detail}}`.
    pub(crate) fn send<T: Encoder>(mut self, result: Result<T, Error>) {
        if let Some(address) = self.0.take() {
            address.send(result);
        }
    }
}

impl Address {
    /// Builds the message and sends it. Only threads outside of the BEAM's schedulers may call this: rustler panics on
    /// others.
    ///
    /// The message is built in the environment that the reference is in, and handed over without a copy.
    fn send<T: Encoder>(self, result: Result<T, Error>) {
        let Self {
            pid,
            mut env,
            reference,
        } = self;
        // The process may have ended; then nobody needs the answer.
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
            // A scheduler thread may send only in the environment of the NIF that it runs. Garbage
            // collection and aborted calls drop replies on scheduler threads, too, so another
            // thread sends.
            runtime().spawn(async move { address.send(answer()) });
        } else {
            address.send(answer());
        }
    }
}

/// The process and the reference that an answer goes to. In Elixir: `{self(), make_ref()}`.
pub(crate) type To<'a> = (LocalPid, Reference<'a>);

/// Runs `work` on Tokio, and sends its result to `to`. Returns `:ok`.
///
/// The work is not bound to the process: it runs to its end if the process dies. Work that should end
/// with its process has a resource that monitors it, such as `Call` or `Compiling`.
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

/// `:ok`, or the error as a term. This is what NIFs return that send no message.
pub(crate) fn done(env: Env<'_>, result: Result<(), Error>) -> Term<'_> {
    match result {
        Ok(()) => rustler::types::atom::ok().encode(env),
        Err(error) => failure(env, &error),
    }
}
