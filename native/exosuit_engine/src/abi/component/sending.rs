//! A guest that still sends the body of its response.
//!
//! It has no task of its own: whoever reads the body runs it, so that a slow reader slows it. But a
//! reader that neither reads nor goes away must not keep it for longer than the call may take: a
//! task that does nothing else sees to that.

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

/// A guest at work, until it has returned. One that may serve again is given back.
pub(super) type Run = Pin<Box<dyn Future<Output = Result<Option<Returned>, Error>> + Send>>;

/// The guest, until it is dropped.
pub(super) struct Sending {
    guest: Arc<Mutex<Guest>>,
    watch: AbortHandle,
    /// What drops it may be on any thread.
    runtime: Handle,
}

enum Guest {
    /// With who is to be woken when it is ended.
    Runs(Run, Option<Waker>),
    /// With why, until that has been told.
    Ended(Option<Error>),
}

impl Sending {
    /// The guest, with what says when it must have ended, and why, whoever runs it then.
    pub(super) fn new(run: Run, bound: impl Future<Output = Error> + Send + 'static) -> Self {
        let guest = Arc::new(Mutex::new(Guest::Runs(run, None)));
        let watched = Arc::clone(&guest);
        let runtime = Handle::current();
        let watch = runtime.spawn(async move { end(&watched, bound.await) });
        Self {
            guest,
            watch: watch.abort_handle(),
            runtime,
        }
    }

    /// Runs the guest for a while. Ready when it has returned.
    pub(super) fn poll(&self, task: &mut TaskContext<'_>) -> Poll<Result<Option<Returned>, Error>> {
        let mut guest = self.guest.lock();
        let ended = match &mut *guest {
            Guest::Runs(run, reader) => match run.as_mut().poll(task) {
                Poll::Ready(ended) => ended,
                Poll::Pending => {
                    *reader = Some(task.waker().clone());
                    return Poll::Pending;
                }
            },
            Guest::Ended(why) => why.take().map_or(Ok(None), Err),
        };
        *guest = Guest::Ended(None);
        Poll::Ready(ended)
    }

    /// Gives it a task to finish in: all that it has to send has been read.
    pub(super) fn finish(&self, actor: Arc<ActorShared>) {
        if let Guest::Runs(run, _reader) = self.take() {
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

    fn take(&self) -> Guest {
        mem::replace(&mut self.guest.lock(), Guest::Ended(None))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.watch.abort();
        drop(self.take());
    }
}

fn end(guest: &Mutex<Guest>, error: Error) {
    let mut guest = guest.lock();
    if let Guest::Runs(run, reader) = mem::replace(&mut *guest, Guest::Ended(None)) {
        *guest = Guest::Ended(Some(error));
        drop(guest);
        drop(run);
        reader.into_iter().for_each(Waker::wake);
    }
}
