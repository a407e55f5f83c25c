//! Messaging: actors publish, ask, and are called with what is sent to the subjects of their links.
//!
//! `wasmbus` and `wit` are the two forms of the contract; `settings` reads what a link asks for, and
//! `subjects` what actors may use; `listener` brings the messages of one subscription to an actor.

mod listener;
mod settings;
mod subjects;
mod wasmbus;
mod wit;

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Weak};
use std::time::Instant;

use exosuit_core::{
    Answer, Capability, CapabilityCall, Code, Configuration, Contract, Deliver, Done, Error, Id,
    Lattice, Link, LinkKey, LogLevel, Message, Notice, Observe, Payload, Reply,
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Surroundings, message};
use listener::Listener;
use settings::{Subscribe, Wanted};
use subjects::Subjects;

/// The provider of `wasmcloud:messaging`.
///
/// Messages go by the lattice of the host: within the VM, or over NATS. An actor publishes and asks
/// through its link to the provider, and is called with messages as its link says:
///
/// - a link of the OTP era, actor → provider without interfaces: `MessageSubscriber.HandleMessage`
/// - a link of 1.x, provider → component with `handler`: `wasmcloud:messaging/handler`
///
/// A message is handled once and not again if that fails; who awaits an answer is sent none then.
///
/// # Settings
///
/// Of a link, at the provider's end, or of the provider for all its links; keys in any case.
///
/// | key | default | |
/// |---|---|---|
/// | `subscriptions`, `subscription` | none | subjects, separated by commas, with wildcards: `orders.*`; `orders.*\|workers` in the group `workers`; `orders.*\|` in none |
/// | `max_in_flight` | 64 | messages of one subscription that are handled at a time; with 1 they are handled in order |
/// | `timeout_ms` | 30000 | the deadline for handling one |
///
/// Of those that listen in one group, one gets each message. A subscription that names no group is in
/// one of its link, so that the hosts of a lattice share its messages; with hosts of other makes each
/// would handle all. A listener that is slower than its messages has 4096 of them waiting, 16 MiB at
/// most; those that find no room are lost, and their number is told.
///
/// Connection settings of other hosts' providers (`cluster_uris`, `client_jwt`) are passed over with a
/// line in the log: messages go by the connection that the host has.
///
/// # Subjects
///
/// Denied are those by which hosts are called and commanded (`wasmbus`, `exosuit`, `wadm`, all that
/// begins with `$`, and what the host's operator has moved elsewhere) and, for subscriptions, the answers
/// of others (`_INBOX`) and wildcards that mean any of these.
pub struct Messaging {
    contracts: [Contract; 1],
    shared: Arc<Shared>,
}

struct Shared {
    id: Id,
    configuration: Configuration,
    lattice: Arc<dyn Lattice>,
    deliver: Weak<dyn Deliver>,
    observe: Arc<dyn Observe>,
    subjects: Subjects,
    open: Mutex<Open>,
    /// What is handled now.
    running: TaskTracker,
}

#[derive(Default)]
struct Open {
    links: BTreeMap<Key, Listening>,
    is_stopped: bool,
}

/// The actor as well as the link's key: that of a link from a provider does not name its target.
type Key = (LinkKey, Id);

/// What listens for a link, until it is dropped.
struct Listening {
    /// For people.
    subjects: Vec<String>,
    end: CancellationToken,
    /// Those that take messages.
    takers: TaskTracker,
}

/// How an actor is called with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Wasmbus,
    Wit,
}

/// What an actor asks for.
enum Request {
    Publish(Message),
    Ask {
        subject: String,
        body: bytes::Bytes,
        timeout_ms: u32,
    },
}

/// The interface of the contract that components have and this provider calls.
const HANDLER: &str = "handler";

