//! The requests of an HTTP/2 connection: a task for each, which ends when its client does not read.
//!
//! A client may keep the connection active and block one answer by giving it no window. Then nothing polls that
//! answer's body, so the body cannot notice. The task of the request notices instead: hyper polls request and
//! answer in it, and the answer's body reports to it by [`Reading`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::task_local;
use tokio_util::task::TaskTracker;

use super::pace::{Pace, Tempo};

task_local! {
    static READING: Arc<Reading>;
}

/// hyper's executor for one connection: each request becomes a task that is watched.
#[derive(Clone)]
pub(crate) struct Streams {
    tasks: TaskTracker,
    tempo: Tempo,
}

/// Whether the client reads one answer. Shared by the answer's body and the task around it.
pub(crate) struct Reading(Mutex<State>);

/// What `Reading` guards. The lock is held for a few instructions.
struct State {
    pace: Pace,
    /// The bytes that hyper has of the answer and could not send yet.
    owed: Option<usize>,
}

impl Streams {
    /// Tasks that are counted in `tasks`, at this tempo.
    pub(crate) fn new(tasks: TaskTracker, tempo: Tempo) -> Self {
        Self { tasks, tempo }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, request: F) {
        let reading = Arc::new(Reading(Mutex::new(State {
            pace: Pace::new(self.tempo),
            owed: None,
        })));
        let watched = Watched {
            request: Some(Box::pin(request)),
            reading: reading.clone(),
        };
        self.tasks.spawn(READING.scope(reading, watched));
    }
}

impl Reading {
    /// The watch of the request that the current task serves.
    pub(crate) fn current() -> Option<Arc<Self>> {
        READING.try_with(Arc::clone).ok()
    }

    /// Notes that hyper took a part of the answer. From now on the client owes its reading.
    pub(crate) fn sent(&self, bytes: usize) {
        self.0.lock().owed = Some(bytes);
    }

    /// Notes that hyper asks for more: the client has taken the last part.
    pub(crate) fn taken(&self) {
        let mut state = self.0.lock();
        if let Some(bytes) = state.owed.take() {
            state.pace.passed(bytes);
        }
    }

    /// Ready when the client owes reading and has been too slow.
    fn poll_slow(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        match state.owed {
            Some(_) => state.pace.poll_slow(context),
            None => Poll::Pending,
        }
    }
}

/// A request and its answer, ended when the client does not read.
struct Watched<F> {
    /// `None` after its end. Dropping it resets its stream.
    request: Option<Pin<Box<F>>>,
    reading: Arc<Reading>,
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(request) = &mut this.request else {
            return Poll::Ready(());
        };
        let ended = request.as_mut().poll(context);
        if ended.is_ready() || this.reading.poll_slow(context).is_ready() {
            this.request = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
