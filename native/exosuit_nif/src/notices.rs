//! Notices: events of the data plane that no caller waits for. They go to one process as
//! `{:exosuit_notice, notice}`.
//!
//! [`Notices`] takes them from any thread without waiting. One task sends them in their order. A
//! guest can cause notices in a loop, so three bounds protect the process that reads them:
//!
//! - Two queues of [`CAPACITY`]: one for notices that guests and callers can cause in a loop, one
//!   for all others. A flood of the first kind never displaces one of the second.
//! - At most [`BATCH`] notices in each [`PAUSE`]: a mailbox has no bound, and a full one slows its
//!   process.
//! - Notices that find their queue full are counted, and `notices_dropped` reports the number.
//!
//! One process of a host reads them and makes events and log lines of them (`Exosuit.Edge`). If it
//! crashes, notices to it are lost until its successor names itself; calls and links are not affected,
//! because nothing depends on a notice. The task ends with the host's data plane.
//!
//! # The way of a notice
//!
//! ```text
//! any thread ── observe() ──► seldom (4 096) ─┐
//!                         └─► often  (4 096) ─┴─► one task ─► {:exosuit_notice, notice} ─► Exosuit.Edge
//! ```
//!
//! | notice | queue | term |
//! |---|---|---|
//! | `Log` | often | `{:log, actor, level, text}` |
//! | `LogDropped` | often | `{:log_dropped, actor, lines}` |
//! | `CallFailed` | often | `{"invocation_failed", data}` |
//! | every other one | seldom | `{type, data}` |
//! | lost ones | – | `{"notices_dropped", %{count: n}}` |
//!
//! Types of events are binaries and not atoms, as in `Exosuit.Event`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use exosuit_core::{Error, Notice, Observe, Origin, Remote};
use parking_lot::Mutex;
use rustler::{Encoder, Env, LocalPid, OwnedEnv, Term};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval};

use crate::runtime::runtime;
use crate::term::{code, map, text_atom};

/// How many notices may wait in each of the two queues. If a queue is full, new ones are counted as
/// lost.
const CAPACITY: usize = 4_096;

/// How many notices are sent before a pause. A guest that is refused in a loop causes more notices
/// in a second than a process can read.
const BATCH: u32 = 500;
/// The time between two batches. Together they allow 5 000 notices in a second.
const PAUSE: Duration = Duration::from_millis(100);

/// The shortest time between two reports of lost notices.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// The sending side. It takes notices from all threads, also from schedulers.
pub(crate) struct Notices {
    /// Notices of changes: their number does not depend on guests.
    seldom: Sender<Notice>,
    /// Log lines and failed calls. A guest can cause them in a loop.
    often: Sender<Notice>,
    state: Arc<NoticeState>,
}

/// The state that the sending side and the task share.
#[derive(Default)]
struct NoticeState {
    /// The process that gets the notices. Until there is one, they are discarded.
    reader: Mutex<Option<LocalPid>>,
    /// How many notices found their queue full since the last report.
    lost: AtomicU64,
}

impl Notices {
    /// Starts the task that sends. It ends when the last holder of this drops it, after the notices that still wait.
    pub(crate) fn new() -> Self {
        let (seldom, few) = channel(CAPACITY);
        let (often, many) = channel(CAPACITY);
        let state = Arc::new(NoticeState::default());
        runtime().spawn(send_all(few, many, Arc::clone(&state)));
        Self {
            seldom,
            often,
            state,
        }
    }

    /// Sets the process that gets the notices from now on. Replaces a former one.
    pub(crate) fn read_by(&self, pid: LocalPid) {
        *self.state.reader.lock() = Some(pid);
    }
}

impl Observe for Notices {
    /// Takes a notice or counts it as lost. It never waits, so it may be called under a lock and on a
    /// scheduler.
    fn observe(&self, notice: Notice) {
        let sender = match notice {
            Notice::Log { .. } | Notice::LogDropped { .. } | Notice::CallFailed { .. } => {
                &self.often
            }
            _ => &self.seldom,
        };
        if sender.try_send(notice).is_err() {
            self.state.lost.fetch_add(1, Relaxed);
        }
    }
}

/// Sends the notices of both queues until all senders are dropped. The lost ones are reported with the
/// next notice that is sent, and at most once in [`REPORT_EVERY`].
async fn send_all(mut few: Receiver<Notice>, mut many: Receiver<Notice>, state: Arc<NoticeState>) {
    let mut env = OwnedEnv::new();
    let mut sent = 0;
    let mut pause = interval(PAUSE);
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reported: Option<Instant> = None;
    while let Some(notice) = next(&mut few, &mut many).await {
        let Some(pid) = *state.reader.lock() else {
            continue;
        };
        if reported.is_none_or(|reported| reported.elapsed() >= REPORT_EVERY) {
            let lost = state.lost.swap(0, Relaxed);
            if lost > 0 {
                reported = Some(Instant::now());
                let _ = env.send_and_clear(&pid, |env| message(env, encode_lost(env, lost)));
            }
        }
        // A notice to a process that has ended is lost. The next process names itself by
        // `host_observe`.
        let _ = env.send_and_clear(&pid, |env| message(env, encode(env, &notice)));
        sent += 1;
        if sent == BATCH {
            sent = 0;
            // Returns at once if the last pause began more than `PAUSE` ago.
            pause.tick().await;
        }
    }
}

