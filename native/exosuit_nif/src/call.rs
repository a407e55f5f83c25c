//! An invocation from Elixir: polled once here, on the calling scheduler, and moved to Tokio if it
//! is not finished by then.
//!
//! The engine bounds a poll to one tick of its epoch, a millisecond at most. A call that finishes in
//! it pays for no thread, message, monitor or timer. What is sent to Elixir during the poll waits in
//! the outbox until it is over; what the guest logs goes through a channel. A large binary is copied by
//! Tokio, so that its size costs the scheduler nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use exosuit_core::{
    Answer, Code, Context, Deliver, Error, Invocation, Origin, Pace, Payload, Target, Value,
};
use exosuit_router::Router;
use rustler::schedule::consume_timeslice;
use rustler::types::atom;
use rustler::{
    Atom, Binary, Encoder, Env, LocalPid, Monitor, Reference, Resource, ResourceArc, Term,
};
use tokio::task::AbortHandle;

use crate::host::Host;
use crate::kept::{Kept, LIGHT_BYTES};
use crate::outbox;
use crate::reply::Reply;
use crate::runtime::runtime;
use crate::term::{contract, failure, id, link_name, ok, text_atom};
use crate::value::{Reader, Returned, Unread, arguments};

/// What the BEAM gives a process before another one runs: 4 000 reductions, about a millisecond.
const TIMESLICE: Duration = Duration::from_millis(1);

mod atoms {
    rustler::atoms! { inline, r#async = "async" }
}

/// A call that goes on in Tokio. It ends with the process that made it.
#[derive(Default)]
pub(crate) struct Call(OnceLock<AbortHandle>);

#[rustler::resource_impl]
impl Resource for Call {
    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.abort();
    }
}

impl Call {
    /// Has Tokio drop the call, with its instance; the reply answers as it is dropped.
    fn abort(&self) {
        if let Some(task) = self.0.get() {
            task.abort();
        }
    }
}

/// Calls an actor by id, public key or call alias, with a binary or a list of arguments:
/// `{:ok, answer}`, `{:error, failure}`, or `{:pending, call}`, which promises `{reference, result}`
/// to the calling process. `:large` where the arguments are more than a scheduler should read: then
/// `call_large` takes them.
#[rustler::nif]
#[expect(
    clippy::too_many_arguments,
    reason = "they are those of the Elixir function"
)]
fn call<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    target: String,
    operation: String,
    payload: Term<'a>,
    origin: Term<'a>,
    timeout_ms: u64,
    execution: Atom,
    reference: Reference<'a>,
) -> Term<'a> {
    let carried = match Carried::new(payload, Reader::Scheduler) {
        Ok(carried) => carried,
        Err(Unread::Wrong(error)) => return failure(env, &error),
        Err(Unread::Large) => return text_atom(env, "large"),
    };
    let origin = match caller(origin) {
        Ok(origin) => origin,
        Err(error) => return failure(env, &error),
    };
    let pace = Pace::of(&target, &operation);
    let asked_for = execution == atoms::inline();
    let may_be_inline = execution != atoms::r#async() && carried.is_light();
    let inline = asked_for || (may_be_inline && pace.inline());
    let call = invocation(origin, target, operation, timeout_ms);
    let mut answer = carried.deliver(host.router(), call);
    let polled = if inline {
        let (polled, took) = poll(env, &mut answer);
        pace.record(polled.is_ready(), took);
        polled
    } else {
        Poll::Pending
    };
    match polled {
        Poll::Ready(Ok(returned)) => ok(env, returned),
        Poll::Ready(Err(error)) => failure(env, &error),
        Poll::Pending => pending(env, answer, reference),
    }
}

/// Calls an actor, as `call` does, with a list of arguments that takes long to read. It is never run on the scheduler.
#[rustler::nif(schedule = "DirtyCpu")]
#[expect(
    clippy::too_many_arguments,
    reason = "they are those of the Elixir function"
)]
fn call_large<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    target: String,
    operation: String,
    payload: Term<'a>,
    origin: Term<'a>,
    timeout_ms: u64,
    reference: Reference<'a>,
) -> Term<'a> {
    let carried = match Carried::new(payload, Reader::DirtyScheduler) {
        Ok(carried) => carried,
        Err(Unread::Wrong(error)) => return failure(env, &error),
        Err(Unread::Large) => return text_atom(env, "large"),
    };
    match caller(origin) {
        Ok(origin) => {
            let call = invocation(origin, target, operation, timeout_ms);
            pending(env, carried.deliver(host.router(), call), reference)
        }
        Err(error) => failure(env, &error),
    }
}

