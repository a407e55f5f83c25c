//! Messages to and from the lattice.

use std::time::{Duration, Instant};

use bytes::Bytes;
use exosuit_core::{Code, Error};
use futures_util::FutureExt;
use rustler::{Atom, Binary, Encoder, Env, Reference, ResourceArc, Term};

use super::Lattice;
use super::inlet::{Inlet, Label, Source};
use crate::reply::{To, answer, done};
use crate::runtime::runtime;
use crate::term::Payload;

/// As good as no bound on a wait, and within the clock's reach.
const LONGEST: Duration = Duration::from_hours(24);

/// Sends a message to whoever listens, or says at once why not.
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
    // It waits only where thousands of others wait to be sent, and then this one would grow a heap.
    let published = match publishing.now_or_never() {
        Some(published) => published.map_err(Error::from),
        None => Err(Error::new(
            Code::Overloaded,
            "as many messages wait to be sent to the lattice as may",
        )),
    };
    done(env, published)
}

/// Sends a message, and answers with the first answer to it.
#[rustler::nif]
fn lattice_request<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    subject: String,
    payload: Binary<'a>,
    timeout_ms: u64,
    to: To<'a>,
) -> Atom {
    let (joined, payload) = (lattice.joined(), Bytes::copy_from_slice(&payload));
    let deadline = Instant::now() + Duration::from_millis(timeout_ms).min(LONGEST);
    answer(env, to, async move {
        let answer = joined.bus.request(&subject, payload, deadline).await?;
        Ok(Payload(answer))
    })
}

/// Sends a message, and answers with the answers that come within this time, so many at most.
#[rustler::nif]
fn lattice_gather<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    subject: String,
    payload: Binary<'a>,
    within_ms: u64,
    most: usize,
    to: To<'a>,
) -> Atom {
    let (joined, payload) = (lattice.joined(), Bytes::copy_from_slice(&payload));
    let within = Duration::from_millis(within_ms).min(LONGEST);
    answer(env, to, async move {
        let answers = joined.bus.gather(&subject, payload, within, most).await?;
        Ok(answers.into_iter().map(Payload).collect::<Vec<_>>())
    })
}

/// Listens to a subject, as one of a group if there is one, for the process that is answered:
/// `{exosuit_lattice, reference, {subject, reply_to | nil, payload}}`.
#[rustler::nif]
fn lattice_subscribe<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    subject: String,
    group: Option<String>,
    reference: Reference<'a>,
    to: To<'a>,
) -> Term<'a> {
    let (joined, pid, label) = (lattice.joined(), to.0, Label::new(reference));
    answer(env, to, async move {
        let subscription = joined.bus.subscribe(&subject, group.as_deref()).await?;
        Ok(Inlet::open(pid, label, Source::Messages(subscription)))
    })
    .encode(env)
}