/// The next notice; those of the queue `few` go first. `None` when both queues are closed. Order holds
/// within a queue only: a log line may arrive after the event that followed it.
async fn next(few: &mut Receiver<Notice>, many: &mut Receiver<Notice>) -> Option<Notice> {
    tokio::select! {
        biased;
        Some(notice) = few.recv() => Some(notice),
        Some(notice) = many.recv() => Some(notice),
        else => None,
    }
}

/// The message `{:exosuit_notice, notice}`.
fn message<'a>(env: Env<'a>, notice: Term<'a>) -> Term<'a> {
    (text_atom(env, "exosuit_notice"), notice).encode(env)
}

/// A log line for `Logger`, or an event with its type and data. `Exosuit.Event.Types` has the same
/// types and fields, and a test compares them.
#[expect(
    clippy::too_many_lines,
    reason = "a table: a few lines for each notice"
)]
fn encode<'a>(env: Env<'a>, notice: &Notice) -> Term<'a> {
    match notice {
        Notice::Log { actor, level, text } => {
            let level = text_atom(env, level.as_str());
            (text_atom(env, "log"), actor.as_str(), level, text).encode(env)
        }
        Notice::LogDropped { actor, lines } => {
            (text_atom(env, "log_dropped"), actor.as_str(), lines).encode(env)
        }
        Notice::CallFailed {
            origin,
            target,
            operation,
            error,
        } => {
            let fields = [
                ("source", describe(origin).encode(env)),
                ("target", target.encode(env)),
                ("operation", operation.encode(env)),
            ];
            event(env, "invocation_failed", &fields, error)
        }
        Notice::LinkRefused {
            source,
            target,
            contract,
            name,
            error,
        } => {
            let fields = [
                ("source", source.as_str().encode(env)),
                ("target", target.as_str().encode(env)),
                ("namespace", contract.namespace().encode(env)),
                ("package", contract.package().encode(env)),
                ("name", name.as_str().encode(env)),
            ];
            event(env, "linkdef_set_failed", &fields, error)
        }
        Notice::LinkWarning {
            source,
            target,
            contract,
            name,
            text,
        } => {
            let fields = [
                ("source", source.as_str().encode(env)),
                ("target", target.as_str().encode(env)),
                ("namespace", contract.namespace().encode(env)),
                ("package", contract.package().encode(env)),
                ("name", name.as_str().encode(env)),
                ("warning", text.encode(env)),
            ];
            ("link_warning", map(env, &fields)).encode(env)
        }
        Notice::ProviderWarning { provider, text } => {
            let fields = [
                ("id", provider.as_str().encode(env)),
                ("warning", text.encode(env)),
            ];
            ("provider_warning", map(env, &fields)).encode(env)
        }
        Notice::ProviderRecovered { provider, text } => {
            let fields = [
                ("id", provider.as_str().encode(env)),
                ("what", text.encode(env)),
            ];
            ("provider_recovered", map(env, &fields)).encode(env)
        }
        Notice::AliasRefused {
            actor,
            alias,
            error,
        } => {
            let fields = [
                ("id", actor.as_str().encode(env)),
                ("call_alias", alias.encode(env)),
            ];
            event(env, "alias_refused", &fields, error)
        }
        Notice::Connection {
            connection,
            change,
            error,
        } => {
            let fields = [("connection", connection.encode(env))];
            match error {
                Some(error) => event(env, change, &fields, error),
                None => (change, map(env, &fields)).encode(env),
            }
        }
        Notice::Certificate {
            provider,
            file,
            change,
            error,
        } => {
            let fields = [
                ("provider", provider.as_str().encode(env)),
                ("file", file.encode(env)),
            ];
            match error {
                Some(error) => event(env, change, &fields, error),
                None => (change, map(env, &fields)).encode(env),
            }
        }
        Notice::CallsRefused {
            target,
            kind,
            count,
            error,
        } => {
            let fields = [
                ("target", target.encode(env)),
                ("kind", kind.encode(env)),
                ("count", count.encode(env)),
            ];
            event(env, "invocations_refused", &fields, error)
        }
        Notice::ClockSkew {
            source,
            milliseconds,
        } => {
            let fields = [
                ("connection", "rpc".encode(env)),
                ("source", source.encode(env)),
                ("skew_ms", milliseconds.encode(env)),
            ];
            ("lattice_clock_skew", map(env, &fields)).encode(env)
        }
    }
}

/// The event that says how many notices were lost.
fn encode_lost(env: Env<'_>, count: u64) -> Term<'_> {
    let data = map(env, &[("count", count.encode(env))]);
    ("notices_dropped", data).encode(env)
}

/// An event with an error: its code as `reason` and its text as `error`.
fn event<'a>(
    env: Env<'a>,
    name: &str,
    fields: &[(&'static str, Term<'a>)],
    error: &Error,
) -> Term<'a> {
    let reason = [
        ("reason", code(env, error.code)),
        ("error", error.detail.encode(env)),
    ];
    (name, map(env, &[fields, &reason].concat())).encode(env)
}

/// The caller, as events name it: `host`, or the id of an actor or provider.
fn describe(origin: &Origin) -> String {
    match origin {
        Origin::Host => "host".to_owned(),
        Origin::Actor(id) | Origin::Provider { id, .. } | Origin::Elsewhere(Remote { id, .. }) => {
            id.to_string()
        }
    }
}
