//! Messages to Elixir processes from any thread.
//!
//! A call may need to send a message, for example to a provider in Elixir, and does not know which
//! thread it runs on. There are three cases:
//!
//! 1. A NIF polls the call on a scheduler thread (see `call`). The BEAM allows this thread to send
//!    only in the environment of that NIF. The message waits in `OUTBOX`, and [`flushed`] sends it
//!    after the poll.
//! 2. A scheduler thread runs, but no NIF polls: the BEAM collects a resource, or reports that a
//!    process ended. There is no environment to send in, so Tokio sends the message.
//! 3. A thread of Tokio runs. It sends the message at once in a new environment.
//!
//! The messages of one poll arrive in their order. Messages of two threads have no order.
//!
//! | where | `OUTBOX` | `is_scheduler_thread` | the message goes |
//! |---|---|---|---|
//! | in a poll of `call` | open | true | into the outbox, and out after the poll |
//! | in a destructor or a monitor | closed | true | to a task of Tokio, which sends it |
//! | in a task | closed | false | out at once |

use std::cell::RefCell;

use rustler::thread::is_scheduler_thread;
use rustler::{Env, LocalPid, OwnedEnv, Term};

use crate::runtime::runtime;

/// Builds the term of a message. It runs late, because a term exists only within its environment.
type Message = Box<dyn for<'a> FnOnce(Env<'a>) -> Term<'a> + Send>;

/// A message with its receiver.
struct Letter {
    to: LocalPid,
    message: Message,
}

thread_local! {
    /// The messages of the poll that runs on this thread. `None` if no NIF polls here. A poll never
    /// runs within another one: what a poll calls is Rust and Wasm, never a NIF.
    static OUTBOX: RefCell<Option<Vec<Letter>>> = const { RefCell::new(None) };
}

/// Sends a message: at once, after the current poll, or from Tokio (see the module's docs). If the
/// process has ended, the message is lost.
pub(crate) fn send(
    to: LocalPid,
    message: impl for<'a> FnOnce(Env<'a>) -> Term<'a> + Send + 'static,
) {
    let letter = Letter {
        to,
        message: Box::new(message),
    };
    let Some(letter) = keep(letter) else { return };
    if is_scheduler_thread() {
        // Case 2: no NIF polls here.
        runtime().spawn(async move { letter.post() });
    } else {
        letter.post();
    }
}

/// Runs `poll`, and then sends the messages that it left in the outbox, in the NIF's own
/// environment. `poll` must not unwind: the outbox of this thread would stay open, and later messages
/// would wait in it. The caller catches panics inside of it.
pub(crate) fn flushed<T>(env: Env<'_>, poll: impl FnOnce() -> T) -> T {
    OUTBOX.set(Some(Vec::new()));
    let polled = poll();
    for Letter { to, message } in OUTBOX.take().unwrap_or_default() {
        let _ = env.send(&to, message(env));
    }
    polled
}

/// Puts the letter into the outbox. Returns the letter if no NIF polls on this thread.
fn keep(letter: Letter) -> Option<Letter> {
    OUTBOX.with_borrow_mut(|outbox| match outbox {
        Some(letters) => {
            letters.push(letter);
            None
        }
        None => Some(letter),
    })
}

impl Letter {
    /// Sends the letter in a new environment. Only threads outside the BEAM may call this. The message is lost if the
    /// process has ended.
    fn post(self) {
        let _ = OwnedEnv::new().send_and_clear(&self.to, self.message);
    }
}
