//! What comes from the lattice by itself, handed to a process one at a time: the next only once it
//! asks. What comes meanwhile waits in a bounded place, and not in a mailbox.

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

/// Ends with its process, or with the last reference to it.
pub(crate) struct Inlet {
    wanted: Arc<Notify>,
    task: AbortOnDropHandle<()>,
}

#[rustler::resource_impl]
impl Resource for Inlet {
    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.task.abort();
    }
}

/// Where it comes from.
pub(super) enum Source {
    Messages(Subscription),
    Changes(Watcher),
}

enum Item {
    Message(Message),
    Change(Change),
}

impl Source {
    async fn next(&mut self) -> Option<Item> {
        match self {
            Self::Messages(subscription) => subscription.next().await.map(Item::Message),
            Self::Changes(watcher) => watcher.next().await.map(Item::Change),
        }
    }
}

/// What an item is sent under: `{exosuit_lattice, reference, item}`.
pub(super) struct Label {
    env: OwnedEnv,
    reference: SavedTerm,
}

impl Label {
    pub(super) fn new(reference: Reference<'_>) -> Self {
        let env = OwnedEnv::new();
        let reference = env.save(reference);
        Self { env, reference }
    }

    fn send(&self, pid: LocalPid, item: &Item) -> bool {
        let mut out = OwnedEnv::new();
        let sent = out.send_and_clear(&pid, |env| {
            let reference = self.env.run(|own| self.reference.load(own).in_env(env));
            (text_atom(env, "exosuit_lattice"), reference, item).encode(env)
        });
        sent.is_ok()
    }
}

impl Inlet {
    /// Hands on what comes, the first at once.
    pub(super) fn open(pid: LocalPid, label: Label, source: Source) -> ResourceArc<Self> {
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

async fn hand_on(pid: LocalPid, label: Label, mut source: Source, wanted: Arc<Notify>) {
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

/// Asks for the next.
#[rustler::nif]
fn lattice_next(inlet: ResourceArc<Inlet>) -> Atom {
    inlet.wanted.notify_one();
    atom::ok()
}

/// Takes no more.
#[rustler::nif]
fn lattice_unsubscribe(inlet: ResourceArc<Inlet>) -> Atom {
    inlet.task.abort();
    atom::ok()
}

impl Encoder for Item {
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
