//! Facts that nobody waits for, on their way to a process: `{:exosuit_notice, notice}`.

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

/// What may be under way; what comes faster than it is sent is lost, and the reader is told how much.
/// Of each kind so many: what guests and callers can make in a loop never pushes out what is seldom.
const CAPACITY: usize = 4_096;

/// How many are sent in a row, and how long the next have to wait. A mailbox drops nothing, and a
/// guest that is refused in a loop makes more in a second than any process reads.
const BATCH: u32 = 500;
const PAUSE: Duration = Duration::from_millis(100);

/// How often it is told that some were lost, at the most.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Takes notices from any thread, schedulers too, and sends them from Tokio, in their order. Those of
/// which there are few go first.
pub(crate) struct Notices {
    seldom: Sender<Notice>,
    often: Sender<Notice>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    reader: Mutex<Option<LocalPid>>,
    lost: AtomicU64,
}

impl Notices {
    pub(crate) fn new() -> Self {
        let (seldom, few) = channel(CAPACITY);
        let (often, many) = channel(CAPACITY);
        let shared = Arc::new(Shared::default());
        runtime().spawn(send_all(few, many, Arc::clone(&shared)));
        Self {
            seldom,
            often,
            shared,
        }
    }

    /// Names the process that reads them from now on.
    pub(crate) fn read_by(&self, pid: LocalPid) {
        *self.shared.reader.lock() = Some(pid);
    }
}

impl Observe for Notices {
    fn observe(&self, notice: Notice) {
        let sender = match notice {
            Notice::Log { .. } | Notice::LogDropped { .. } | Notice::CallFailed { .. } => {
                &self.often
            }
            _ => &self.seldom,
        };
        if sender.try_send(notice).is_err() {
            self.shared.lost.fetch_add(1, Relaxed);
        }
    }
}

async fn send_all(mut few: Receiver<Notice>, mut many: Receiver<Notice>, shared: Arc<Shared>) {
    let mut env = OwnedEnv::new();
    let mut sent = 0;
    let mut pause = interval(PAUSE);
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: Option<Instant> = None;
    while let Some(notice) = next(&mut few, &mut many).await {
        let Some(pid) = *shared.reader.lock() else {
            continue;
        };
        if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            let lost = shared.lost.swap(0, Relaxed);
            if lost > 0 {
                told = Some(Instant::now());
                let _ = env.send_and_clear(&pid, |env| message(env, encode_lost(env, lost)));
            }
        }
        // Sent to a process that has ended, it is lost, as it would be without one.
        let _ = env.send_and_clear(&pid, |env| message(env, encode(env, &notice)));
        sent += 1;
        if sent == BATCH {
            sent = 0;
            // At once if the last pause is longer ago than that.
            pause.tick().await;
        }
    }
}

/// None once nobody is left who could take note of anything.
async fn next(few: &mut Receiver<Notice>, many: &mut Receiver<Notice>) -> Option<Notice> {
    tokio::select! {
        biased;
        Some(notice) = few.recv() => Some(notice),
        Some(notice) = many.recv() => Some(notice),
        else => None,
    }
}

fn message<'a>(env: Env<'a>, notice: Term<'a>) -> Term<'a> {
    (text_atom(env, "exosuit_notice"), notice).encode(env)
}

/// A log line for Logger; or the type and the data of an event.
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

fn encode_lost(env: Env<'_>, count: u64) -> Term<'_> {
    let data = map(env, &[("count", count.encode(env))]);
    ("notices_dropped", data).encode(env)
}

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

fn describe(origin: &Origin) -> String {
    match origin {
        Origin::Host => "host".to_owned(),
        Origin::Actor(id) | Origin::Provider { id, .. } | Origin::Elsewhere(Remote { id, .. }) => {
            id.to_string()
        }
    }
}
