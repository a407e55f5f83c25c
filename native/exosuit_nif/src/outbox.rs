//! Messages to Elixir processes, from whichever thread a call happens to run on.
//!
//! A scheduler may send in the environment of the NIF that it runs, and in no other. What is sent
//! during an inline poll is therefore kept, and flushed by the NIF before it returns.

use std::cell::RefCell;

use rustler::thread::is_scheduler_thread;
use rustler::{Env, LocalPid, OwnedEnv, Term};

use crate::runtime::runtime;

type Message = Box<dyn for<'a> FnOnce(Env<'a>) -> Term<'a> + Send>;

struct Letter {
    to: LocalPid,
    message: Message,
}

thread_local! {
    /// What is to be sent by the NIF that polls on this thread; none where none does.
    static OUTBOX: RefCell<Option<Vec<Letter>>> = const { RefCell::new(None) };
}

/// Sends a message, made where it can be sent from. A process that has ended is sent nothing.
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
        // No NIF polls here: the BEAM collects garbage, or has noticed that a process ended.
        runtime().spawn(async move { letter.post() });
    } else {
        letter.post();
    }
}

/// Runs `poll`, and then sends what it wanted sent, in the NIF's own environment.
pub(crate) fn flushed<T>(env: Env<'_>, poll: impl FnOnce() -> T) -> T {
    OUTBOX.set(Some(Vec::new()));
    let polled = poll();
    for Letter { to, message } in OUTBOX.take().unwrap_or_default() {
        let _ = env.send(&to, message(env));
    }
    polled
}

/// Keeps the letter for the NIF that polls on this thread; gives it back where none does.
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
    fn post(self) {
        let _ = OwnedEnv::new().send_and_clear(&self.to, self.message);
    }
}
