//! Messaging: actors publish and request, and are called with the messages on the subjects of their links.
//!
//! - `wasmbus` and `wit` are the two `form`s of the contract. In both, an actor makes a `request`.
//! - `settings` reads what a link asks for, `subjects` decides which subjects actors may use.
//! - `listener` brings the messages of one subscription to an actor.
//!
//! # The life of a subscription
//!
//! 1. `prepare` reads the settings of the link, and subscribes to the subjects that are new.
//! 2. `switch` stops the old handlers, takes their subscriptions back, and starts new handlers for
//!    all that is wanted. A subject that stays keeps its subscription with the messages that wait
//!    in it.
//! 3. A `listener` takes messages one by one, and calls the actor for each, at most `max_in_flight`
//!    at a time.
//! 4. `unlink` and `stop` end the handlers. Running calls finish within their timeout.
//!
//! # Failures
//!
//! | what happens | effect |
//! |---|---|
//! | the actor fails or is not there | the message is gone; the failure is reported |
//! | messages come faster than they are handled | 4,096 wait, 16 MiB at most; then they are lost and counted |
//! | the lattice is away | subscriptions survive; messages of that time are lost |
//! | a subscription ends | the health check fails with `io`, and the provider is restarted |

mod form;
mod listener;
mod request;
mod settings;
mod subjects;
pub(crate) mod wasmbus;
mod wit;

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::sync::{Arc, Weak};
use std::time::Instant;

use exosuit_core::{
    Answer, Capability, CapabilityCall, Code, Configuration, Contract, Deliver, Done, Error, Id,
    Lattice, Link, LinkKey, MESSAGING, Message, Observe, Payload, Pending, Prepared, Subscription,
};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Surroundings, message};
use form::Form;
use listener::Listener;
use request::Request;
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
/// [`MESSAGING`] lists them: of a link, at the provider's end, or of the provider for all its links.
///
/// One subscriber of each group gets each message. If a subscription names no group, it is in a
/// group of its link, so that the hosts of a lattice share the messages. (wasmCloud hosts have no
/// such group: each host would handle all messages.) If a subscriber is too slow, at most 4096
/// messages and 16 MiB wait for it. Further messages are lost, and their number is reported.
///
/// # Subjects
///
/// Actors may not use the subjects by which hosts are called and commanded: `wasmbus`, `exosuit`,
/// `wadm`, all subjects that begin with `$`, and the prefixes that the host's operator chose
/// instead. They may not subscribe to the answers of others (`_INBOX`), or to wildcards that match
/// any of these.
pub struct Messaging {
    contracts: Vec<Contract>,
    shared: Arc<MessagingShared>,
}

/// Shared with the futures of changes and with the handlers.
struct MessagingShared {
    id: Id,
    configuration: Configuration,
    lattice: Arc<dyn Lattice>,
    deliver: Weak<dyn Deliver>,
    observe: Arc<dyn Observe>,
    /// Which subjects actors may use.
    subjects: Subjects,
    /// The links that are listened for. Asynchronous, because it is held from `prepare` to
    /// `switch`.
    open: Arc<Mutex<OpenLinks>>,
    /// The messages that are handled now.
    running: TaskTracker,
}

/// The links that are listened for.
#[derive(Default)]
struct OpenLinks {
    links: BTreeMap<Key, Listening>,
    is_stopped: bool,
}

/// The key of a link, with the actor: that of a link from a provider does not name its target.
type Key = (LinkKey, Id);

/// The listeners of a link, until this is dropped.
#[derive(Default)]
struct Listening {
    end: CancellationToken,
    /// The handlers of messages, by subscription.
    takers: HashMap<Subject, JoinHandle<Subscription>>,
}

/// A subject, and the group that shares its messages.
type Subject = (String, Option<String>);

/// A link that is ready to be switched to. `fresh` holds the subscriptions that it does not have
/// yet. Dropping it ends those, and the former ones go on.
struct PreparedLink {
    shared: Arc<MessagingShared>,
    open: OwnedMutexGuard<OpenLinks>,
    key: Key,
    form: Form,
    wanted: Wanted,
    fresh: HashMap<Subject, Subscription>,
}

/// The interface of the contract that components have and this provider calls.
const HANDLER: &str = "handler";