/// What a call carries.
enum Carried {
    /// Handing it to a guest is a matter of microseconds.
    Light(Payload),
    /// It takes longer, within the bounds of `value`.
    Values(Vec<Value>),
    /// A binary of any size.
    Kept(Kept),
}

impl Carried {
    fn new(payload: Term<'_>, by: Reader) -> Result<Self, Unread> {
        match payload.decode::<Binary<'_>>() {
            Ok(binary) if binary.len() > LIGHT_BYTES => Ok(Self::Kept(Kept::new(binary))),
            Ok(binary) => Ok(Self::Light(Bytes::copy_from_slice(&binary).into())),
            Err(_) => match arguments(payload, by)? {
                (values, true) => Ok(Self::Light(Payload::Values(values))),
                (values, false) => Ok(Self::Values(values)),
            },
        }
    }

    fn is_light(&self) -> bool {
        matches!(self, Self::Light(_))
    }

    /// The call with this payload. A binary is copied where the call is polled first.
    fn deliver(self, router: &Arc<Router>, mut call: Invocation) -> Answer {
        match self {
            Self::Light(payload) => {
                call.payload = payload;
                router.deliver(call)
            }
            Self::Values(values) => {
                call.payload = Payload::Values(values);
                router.deliver(call)
            }
            Self::Kept(binary) => {
                let router = Arc::clone(router);
                Box::pin(async move {
                    call.payload = binary.copy()?.into();
                    router.deliver(call).await
                })
            }
        }
    }
}

/// The caller: `host`, or `{provider, id, contract, link_name}`.
fn caller(origin: Term<'_>) -> Result<Origin, Error> {
    if origin.is_atom() {
        return Ok(Origin::Host);
    }
    let decoded = origin.decode::<(Atom, &str, &str, &str)>();
    let (_provider, provider, called_for, link) = decoded.map_err(|_| {
        let expected = "expected the origin to be :host or {:provider, id, contract, link_name}";
        Error::new(Code::InvalidInput, expected)
    })?;
    Ok(Origin::Provider {
        id: id(provider)?,
        contract: contract(called_for)?,
        link: link_name(link)?,
    })
}

/// A call without its payload. Its time begins now.
fn invocation(origin: Origin, target: String, operation: String, timeout_ms: u64) -> Invocation {
    // A time beyond the clock's reach is as good as a day.
    let now = Instant::now();
    let day = Duration::from_hours(24);
    let deadline = now + Duration::from_millis(timeout_ms).min(day);
    Invocation {
        origin,
        target: Target::Actor(target),
        operation,
        payload: Bytes::new().into(),
        context: Context::until(deadline),
    }
}

/// Polls once, tells the BEAM what that took, and gives that as well.
fn poll(env: Env<'_>, answer: &mut Answer) -> (Poll<Result<Returned, Error>>, Duration) {
    let _inside = runtime().enter();
    let started = Instant::now();
    // Polled again on Tokio if it is not ready: nothing needs to wake anybody here.
    let mut context = TaskContext::from_waker(Waker::noop());
    let poll = || catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(&mut context)));
    let polled = outbox::flushed(env, poll);
    let took = started.elapsed();
    let percent = took.as_micros() * 100 / TIMESLICE.as_micros();
    if percent > 0 {
        consume_timeslice(env, i32::try_from(percent.min(100)).unwrap_or(100));
    }
    let polled = polled
        .unwrap_or_else(|_| Poll::Ready(Err(Error::new(Code::Internal, "the engine panicked"))));
    let polled = polled.map(|answer| answer.and_then(Returned::new));
    (polled, took)
}

/// Moves the call to Tokio.
fn pending<'a>(env: Env<'a>, answer: Answer, reference: Reference<'a>) -> Term<'a> {
    let caller = env.pid();
    let call = ResourceArc::new(Call::default());
    let reply = Reply::new(caller, reference);
    let task = runtime().spawn(async move { reply.send(answer.await.and_then(Returned::new)) });
    // Set before anybody else holds the call.
    let _ = call.0.set(task.abort_handle());
    if call.monitor(Some(env), &caller).is_none() {
        call.abort();
    }
    (text_atom(env, "pending"), call).encode(env)
}

/// Gives a pending call up: its promised message says that it was dropped, unless it was answered.
#[rustler::nif]
fn call_cancel(call: ResourceArc<Call>) -> Atom {
    call.abort();
    atom::ok()
}
