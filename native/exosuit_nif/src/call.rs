//! A call from Elixir to an actor.
//!
//! `call` polls the call once on the scheduler that runs the caller. If the call is finished
//! then, its answer is the return value of the NIF: there is no thread to wake, no message, no
//! monitor and no timer, which together cost more than a short call. Otherwise the call moves to
//! Tokio, and its answer comes as a message.
//!
//! The poll keeps the scheduler for a short time only:
//!
//! - The engine interrupts a guest after one tick of its epoch, which is a millisecond.
//! - [`Pace`] measures earlier calls of the same actor and operation. Operations that rarely finish
//!   in time go to Tokio at once.
//! - Arguments with many values and large binaries are not handed to a guest during the poll
//!   ([`CallPayload`]).
//! - `consume_timeslice` reports the time to the BEAM, so that the caller yields as after Elixir
//!   code.
//!
//! During the poll, messages to Elixir wait in the [`outbox`], and log lines go through a channel.
//!
//! # How a call ends
//!
//! | what happens | then |
//! |---|---|
//! | the answer is there in the first poll | the NIF returns it |
//! | the answer comes later | one message `{reference, result}` |
//! | the deadline passes | the error `deadline`, in the same way |
//! | the calling process ends | its monitor aborts the task, which drops the guest; nobody gets a message |
//! | `call_cancel` | the same, and the process gets `dropped` |
//! | the engine panics | the error `internal` in the first poll, `dropped` later |
//!
//! A call in its first poll cannot be cancelled, since its process runs the NIF: the poll lasts one slice. The BEAM
//! delivers an exit signal after it, when the monitor exists, or finds the process gone when it is to be made.

use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
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

use crate::deferred::{DeferredBinary, LIGHT_BYTES};
use crate::host::Host;
use crate::outbox;
use crate::reply::Reply;
use crate::runtime::runtime;
use crate::term::{contract, failure, id, link_name, ok, text_atom};
use crate::value::{ReadError, Reader, Returned, arguments};

/// The BEAM runs a process for 4 000 reductions, about a millisecond, before another one runs.
const TIMESLICE: Duration = Duration::from_millis(1);

mod atoms {
    rustler::atoms! { inline, r#async = "async" }
}

/// A call that runs on Tokio. It monitors its caller, and ends with it.
///
/// Dropping the handle does not end the call: Elixir may collect it before the answer comes, and then still waits.
#[derive(Default)]
pub(crate) struct Call(OnceLock<AbortHandle>);

#[rustler::resource_impl]
impl Resource for Call {
    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.abort();
    }
}

impl Call {
    /// Makes Tokio drop the call together with its instance. Its reply then answers `dropped`.
    fn abort(&self) {
        if let Some(task) = self.0.get() {
            task.abort();
        }
    }
}

/// Calls an actor by its id, public key or call alias. The payload is a binary, or a list of
/// arguments.
///
/// Returns one of:
///
/// - `{:ok, answer}` or `{:error, failure}`: the call is finished, and no message follows.
/// - `{:pending, call}`: promises the message `{reference, result}` to the calling process.
/// - `:large`: the arguments are more than a scheduler may read. `call_large` takes them.
///
/// `execution` is `:inline` (always poll here), `:async` (never), or another atom (decide by
/// [`Pace`]). `from` is the caller for the router: see [`CallFrom`]. `timeout_ms` counts from now, at most a day.
///
/// `:inline` holds the scheduler even if the guest is known to be slow, for one slice. It is for measurements and for
/// calls that must not wake a thread.
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
    from: Term<'a>,
    timeout_ms: u64,
    execution: Atom,
    reference: Reference<'a>,
) -> Term<'a> {
    let payload = match CallPayload::new(payload, Reader::Scheduler) {
        Ok(payload) => payload,
        Err(ReadError::Invalid(error)) => return failure(env, &error),
        Err(ReadError::Large) => return text_atom(env, "large"),
    };
    let from = match CallFrom::new(from) {
        Ok(from) => from,
        Err(error) => return failure(env, &error),
    };
    let pace = Pace::of(&target, &operation);
    let asked_for = execution == atoms::inline();
    let may_be_inline = execution != atoms::r#async() && payload.is_light();
    let inline = asked_for || (may_be_inline && pace.inline());
    let call = invocation(env, from, target, operation, timeout_ms);
    let mut answer = payload.deliver(host.router(), call);
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

/// Calls an actor with a list of arguments that takes long to read. Returns like [`call`], but the
/// call always runs on Tokio.
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
    from: Term<'a>,
    timeout_ms: u64,
    reference: Reference<'a>,
) -> Term<'a> {
    let payload = match CallPayload::new(payload, Reader::DirtyScheduler) {
        Ok(payload) => payload,
        Err(ReadError::Invalid(error)) => return failure(env, &error),
        Err(ReadError::Large) => return text_atom(env, "large"),
    };
    match CallFrom::new(from) {
        Ok(from) => {
            let call = invocation(env, from, target, operation, timeout_ms);
            pending(env, payload.deliver(host.router(), call), reference)
        }
        Err(error) => failure(env, &error),
    }
}