impl Messaging {
    /// A provider without a link yet. Fails on settings that no link could be served with.
    pub fn open(surroundings: Surroundings) -> Result<Arc<Self>, Error> {
        let Surroundings {
            id,
            configuration,
            lattice,
            deliver,
            observe,
            ..
        } = surroundings;
        let subjects = Subjects::new(lattice.reserved());
        settings::read(&configuration, &Configuration::new(), &subjects)?;
        Ok(Arc::new(Self {
            contracts: [message::contract("wasmcloud:messaging")],
            shared: Arc::new(Shared {
                id,
                configuration,
                lattice,
                deliver,
                observe,
                subjects,
                open: Mutex::default(),
                running: TaskTracker::new(),
            }),
        }))
    }

    fn request(&self, name: &str, payload: Payload) -> Result<(Request, Form), Error> {
        let unknown = || message::unknown_operation(&self.contracts[0], name);
        if name.starts_with("wasmcloud:") {
            let request = wit::read(name, payload.into_values()?).ok_or_else(unknown)?;
            Ok((request?, Form::Wit))
        } else {
            let request = wasmbus::read(name, payload.bytes()?).ok_or_else(unknown)?;
            Ok((request?, Form::Wasmbus))
        }
    }

    /// How the actor of this link is called, if it is.
    fn form(&self, link: &Link) -> Result<Option<Form>, Error> {
        let [contract] = &self.contracts;
        let has_all = link.interfaces.is_empty();
        let detail = if link.contract != *contract {
            format!(
                "the messaging provider offers {contract}, not {}",
                link.contract
            )
        } else if link.source != self.shared.id {
            return Ok(has_all.then_some(Form::Wasmbus));
        } else if has_all || link.interfaces.iter().any(|it| it == HANDLER) {
            return Ok(Some(Form::Wit));
        } else {
            let named = link.interfaces.join(", ");
            format!("the messaging provider calls {HANDLER} of {contract}, not {named}")
        };
        Err(Error::new(Code::InvalidLink, detail))
    }
}

impl Capability for Messaging {
    fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    fn invoke(&self, call: CapabilityCall) -> Answer {
        let invocation = call.invocation;
        let deadline = invocation.context.deadline;
        let (request, form) = match self.request(&invocation.operation, invocation.payload) {
            Ok(read) => read,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { form.write(shared.carry_out(request, deadline).await?) })
    }

    fn endpoints(&self) -> Vec<String> {
        // While a link is changed there is nothing certain to tell.
        let Ok(open) = self.shared.open.try_lock() else {
            return Vec::new();
        };
        let each = |((_, actor), listening): (&Key, &Listening)| {
            let subjects = listening.subjects.iter();
            subjects
                .map(|subject| format!("{subject} → {actor}"))
                .collect::<Vec<_>>()
        };
        open.links.iter().flat_map(each).collect()
    }

    fn link(&self, link: Arc<Link>) -> Done {
        let (shared, form) = (Arc::clone(&self.shared), self.form(&link));
        Box::pin(async move { shared.link(&link, form?).await })
    }

    fn unlink(&self, link: Arc<Link>) -> Done {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let (_, actor) = link.seen_from(&shared.id);
            let key = (link.key(), actor.clone());
            let ended = shared.open.lock().await.links.remove(&key);
            if let Some(listening) = ended {
                listening.ended().await;
            }
            Ok(())
        })
    }

    fn health(&self) -> Done {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.check().await })
    }

    fn drain(&self) -> Done {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            {
                let mut open = shared.open.lock().await;
                open.is_stopped = true;
                open.links.clear();
            }
            shared.running.close();
            shared.running.wait().await;
            Ok(())
        })
    }

    fn stop(&self) -> Done {
        self.drain()
    }
}

impl Shared {
    async fn check(&self) -> Result<(), Error> {
        self.lattice.check()?;
        let open = self.open.lock().await;
        let Some((_, deaf)) = open.links.iter().find(|(_, it)| it.is_deaf()) else {
            return Ok(());
        };
        let detail = format!("nothing takes the messages of {}", deaf.subjects.join(", "));
        Err(Error::new(Code::Io, detail))
    }