impl Messaging {
    /// A provider without a link yet.
    ///
    /// # Errors
    ///
    /// `invalid_link` or `denied` for settings that no link could be served with.
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
            contracts: MESSAGING.contracts(),
            shared: Arc::new(MessagingShared {
                id,
                configuration,
                lattice,
                deliver,
                observe,
                subjects,
                open: Arc::default(),
                running: TaskTracker::new(),
            }),
        }))
    }

    /// Decodes a request of an actor, in the form that its name tells.
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

    /// The form in which the actor of a link is called; `None` if it is not called at all.
    fn form(&self, link: &Link) -> Result<Option<Form>, Error> {
        let contract = &self.contracts[0];
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

    /// The form of a link whose settings are where they belong.
    fn checked_form(&self, link: &Link) -> Result<Option<Form>, Error> {
        MESSAGING.check_link(&self.shared.id, link)?;
        self.form(link)
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
            let mut subjects: Vec<_> = listening.takers.keys().map(describe).collect();
            subjects.sort_unstable();
            let lines = subjects
                .iter()
                .map(|subject| format!("{subject} → {actor}"));
            lines.collect::<Vec<_>>()
        };
        open.links.iter().flat_map(each).collect()
    }

    fn prepare(&self, link: Arc<Link>) -> Pending<Prepared> {
        let (shared, form) = (Arc::clone(&self.shared), self.checked_form(&link));
        Box::pin(async move { shared.prepare(&link, form?).await })
    }

    // By its settings alone: a subscription would take messages from those who share its group.
    fn check(&self, link: Arc<Link>) -> Done {
        let shared = &self.shared;
        let wanted = self.checked_form(&link).and_then(|_form| {
            let own = link.seen_from(&shared.id).0;
            settings::read(&shared.configuration, own, &shared.subjects)
        });
        Box::pin(ready(wanted.map(drop)))
    }

    fn warnings(&self, link: &Link) -> Vec<String> {
        let id = &self.shared.id;
        let mut warnings = MESSAGING.check_link(id, link).unwrap_or_default();
        let own = link.seen_from(id).0;
        if let (Ok(None), Some(key)) = (self.form(link), settings::subscribing_key(own)) {
            warnings.push(format!(
                "setting {key} has no effect on a link to {id} that names interfaces: nothing is \
                 heard; put it at the provider's end of a link from {id} to the component, with \
                 the interface {HANDLER}"
            ));
        }
        warnings
    }

    fn unlink(&self, link: Arc<Link>) -> Done {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let (_, actor) = link.seen_from(&shared.id);
            let key = (link.key(), actor.clone());
            let ended = shared.open.lock().await.links.remove(&key);
            if let Some(listening) = ended {
                drop(listening.ended().await);
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
            shared.stop().await;
            shared.running.close();
            shared.running.wait().await;
            Ok(())
        })
    }

    fn stop(&self) -> Done {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            shared.stop().await;
            Ok(())
        })
    }
}

/// A subscription for people: `orders.* (workers)`.
fn describe((subject, group): &Subject) -> String {
    match group {
        Some(group) => format!("{subject} ({group})"),
        None => subject.clone(),
    }
}

impl MessagingShared {
    /// The health: the lattice is there, and no handler has ended by itself.
    async fn check(&self) -> Result<(), Error> {
        self.lattice.check()?;
        let open = self.open.lock().await;
        let Some((_, deaf)) = open.links.iter().find(|(_, it)| it.is_deaf()) else {
            return Ok(());
        };
        let detail = format!(
            "the subscriptions to {} have ended",
            deaf.subjects().join(", ")
        );
        Err(Error::new(Code::Io, detail))
    }

    /// Publishes, or asks and waits for the answer, after the subjects are checked.
    ///
    /// # Errors
    ///
    /// `denied` or `invalid_input` for a subject, and those of the lattice: `unavailable`,
    /// `deadline`.
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

