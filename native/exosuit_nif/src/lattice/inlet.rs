//! Messages and changes that arrive without a request, handed to a process one at a time.
//!
//! An [`Inlet`] sends the next item only when the process asks for it (`lattice_next`). The mailbox
//! of a process has no bound; items that arrive in the meantime wait in the bounded queue of their
//! [`InletSource`], which reports what it had to drop.
//!
//! ```text
//! process ── lattice_next ──► wanted ──► the task waits for an item ──► message ──► process
//!    ▲                                                                                │
//!    └────────────────────────── when it has handled it ──────────────────────────────┘
//! ```
//!
//! | it ends | how the process learns of it |
//! |---|---|
//! | with its process, or the last reference | – |
//! | by `lattice_unsubscribe` | it asked for it |
//! | with its source, when the connection is closed | not at all: no item comes any more |

use std::sync::Arc;

use exosuit_lattice::{Change, Message, Subscription, Watcher};
use rustler::env::SavedTerm;
use rustler::types::atom;
use rustler::{
    Atom, Encoder, Env, LocalPid, Monitor, OwnedEnv, Reference, Resource, ResourceArc, Term,
};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::runtime::runtime;
use crate::term::{Payload, failure, text_atom};

/// The subscription of one process. It ends with the process, or with the last reference to it.
///
/// At most one item is on its way at a time, so a slow process has one message of its subscription in
/// its mailbox, whatever the lattice sends.
pub(crate) struct Inlet {
    /// Notified once for each item that the process asks for. Asking twice before an item comes counts
    /// once.
    wanted: Arc<Notify>,
    /// Waits for a request, then for an item, in turn.
    task: AbortOnDropHandle<()>,
}

#[rustler::resource_impl]
impl Resource for Inlet {
    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.task.abort();
    }
}

/// The source of the items.
pub(super) enum InletSource {
    /// A subject.
    Messages(Subscription),
    /// A bucket of the shared state.
    Changes(Watcher),
}

/// One item. Encoded in the environment of its message, so it is Rust until then.
enum InletItem {
    Message(Message),
    Change(Change),
}

impl InletSource {
    /// The next item. `None` when the source has ended.
    async fn next(&mut self) -> Option<InletItem> {
        match self {
            Self::Messages(subscription) => subscription.next().await.map(InletItem::Message),
            Self::Changes(watcher) => watcher.next().await.map(InletItem::Change),
        }
    }
}

/// The reference that items are sent with: `{exosuit_lattice, reference, item}`.
pub(super) struct Label {
    env: OwnedEnv,
    reference: SavedTerm,
}

impl Label {
    /// Keeps the reference in an environment of its own.
    pub(super) fn new(reference: Reference<'_>) -> Self {
        let env = OwnedEnv::new();
        let reference = env.save(reference);
        Self { env, reference }
    }

    /// Sends an item. Returns false if the process has ended. The reference is copied from environment
    /// to environment, since a term may be used in its own alone.
    fn send(&self, pid: LocalPid, item: &InletItem) -> bool {
        let mut out = OwnedEnv::new();
        let sent = out.send_and_clear(&pid, |env| {
            let reference = self.env.run(|own| self.reference.load(own).in_env(env));
            (text_atom(env, "exosuit_lattice"), reference, item).encode(env)
        });
        sent.is_ok()
    }
}

impl Inlet {
    /// Sends the first item as soon as there is one, and each further one on request. An inlet for a process that has
    /// ended already is made and aborted.
    pub(super) fn open(pid: LocalPid, label: Label, source: InletSource) -> ResourceArc<Self> {
        let wanted = Arc::new(Notify::new());
        wanted.notify_one();
        let task = runtime().spawn(hand_on(pid, label, source, Arc::clone(&wanted)));
        let inlet = ResourceArc::new(Self {
            wanted,
            task: AbortOnDropHandle::new(task),
        });
        if inlet.monitor(None, &pid).is_none() {
            inlet.task.abort();
        }
        inlet
    }
}

/// The task of an inlet. It ends with its source, with the process, or by an abort; none of these tells
/// the process.
async fn hand_on(pid: LocalPid, label: Label, mut source: InletSource, wanted: Arc<Notify>) {
    loop {
        wanted.notified().await;
        let Some(item) = source.next().await else {
            return;
        };
        if !label.send(pid, &item) {
            return;
        }
    }
}

/// Requests the next item.
#[rustler::nif]
fn lattice_next(inlet: ResourceArc<Inlet>) -> Atom {
    inlet.wanted.notify_one();
    atom::ok()
}

/// Ends an inlet. An item that was sent before may still be in the mailbox.
#[rustler::nif]
fn lattice_unsubscribe(inlet: ResourceArc<Inlet>) -> Atom {
    inlet.task.abort();
    atom::ok()
}

impl Encoder for InletItem {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Self::Message(message) => (
                &message.subject,
                &message.reply,
                Payload(message.payload.clone()),
            )
                .encode(env),
            Self::Change(change) => encode_change(env, change),
        }
    }
}

/// A change of a bucket, as `lattice_watch` describes it.
fn encode_change<'a>(env: Env<'a>, change: &Change) -> Term<'a> {
    let tag = |text| text_atom(env, text);
    match change {
        Change::Put {
            key,
            value,
            revision,
        } => (tag("put"), key, Payload(value.clone()), revision).encode(env),
        Change::Deleted { key } => (tag("deleted"), key).encode(env),
        Change::Dropped { key } => (tag("dropped"), key).encode(env),
        Change::Current => tag("current"),
        Change::Lost { keys } => (tag("lost"), keys).encode(env),
        Change::Interrupted(error) => {
            (tag("interrupted"), failure(env, &error.clone().into())).encode(env)
        }
    }
}