    async fn carry_out(
        &self,
        request: Request,
        deadline: Instant,
    ) -> Result<Option<Message>, Error> {
        match request {
            Request::Publish(message) => {
                self.subjects.check_sent(&message.subject)?;
                if let Some(reply_to) = &message.reply_to {
                    self.subjects.check_sent(reply_to)?;
                }
                self.lattice.publish(message).await?;
                Ok(None)
            }
            Request::Ask {
                subject,
                body,
                timeout_ms,
            } => {
                self.subjects.check_sent(&subject)?;
                let within = settings::patience(timeout_ms);
                let deadline =
                    within.map_or(deadline, |within| deadline.min(Instant::now() + within));
                self.lattice
                    .request(&subject, body, deadline)
                    .await
                    .map(Some)
            }
        }
    }

    async fn link(self: &Arc<Self>, link: &Link, form: Option<Form>) -> Result<(), Error> {
        let (configuration, actor) = link.seen_from(&self.id);
        let key = (link.key(), actor.clone());
        let mut open = self.open.lock().await;
        if open.is_stopped {
            return Err(Error::new(
                Code::Unavailable,
                "the messaging provider is stopped",
            ));
        }
        open.links.remove(&key);
        let Some(form) = form else { return Ok(()) };
        let wanted = settings::read(&self.configuration, configuration, &self.subjects)?;
        self.warn(actor, &wanted);
        let listening = self.listen(link, actor, form, wanted).await?;
        open.links.insert(key, listening);
        Ok(())
    }

    async fn listen(
        self: &Arc<Self>,
        link: &Link,
        actor: &Id,
        form: Form,
        wanted: Wanted,
    ) -> Result<Listening, Error> {
        let own_group = format!("exosuit.{}.{actor}.{}", self.id, link.name);
        let mut listening = Listening {
            subjects: Vec::new(),
            end: CancellationToken::new(),
            takers: TaskTracker::new(),
        };
        for Subscribe { subject, group } in &wanted.subscriptions {
            let group = group.in_link(&own_group);
            let subscription = self.lattice.subscribe(subject, group).await?;
            let listener = Listener {
                provider: self.id.clone(),
                actor: actor.clone(),
                contract: link.contract.clone(),
                link: link.name.clone(),
                form,
                limits: wanted.limits,
                deliver: self.deliver.clone(),
                observe: Arc::clone(&self.observe),
            };
            let (end, running) = (listening.end.clone(), self.running.clone());
            listening
                .takers
                .spawn(listener.listen(subscription, end, running));
            listening.subjects.push(match group {
                Some(group) => format!("{subject} ({group})"),
                None => subject.clone(),
            });
        }
        Ok(listening)
    }

    /// Says in the actor's log what is not done for it.
    fn warn(&self, actor: &Id, wanted: &Wanted) {
        if wanted.passed_over.is_empty() {
            return;
        }
        let settings = wanted.passed_over.join(", ");
        self.observe.observe(Notice::Log {
            actor: actor.clone(),
            level: LogLevel::Warning,
            text: format!(
                "messaging: {settings} of the link is passed over, messages go by the host's own lattice"
            ),
        });
    }
}

impl Listening {
    /// Whether one of its subscriptions has ended by itself.
    fn is_deaf(&self) -> bool {
        self.takers.len() < self.subjects.len()
    }

    /// Takes no more messages: when this ends, none is sent here that nobody takes.
    async fn ended(self) {
        self.end.cancel();
        self.takers.close();
        self.takers.wait().await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl Form {
    /// What an actor gets: nothing, or a message that answers its own.
    fn write(self, answer: Option<Message>) -> Result<Reply, Error> {
        match self {
            Self::Wasmbus => wasmbus::write(answer).map(Reply::Bytes),
            Self::Wit => Ok(Reply::Value(wit::write(answer))),
        }
    }

    /// The call that a message is for an actor.
    fn call(self, message: Message) -> Result<(&'static str, Payload), Error> {
        match self {
            Self::Wasmbus => Ok((wasmbus::HANDLE, wasmbus::message(message)?.into())),
            Self::Wit => Ok((wit::HANDLE, Payload::Values(vec![wit::message(message)]))),
        }
    }
}