/// The payload of a call, by the time that it takes to hand it to a guest.
///
/// The thread that polls the call pays for that time. On a scheduler nothing interrupts it.
enum CallPayload {
    /// A few microseconds. Such a call may be polled on a scheduler.
    Light(Payload),
    /// Longer, but within the bounds of `value`.
    Values(Vec<Value>),
    /// A binary without an upper bound. Tokio copies it.
    Deferred(DeferredBinary),
}

impl CallPayload {
    /// Reads the payload from a term that may be anything.
    fn new(payload: Term<'_>, by: Reader) -> Result<Self, ReadError> {
        match payload.decode::<Binary<'_>>() {
            Ok(binary) if binary.len() > LIGHT_BYTES => {
                Ok(Self::Deferred(DeferredBinary::new(binary)))
            }
            Ok(binary) => Ok(Self::Light(Bytes::copy_from_slice(&binary).into())),
            Err(_) => match arguments(payload, by)? {
                (values, true) => Ok(Self::Light(Payload::Values(values))),
                (values, false) => Ok(Self::Values(values)),
            },
        }
    }

    /// Whether the call may be polled on a scheduler.
    fn is_light(&self) -> bool {
        matches!(self, Self::Light(_))
    }

    /// Starts the call with this payload. A deferred binary is copied when the call is polled
    /// first.
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
            Self::Deferred(binary) => {
                let router = Arc::clone(router);
                Box::pin(async move {
                    call.payload = binary.copy()?.into();
                    router.deliver(call).await
                })
            }
        }
    }
}

/// Decodes the caller: `:host`, or `{:provider, id, contract, link_name}`.
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

/// Where a call comes from.
struct CallFrom {
    origin: Origin,
    /// The call of a guest that the process works for, if that is one of [`Context::within`].
    within: Option<NonZeroU64>,
}

impl CallFrom {
    /// Decodes `{origin, within}`; `within` is 0 for none.
    fn new(from: Term<'_>) -> Result<Self, Error> {
        let expected = "expected a call to come from {origin, number}";
        let (origin, within) = from
            .decode::<(Term<'_>, u64)>()
            .map_err(|_| Error::new(Code::InvalidInput, expected))?;
        Ok(Self {
            origin: caller(origin)?,
            within: NonZeroU64::new(within),
        })
    }
}

/// A call without its payload. Its deadline counts from now.
fn invocation(
    env: Env<'_>,
    CallFrom { origin, within }: CallFrom,
    target: String,
    operation: String,
    timeout_ms: u64,
) -> Invocation {
    // `Instant` overflows for huge timeouts; a day is long enough for any call.
    let now = Instant::now();
    let day = Duration::from_hours(24);
    let deadline = now + Duration::from_millis(timeout_ms).min(day);
    Invocation {
        origin,
        target: Target::Actor(target),
        operation,
        payload: Bytes::new().into(),
        context: Context {
            caller: process_number(env),
            within,
            ..Context::until(deadline)
        },
    }
}

/// A number for the calling process that no other living process has. Its last four bits are those of a pid, which
/// are not 0.
fn process_number(env: Env<'_>) -> Option<NonZeroU64> {
    /// Takes the number that it is to hash as it is.
    struct Same(u64);

    impl Hasher for Same {
        fn finish(&self) -> u64 {
            self.0
        }

        fn write(&mut self, bytes: &[u8]) {
            let bytes = bytes.iter().map(|byte| u64::from(*byte));
            self.0 = bytes.fold(self.0, |number, byte| (number << 8) | byte);
        }

        fn write_usize(&mut self, number: usize) {
            self.0 = number as u64;
        }
    }

    let mut same = Same(0);
    env.pid().encode(env).as_c_arg().hash(&mut same);
    NonZeroU64::new(same.finish())
}

/// Polls the call once, reports the time to the BEAM, and returns it together with the result.
fn poll(env: Env<'_>, answer: &mut Answer) -> (Poll<Result<Returned, Error>>, Duration) {
    let _inside = runtime().enter();
    let started = Instant::now();
    // Nothing needs to wake this thread: if the call is not ready, Tokio polls it again.
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
    let caller = env.pid();
    let polled = polled.map(|answer| answer.and_then(|reply| Returned::new(reply, caller)));
    (polled, took)
}

/// Moves the call to Tokio. Returns `{:pending, call}`.
fn pending<'a>(env: Env<'a>, answer: Answer, reference: Reference<'a>) -> Term<'a> {
    let caller = env.pid();
    let call = ResourceArc::new(Call::default());
    let reply = Reply::new(caller, reference);
    let task = runtime().spawn(async move {
        let answer = answer.await;
        reply.send(answer.and_then(|reply| Returned::new(reply, caller)));
    });
    // No other thread has the call yet, so the cell is empty.
    let _ = call.0.set(task.abort_handle());
    if call.monitor(Some(env), &caller).is_none() {
        call.abort();
    }
    (text_atom(env, "pending"), call).encode(env)
}

/// Gives up a pending call. Its promised message says `dropped`, unless the answer was sent before.
#[rustler::nif]
fn call_cancel(call: ResourceArc<Call>) -> Atom {
    call.abort();
    atom::ok()
}
