//! Messages to and from the lattice. All go over the control connection.
//!
//! Payloads are copied once, on the scheduler: the largest message of NATS (1 MiB by default) takes some
//! tens of microseconds, and larger ones are refused. Publishing never waits; requests wait on Tokio.

use std::time::{Duration, Instant};

use bytes::Bytes;
use exosuit_core::{Code, Error};
use futures_util::FutureExt;
use rustler::{Atom, Binary, Env, Reference, ResourceArc, Term};

use super::Lattice;
use super::inlet::{Inlet, InletSource, Label};
use crate::reply::{To, done};
use crate::runtime::runtime;
use crate::term::Payload;

/// The longest wait. `Instant` overflows for much longer ones.
const LONGEST: Duration = Duration::from_hours(24);

/// Publishes a message. Returns `:ok`, or an error at once: `unavailable` without a connection,
/// `overloaded` if too many messages wait. `:ok` says that the message is in the client's queue, not
/// that anybody receives it.
#[rustler::nif]
fn lattice_publish<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    subject: &str,
    payload: Binary<'a>,
) -> Term<'a> {
    let joined = lattice.joined();
    let _inside = runtime().enter();
    let publishing = joined
        .bus
        .publish(subject, Bytes::copy_from_slice(&payload));
    // The client waits only if its queue of outgoing messages is full. Waiting in a task would then
    // just move the queue to the heap, so the message is refused.
    let published = match publishing.now_or_never() {
        Some(published) => published.map_err(Error::from),
        None => Err(Error::new(
            Code::Overloaded,
            "too many messages wait to be sent to the lattice; try again later",
        )),
    };
    done(env, published)
}

/// Sends a request, and answers with the first reply. If nobody listens, the answer is an error at once.
#[rustler::nif]
fn lattice_request<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    subject: String,
    payload: Binary<'a>,
    timeout_ms: u64,
    to: To<'a>,
) -> Atom {
    let payload = Bytes::copy_from_slice(&payload);
    let deadline = Instant::now() + Duration::from_millis(timeout_ms).min(LONGEST);
    lattice.answer(env, to, |joined| async move {
        let answer = joined.bus.request(&subject, payload, deadline).await?;
        Ok(Payload(answer))
    })
}

/// Sends a request, and answers with the replies that arrive within `within_ms`, at most `max`. It ends
/// early with the `max`th reply. No reply is an empty list: for questions to all hosts.
#[rustler::nif]
fn lattice_gather<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    subject: String,
    payload: Binary<'a>,
    within_ms: u64,
    max: usize,
    to: To<'a>,
) -> Atom {
    let payload = Bytes::copy_from_slice(&payload);
    let within = Duration::from_millis(within_ms).min(LONGEST);
    lattice.answer(env, to, |joined| async move {
        let answers = joined.bus.gather(&subject, payload, within, max).await?;
        Ok(answers.into_iter().map(Payload).collect::<Vec<_>>())
    })
}

/// Subscribes the process in `to` to a subject, alone or as a member of a queue group. Answers with
/// an inlet, which sends `{exosuit_lattice, reference, {subject, reply_to | nil, payload}}`. The
/// subscription outlives reconnects; messages that were sent while this host was away are lost.
#[rustler::nif]
fn lattice_subscribe<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    subject: String,
    group: Option<String>,
    reference: Reference<'a>,
    to: To<'a>,
) -> Atom {
    let (pid, label) = (to.0, Label::new(reference));
    lattice.answer(env, to, |joined| async move {
        let subscription = joined.bus.subscribe(&subject, group.as_deref()).await?;
        Ok(Inlet::open(pid, label, InletSource::Messages(subscription)))
    })
}