    /// Listens to what is new before it stops listening to what was there.
    async fn prepare(self: Arc<Self>, link: &Link, form: Option<Form>) -> Result<Prepared, Error> {
        let (configuration, actor) = link.seen_from(&self.id);
        let key = (link.key(), actor.clone());
        let mut open = Arc::clone(&self.open).lock_owned().await;
        if open.is_stopped {
            let detail = "the messaging provider is stopped";
            return Err(Error::new(Code::Unavailable, detail));
        }
        let wanted = settings::read(&self.configuration, configuration, &self.subjects)?;
        let Some(form) = form else {
            return Ok(Prepared::new(async move {
                open.links.remove(&key);
            }));
        };
        let fresh = self.subscribe(&wanted, &key, open.links.get(&key)).await?;
        let ready = PreparedLink {
            shared: self,
            open,
            key,
            form,
            wanted,
            fresh,
        };
        Ok(Prepared::new(ready.switch()))
    }

    /// The subscriptions of a link that it does not have already.
    async fn subscribe(
        &self,
        wanted: &Wanted,
        key: &Key,
        before: Option<&Listening>,
    ) -> Result<HashMap<Subject, Subscription>, Error> {
        let mut fresh = HashMap::new();
        for subject in self.subjects_of(wanted, key) {
            if before.is_none_or(|before| !before.listens_to(&subject)) {
                let (name, group) = &subject;
                let subscription = self.lattice.subscribe(name, group.as_deref()).await?;
                fresh.insert(subject, subscription);
            }
        }
        Ok(fresh)
    }

    /// The subjects with their groups. A subscription without a group gets one of its link and
    /// actor, so that hosts share its messages.
    fn subjects_of(&self, wanted: &Wanted, (link, actor): &Key) -> Vec<Subject> {
        let own_group = format!("exosuit.{}.{actor}.{}", self.id, link.name);
        let subject = |it: &Subscribe| {
            let group = it.group.in_link(&own_group).map(str::to_owned);
            (it.subject.clone(), group)
        };
        wanted.subscriptions.iter().map(subject).collect()
    }

    /// Ends all handlers, and refuses new links.
    async fn stop(&self) {
        let mut open = self.open.lock().await;
        open.is_stopped = true;
        open.links.clear();
    }
}

impl PreparedLink {
    /// A subscription that stays goes over with what waits in it: nothing is lost, nothing doubled.
    async fn switch(mut self) {
        let before = self.open.links.remove(&self.key).unwrap_or_default();
        let mut subscriptions = before.ended().await;
        subscriptions.extend(std::mem::take(&mut self.fresh));
        let mut listening = Listening::default();
        for subject in self.shared.subjects_of(&self.wanted, &self.key) {
            if let Some(subscription) = subscriptions.remove(&subject) {
                let (end, running) = (listening.end.clone(), self.shared.running.clone());
                let taking = self.listener().listen(subscription, end, running);
                listening.takers.insert(subject, tokio::spawn(taking));
            }
        }
        self.open.links.insert(self.key, listening);
    }

    /// The handler of the link's messages.
    fn listener(&self) -> Listener {
        let (link, actor) = &self.key;
        Listener {
            provider: self.shared.id.clone(),
            actor: actor.clone(),
            contract: link.contract.clone(),
            link: link.name.clone(),
            form: self.form,
            limits: self.wanted.limits,
            deliver: self.shared.deliver.clone(),
            observe: Arc::clone(&self.shared.observe),
        }
    }
}

impl Listening {
    /// For people.
    fn subjects(&self) -> Vec<String> {
        let mut subjects: Vec<_> = self.takers.keys().map(describe).collect();
        subjects.sort_unstable();
        subjects
    }

    /// Whether it has this subscription, which has not ended by itself.
    fn listens_to(&self, subject: &Subject) -> bool {
        let taker = self.takers.get(subject);
        taker.is_some_and(|taker| !taker.is_finished())
    }

    /// Whether one of its subscriptions has ended by itself.
    fn is_deaf(&self) -> bool {
        self.takers.values().any(JoinHandle::is_finished)
    }

    /// Takes no more messages; gives the subscriptions, with what waits in them. Dropped, none is
    /// sent here that nobody takes.
    async fn ended(mut self) -> HashMap<Subject, Subscription> {
        self.end.cancel();
        let mut subscriptions = HashMap::new();
        for (subject, taker) in self.takers.drain() {
            if let Ok(subscription) = taker.await {
                subscriptions.insert(subject, subscription);
            }
        }
        subscriptions
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.end.cancel();
    }
}
