//! A guest that still writes the body of its response.
//!
//! The reader of the body polls the guest ([`Sending::poll`]). A reader may also stop reading without going
//! away; nobody would then poll the guest, and it would keep its instance beyond the deadline of the call. A
//! watchdog task therefore waits for the end of the call and drops the guest ([`end`]).
//!
//! The guest is in a mutex that the reader and the watchdog share. The reader holds it while it polls the guest, for
//! one slice at most, so the watchdog never waits for long. A lock of threads and not of Tokio: `poll` cannot await.
//! The waker of the reader is kept with the run, because the watchdog must wake it: the reader may be waiting for the
//! guest that has just been dropped.
//!
//! # Who ends it
//!
//! ```text
//!             poll: ready
//! Runs ─────────────────────► Ended(None)        the guest has returned or failed
//!   │   end(): the watchdog
//!   ├───────────────────────► Ended(Some(why)) ─► Ended(None)    the reader gets the error once
//!   │   finish(): whole body read
//!   ├───────────────────────► Ended(None)        the run goes on in a task of its own
//!   │   drop
//!   └───────────────────────► Ended(None)        the guest is dropped
//! ```
//!
//! Whoever takes the run out of the lock has it alone, so exactly one of these happens. The task of `finish` needs no
//! watchdog: Tokio polls the run there, and the run has its own bound inside.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use exosuit_core::{Error, LogLevel};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::returned::Returned;
use crate::actor_shared::ActorShared;

/// The run of a guest. Its output is the guest, if that may serve again. It must not be polled after it was ready, so
/// `poll` replaces it.
pub(super) type Run = Pin<Box<dyn Future<Output = Result<Option<Returned>, Error>> + Send>>;

/// A running guest, shared by the reader of its body and the watchdog. Dropped, it drops the guest.
pub(super) struct Sending {
    guest: Arc<Mutex<SendingGuest>>,
    /// The watchdog. Aborted with the body; if it has ended, that has no effect.
    watch: AbortHandle,
    /// Kept, because the body may be dropped on a thread outside of Tokio.
    runtime: Handle,
}

/// The guest behind the lock.
enum SendingGuest {
    /// The run, and the waker of the reader for when the watchdog ends the run.
    Runs(Run, Option<Waker>),
    /// Why the watchdog ended the run, until the reader has got that error.
    Ended(Option<Error>),
}

impl Sending {
    /// Takes over a running guest. `bound` ends at the deadline of the call, or when the actor is stopped, and says
    /// which of the two. Needs a Tokio context.
    pub(super) fn new(run: Run, bound: impl Future<Output = Error> + Send + 'static) -> Self {
        let guest = Arc::new(Mutex::new(SendingGuest::Runs(run, None)));
        let watched = Arc::clone(&guest);
        let runtime = Handle::current();
        let watch = runtime.spawn(async move { end(&watched, bound.await) });
        Self {
            guest,
            watch: watch.abort_handle(),
            runtime,
        }
    }

    /// Polls the guest once. Ready when the guest has returned, or was ended.
    ///
    /// The waker is stored after the poll and under the same lock, so the watchdog, which takes the lock as well,
    /// finds it. After an error was given out, further polls say that the guest has returned.
    pub(super) fn poll(&self, task: &mut TaskContext<'_>) -> Poll<Result<Option<Returned>, Error>> {
        let mut guest = self.guest.lock();
        let ended = match &mut *guest {
            SendingGuest::Runs(run, reader) => match run.as_mut().poll(task) {
                Poll::Ready(ended) => ended,
                Poll::Pending => {
                    *reader = Some(task.waker().clone());
                    return Poll::Pending;
                }
            },
            SendingGuest::Ended(why) => why.take().map_or(Ok(None), Err),
        };
        *guest = SendingGuest::Ended(None);
        Poll::Ready(ended)
    }

    /// Lets the guest finish in a task of its own: its whole body has been read. A failure is logged, since
    /// no caller is left.
    pub(super) fn finish(&self, actor: Arc<ActorShared>) {
        if let SendingGuest::Runs(run, _reader) = self.take() {
            self.runtime.spawn(async move {
                match run.await {
                    Ok(returned) => returned.into_iter().for_each(Returned::leave),
                    Err(error) => {
                        let text = format!("the guest failed after its response: {error}");
                        actor.log.write(&actor.id, LogLevel::Error, &text);
                    }
                }
            });
        }
    }

    /// Takes the guest out. Its later drop happens outside of the lock.
    fn take(&self) -> SendingGuest {
        mem::replace(&mut self.guest.lock(), SendingGuest::Ended(None))
    }
}

/// The reader has gone: the guest goes as well, unless [`Sending::finish`] has taken it.
impl Drop for Sending {
    fn drop(&mut self) {
        self.watch.abort();
        drop(self.take());
    }
}

/// Drops the guest and wakes its reader, who gets `error`.
fn end(guest: &Mutex<SendingGuest>, error: Error) {
    let mut guest = guest.lock();
    if let SendingGuest::Runs(run, reader) = mem::replace(&mut *guest, SendingGuest::Ended(None)) {
        *guest = SendingGuest::Ended(Some(error));
        // Dropping an instance takes time, and may wake others: not under the lock.
        drop(guest);
        drop(run);
        reader.into_iter().for_each(Waker::wake);
    }
}
