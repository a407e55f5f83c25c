//! The router: its public functions, and the way of a call ([`Router::carry`]).
//!
//! # The life of a call
//!
//! `carry` counts the call as running, and then does three things.
//!
//! 1. `admit` loops: decide, take a slot, find the running publication. A call that had to wait
//!    starts the loop anew, because a link or a claim may have been taken away while it waited. A
//!    slot that it holds already is kept, if the new decision names the same actor.
//! 2. `lend` moves the slot and the counts into the response, if that response streams. Otherwise
//!    they would end as soon as the head of the response is there.
//! 3. `Destination::deliver` waits for the answer, until the deadline of the call or the end of its
//!    target.
//!
//! | it ends with | when |
//! |---|---|
//! | `depth` | it is nested deeper than `Options::max_depth` |
//! | `unavailable` | the host drains, the actor did not start in time, or too many wait for it |
//! | `unavailable` | no provider serves the link, or it has not taken the link |
//! | `unknown_target` | nobody has the name, or several actors have it that differ |
//! | `missing_link`, `missing_claim`, `expired_claims` | the decision refused it |
//! | `overloaded` | all slots are used, and the queue is full or the call is nested |
//! | `deadline` | its time is over, whether it waits or runs |
//! | `dropped` | the actor or the provider was stopped while it ran |
//!
//! All other errors come from the target itself. A caller that drops the answer drops the call: the
//! slot, the place in the queue and the counts are given back by their destructors.
//!
//! # Streams
//!
//! The head of an HTTP response arrives long before its body ends. The call counts as running until
//! both the body and the guest's work have ended, so the producer of the body holds a `Lease` with
//! the slot, the publication and the count. A body that fails later is observed like a failed call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use exosuit_core::{
    Answer, Body, Capability, CapabilityCall, Code, Context, Contract, Deliver, Error, Id,
    Identity, Invocation, Lease, Link, Local, Notice, Observe, Origin, Outgoing, Payload, Reply,
    Target, bounded,
};
use http_body_util::BodyExt;
use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use crate::actor::{Actor, Running};
use crate::admission::Permit;
use crate::changes::Changes;
use crate::in_flight::InFlightCalls;
use crate::keyed_lock::KeyedLocks;
use crate::provider::Provider;
use crate::route::{Departure, Reach, Route};
use crate::table::{Builtin, Table};
use crate::{ActorLimits, ActorState, Options, Publication, refusal};

/// The actors and providers that were announced to the other hosts.
pub(crate) type Announced = HashMap<Id, Local>;

/// The table of one host, and the one way of its calls.
///
/// The router and its providers hold each other, because providers call actors. Therefore a host
/// that ends deletes its providers.
///
/// Functions that return no future never wait for an actor, a provider or another host.
///
/// Dropping the last `Arc` while calls run is impossible, because each call holds one.
pub struct Router {
    /// A weak reference to itself, for futures that outlive the borrow.
    pub(crate) me: Weak<Self>,
    pub(crate) options: Options,
    /// Gets a notice of each failed call and each refused link. It is called outside of all locks.
    pub(crate) observe: Arc<dyn Observe>,
    /// Calls only read it. Changes hold it for a look-up, never across an await.
    pub(crate) table: RwLock<Table>,
    /// Put the changes of one link or provider in order. Calls never take them.
    pub(crate) locks: KeyedLocks,
    /// The puts of links that a deletion must still be able to cancel.
    pub(crate) changes: Arc<Changes>,
    /// The calls that run or wait. Shared, because streamed responses outlive `carry`.
    pub(crate) in_flight: Arc<InFlightCalls>,
    /// The last announcement of each id. Its lock is held while announcements are sent.
    pub(crate) announced: Mutex<Announced>,
    /// The number of the next registration of a provider. It starts at 1, as 0 means "no provider".
    numbers: AtomicU64,
}

impl Router {
    /// An empty router.
    ///
    /// `observe` is called on the threads that carry calls, so it must neither block nor call the
    /// router.
    pub fn new(options: Options, observe: Arc<dyn Observe>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            options,
            observe,
            table: RwLock::default(),
            locks: KeyedLocks::default(),
            changes: Arc::default(),
            in_flight: Arc::default(),
            announced: Mutex::default(),
            numbers: AtomicU64::new(1),
        })
    }

    /// Creates the entry of an actor: calls to it wait from now on. If there is one, changes its
    /// limits at once. An id that is the name of something else is a conflict.
    ///
    /// The actor does not run yet. A call to it waits for [`Options::restart_wait`], until
    /// [`Self::publish_actor`] is called or [`Self::fail_actor`] says why it will not be.
    ///
    /// # Errors
    ///
    /// `conflict`, if the id is the id or the key of a provider on this host.
    pub fn specify_actor(&self, id: Id, limits: ActorLimits) -> Result<(), Error> {
        self.table.write().specify(id, limits)
    }

    /// Removes an actor with its names. Running calls are dropped, waiting ones refused. Its links
    /// stay.
    ///
    /// Running calls end with `dropped`. Waiting calls are decided anew, and then fail with
    /// `unknown_target` unless another target has the name. An unknown id changes nothing.
    pub fn forget_actor(&self, id: &Id) {
        let forgotten = self.table.write().forget(id);
        self.announce(id);
        if let Some(entry) = forgotten {
            entry.actor.forgotten.cancel();
        }
    }

    /// Removes an actor at once, and lets its calls finish. New calls do not reach it, and waiting
    /// ones are refused. The future ends when the running calls have finished, or after `grace`,
    /// which drops the rest. The publication must live until then.
    ///
    /// Until then the actor may still call others by its own links and claims: a request that
    /// finishes usually needs its store. Calls that still run after `grace` end with `dropped`.
    ///
    /// The actor is retired when this function is called, not when the future is polled. If the
    /// future is dropped, the running calls are not ended by it.
    pub fn retire_actor(
        &self,
        id: &Id,
        grace: Duration,
    ) -> impl Future<Output = ()> + Send + use<> {
        let retired = self.table.write().retire(id);
        self.announce(id);
        let actor = retired.map(|(actor, _before)| actor);
        if let Some(actor) = &actor {
            actor.closed.cancel();
        }
        let me = self.me.clone();
        async move {
            let (Some(actor), Some(router)) = (actor, me.upgrade()) else {
                return;
            };
            let _late = tokio::time::timeout(grace, actor.admission.idle()).await;
            let _ended = router.table.write().end_retired(&actor);
            actor.forgotten.cancel();
        }
    }

    /// Refuses waiting and later calls to an actor with this error until it is published. The host
    /// has given up starting it.
    ///
    /// Calls that wait for the actor end at once with this error. The other hosts are told that it
    /// is not here any more. A later publication takes the failure back.
    pub fn fail_actor(&self, id: &Id, error: Error) {
        if let Some(actor) = self.actor(id) {
            actor.fail(error);
            self.announce(id);
        }
    }

    /// Serves the calls to an actor by `target` from now on. Calls in a former publication continue
    /// until that is retracted.
    ///
    /// The actor must be specified, and its public key must be its own. A call alias of another
    /// actor, or a link that its claims do not allow, is observed and does not prevent the
    /// publication.
    ///
    /// # Errors
    ///
    /// | code | reason |
    /// |---|---|
    /// | `unknown_target` | the actor was not specified, or was forgotten in the meantime |
    /// | `invalid_claims` | the id has the form of a public key, and the token has another key |
    /// | `conflict` | an actor of another issuer has the key or the alias, or the key is a provider's name |
    ///
    /// After an error the former publication serves as before, and `target` is dropped.
    pub fn publish_actor(
        &self,
        id: &Id,
        identity: Identity,
        target: Arc<dyn Deliver>,
    ) -> Result<Publication, Error> {
        self.publish(id, None, identity, target)
    }

    /// Publishes code of a lineage, see [`Self::publish_actor`]. Links that are bound to another
    /// lineage have no effect from now on. A refused publication leaves the lineage unchanged.
    ///
    /// The text is compared, never parsed. The control plane builds it from the issuer and the
    /// public key of signed code, so an update by the same signer keeps its links.
    pub fn publish_lineage(
        &self,
        id: &Id,
        lineage: &str,
        identity: Identity,
        target: Arc<dyn Deliver>,
    ) -> Result<Publication, Error> {
        self.publish(id, Some(lineage), identity, target)
    }

    /// Notices are sent after the lock is released. The former publication is dropped there, too:
    /// if no call holds it, dropping it unmaps its code.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a target that is refused is dropped here, outside of the lock"
    )]
    fn publish(
        &self,
        id: &Id,
        lineage: Option<&str>,
        identity: Identity,
        target: Arc<dyn Deliver>,
    ) -> Result<Publication, Error> {
        let published = self.table.write().publish(id, lineage, identity, &target)?;
        drop(published.before);
        self.announce(id);
        if let Some((alias, error)) = published.refused_alias {
            let actor = id.clone();
            self.observe.observe(Notice::AliasRefused {
                actor,
                alias,
                error,
            });
        }
        for (link, error) in &published.refused_links {
            self.observe_refused_link(link, error);
        }
        self.warn_of_links_of(id);
        Ok(published.publication)
    }

    /// Ends a publication and drops its calls. If no other one has followed, later calls wait for
    /// the next one.
    ///
    /// The calls that run in it end with `dropped`. Retracting a publication that was superseded
    /// does not touch its successor. Retracting it twice is harmless.
    pub fn retract_actor(&self, publication: &Publication) {
        let entry = self.actor(&publication.id);
        let _ended = entry.and_then(|actor| actor.retract(publication.generation));
        self.announce(&publication.id);
        // Last, so that a caller that tries again at once does not reach this publication again.
        publication.stopped.cancel();
    }

    /// Ends a publication that another one has followed: when its calls have finished, or after
    /// `grace`, which drops the rest.
    ///
    /// The caller publishes the successor first, so that there is no moment without one. New calls
    /// then go to the successor, and this one only finishes its own.
    pub fn supersede_actor(
        &self,
        publication: &Publication,
        grace: Duration,
    ) -> impl Future<Output = ()> + Send + use<> {
        let publication = publication.clone();
        let me = self.me.clone();
        async move {
            let _late = tokio::time::timeout(grace, publication.finished.cancelled()).await;
            if let Some(router) = me.upgrade() {
                router.retract_actor(&publication);
            }
        }
    }

    /// Registers a capability that needs a claim and no link.
    ///
    /// Logging and random numbers are such capabilities. A former capability of the contract is
    /// replaced; calls that run in it continue.
    pub fn set_builtin(&self, contract: Contract, capability: Arc<dyn Capability>) {
        let name = contract.as_str().to_owned();
        let builtin = Builtin {
            contract,
            capability,
        };
        let _before = self.table.write().builtins.insert(name, builtin);
    }

    /// Refuses new calls from outside. Running calls continue, with the calls that they make.
    ///
    /// The refusal is `unavailable`. A call from outside is one that is not nested in another, from
    /// any origin. There is no way back: a host that should serve again creates another router.
    pub fn drain(&self) {
        self.in_flight.drain();
        self.withdraw();
    }

    /// Waits until no call runs.
    ///
    /// Calls that wait for a slot count, and so do responses that still stream. Without a
    /// [`Self::drain`] before it, new calls may start as soon as this returns.
    pub async fn idle(&self) {
        self.in_flight.idle().await;
    }

    /// The number of calls that run or wait, nested ones included.
    ///
    /// An HTTP call counts twice while it is delivered: once as a call, and once for its response.
    pub fn in_flight(&self) -> usize {
        self.in_flight.count()
    }

    /// The actors that are specified.
    ///
    /// Retired actors are not among them. The order is arbitrary.
    pub fn actors(&self) -> Vec<ActorState> {
        self.table.read().inventory()
    }

    /// The links that are in force, or wait for their ends.
    ///
    /// Links that are being deleted are not among them. [`Self::link_states`] also returns what
    /// became of each.
    pub fn links(&self) -> Vec<Arc<Link>> {
        let table = self.table.read();
        let links = table.links.all().filter(|linked| !linked.is_revoked());
        links.map(|linked| Arc::clone(&linked.link)).collect()
    }

    /// The running providers, with the contracts that they implement.
    ///
    /// Providers that are being deleted are not among them.
    pub fn providers(&self) -> Vec<(Id, Vec<Contract>)> {
        let table = self.table.read();
        let providers = table.providers.all();
        let providers = providers.filter(|provider| !provider.is_revoked());
        providers
            .map(|provider| (provider.id.clone(), provider.contracts.clone()))
            .collect()
    }

    /// The router as an `Arc`, for tasks.
    ///
    /// # Panics
    ///
    /// Never: `new` returns an `Arc`, and `&self` keeps it alive.
    pub(crate) fn shared(&self) -> Arc<Self> {
        self.me
            .upgrade()
            .expect("a router lives in an Arc for as long as it can be borrowed")
    }

    /// A number that no registration had before.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The entry of an actor that takes calls. The lock of the table is released with the return.
    fn actor(&self, id: &Id) -> Option<Arc<Actor>> {
        let table = self.table.read();
        table.actors.get(id).map(|entry| Arc::clone(&entry.actor))
    }

    /// The way of every call: admit it, deliver it, and observe a failure.
    ///
    /// `reach` says how far it may go. The function holds the count of running calls for its whole
    /// time, and observes at most one failure per call.
    ///
    /// Every failed admission is observed, at any depth, because it says what to change in a link
    /// or in claims. A failed delivery is observed only for the outermost call.
    pub(crate) async fn carry(&self, mut call: Invocation, reach: Reach) -> Result<Reply, Error> {
        let _in_flight = self.in_flight.enter();
        let destination = match self.admit(&mut call, reach).await {
            Ok(destination) => destination,
            Err(error) => {
                self.observe.observe(Label::of(&call).failed(&error));
                return Err(error);
            }
        };
        // Only the outermost failure is observed: a nested call fails to a caller of ours, which
        // answers for it.
        let label = (call.context.depth == 0).then(|| Label::of(&call));
        let destination = self.lend(destination, &mut call);
        let answer = destination.deliver(call).await;
        match (answer, label) {
            (Ok(Reply::Http(response)), Some(label)) => Ok(Reply::Http(Box::new(
                response.map(|body| self.watched(body, label)),
            ))),
            (Err(error), Some(label)) => {
                self.observe.observe(label.failed(&error));
                Err(error)
            }
            (answer, _) => answer,
        }
    }

    /// Gives the resources of a call to its response if that streams: the slot in the actor, the
    /// publication, and the count of running calls. They last until the end of the response.
    ///
    /// A streamed request whose client may be slow has `waits`. Its slot is attached there weakly,
    /// so that the body can lend the slot while it waits, and cannot keep it after the call has
    /// ended.
    fn lend(&self, destination: Destination, call: &mut Invocation) -> Destination {
        let Payload::Http(exchange) = &mut call.payload else {
            return destination;
        };
        let in_flight = self.in_flight.enter_long();
        match destination {
            Destination::Actor(running, permit) => {
                let stopped = running.stopped.clone();
                let held = (in_flight, Arc::clone(&running));
                exchange.lease = match (exchange.lease.waits.take(), permit) {
                    (Some(waits), Some(permit)) => {
                        let permit = Arc::new(permit);
                        let place: Weak<Permit> = Arc::downgrade(&permit);
                        waits.attach(place);
                        Lease::new(stopped, (held, permit))
                    }
                    (_, permit) => Lease::new(stopped, (held, permit)),
                };
                Destination::Actor(running, None)
            }
            Destination::Provider(provider, link) => {
                exchange.lease = Lease::new(provider.stopped.clone(), in_flight);
                Destination::Provider(provider, link)
            }
            Destination::Builtin(capability) => {
                exchange.lease = Lease::new(CancellationToken::new(), in_flight);
                Destination::Builtin(capability)
            }
            Destination::Elsewhere(departure) => {
                exchange.lease = Lease::new(CancellationToken::new(), in_flight);
                Destination::Elsewhere(departure)
            }
        }
    }

    /// A body that observes a failure while it streams.
    ///
    /// Only the first failure is observed. The error itself is passed on unchanged.
    fn watched(&self, body: Body, label: Label) -> Body {
        let observe = Arc::clone(&self.observe);
        let mut label = Some(label);
        body.map_err(move |error| {
            if let Some(label) = label.take() {
                observe.observe(label.failed(&error));
            }
            error
        })
        .boxed()
    }

    /// Decides on a call, and waits for a slot in the actor and for the actor to run, as far as it
    /// may. The call is decided again after each wait. The limits of the actor may shorten its
    /// deadline.
    ///
    /// Three values live across the rounds of the loop:
    ///
    /// - `held` is the slot that a wait has gained. It is dropped if the next decision goes to
    ///   another actor.
    /// - `patience` is the end of the wait for a restart. It is set once, so that an actor that
    ///   crashes over and over cannot hold a call longer than `restart_wait` in all.
    /// - `arrived` is the time from which the actor's own deadline counts. It includes the waits.
    ///
    /// The loop ends, because each round either returns or waits for something that is bounded by
    /// the deadline of the call.
    async fn admit(&self, call: &mut Invocation, reach: Reach) -> Result<Destination, Error> {
        self.refuse_by_context(call.context)?;
        let mut held: Option<Permit> = None;
        let mut patience = None;
        let mut arrived = None;
        loop {
            let route = self.table.read().decide(call, reach, &self.options.clock)?;
            let (actor, running) = match route {
                Route::Provider(provider, link) => {
                    return Ok(Destination::Provider(provider, link));
                }
                Route::Builtin(capability) => return Ok(Destination::Builtin(capability)),
                Route::Elsewhere(departure) => return Ok(Destination::Elsewhere(departure)),
                Route::Actor(actor, running) => (actor, running),
            };
            let place = &actor.admission;
            if let Some(longest) = place.deadline() {
                // The clock is read only here, and once: most actors have no limit for their
                // callers' deadlines.
                let arrived = *arrived.get_or_insert_with(Instant::now);
                let latest = arrived.checked_add(longest);
                let deadline = &mut call.context.deadline;
                *deadline = latest.map_or(*deadline, |latest| latest.min(*deadline));
            }
            let permit = held.take().filter(|permit| permit.is_of(place));
            let Some(permit) = permit.or_else(|| place.try_enter()) else {
                held = queue(&actor, call.context).await?;
                continue;
            };
            let Some(running) = running else {
                let wait = self.options.restart_wait;
                let until = *patience.get_or_insert_with(|| Instant::now() + wait);
                self.await_restart(&actor, until, call.context).await?;
                held = Some(permit);
                continue;
            };
            return Ok(Destination::Actor(running, Some(permit)));
        }
    }

    /// The hosts that calls from this host may reach. A host that stops prefers its own targets.
    ///
    /// Its own subjects are unsubscribed when it stops, so a call that left it for one of its own
    /// actors might find nobody.
    fn reach(&self) -> Reach {
        if self.options.local_first || self.in_flight.is_withdrawn() {
            Reach::HereFirst
        } else {
            Reach::Anywhere
        }
    }

    /// Refuses a call that is nested too deeply, or that comes from outside while the host stops.
    ///
    /// Nested calls pass while the host drains: without them the running calls could not finish.
    fn refuse_by_context(&self, context: Context) -> Result<(), Error> {
        let max = self.options.max_depth;
        match context.depth {
            0 if self.in_flight.is_draining() => Err(refusal::stopping()),
            depth if depth > max => Err(refusal::too_deep(depth, max)),
            _ => Ok(()),
        }
    }

    /// Waits until the actor runs, fails or is removed.
    ///
    /// Returns `Ok` in two cases: the actor runs, or it was removed. The caller decides anew in
    /// both, and a removal then shows as an unknown target.
    ///
    /// # Errors
    ///
    /// `unavailable` if `max_restart_waiters` calls wait already, or at `until`; the failure of the
    /// actor if its host gave it up; `deadline` if the call's own deadline comes first.
    async fn await_restart(
        &self,
        actor: &Actor,
        until: Instant,
        context: Context,
    ) -> Result<(), Error> {
        let max = self.options.max_restart_waiters;
        let Some(_patient) = actor.patient.enter(max) else {
            return Err(refusal::crowded(&actor.id, max));
        };
        let published = async {
            tokio::select! {
                () = actor.published() => Ok(()),
                error = actor.failed() => Err(error),
            }
        };
        let until = until.min(context.deadline);
        match bounded(published, until, Some(&actor.closed)).await {
            Err(error) if error.code == Code::Dropped => Ok(()),
            Err(error) if error.code == Code::Deadline && until < context.deadline => {
                Err(refusal::not_running(&actor.id))
            }
            result => result,
        }
    }
}

impl Deliver for Router {
    fn deliver(&self, invocation: Invocation) -> Answer {
        let router = self.shared();
        Box::pin(async move {
            let reach = router.reach();
            router.carry(invocation, reach).await
        })
    }
}

/// Waits for a slot in an actor. Returns `None` if the actor is removed in the meantime.
///
/// # Errors
///
/// `overloaded` if the call is nested, or if the queue is full. `deadline` if no slot is free in
/// time.
async fn queue(actor: &Actor, context: Context) -> Result<Option<Permit>, Error> {
    let overloaded = |why| {
        let instances = actor.admission.limits().instances;
        refusal::overloaded(&actor.id, instances, why)
    };
    // Nested calls that wait for each other in a circle would wait until their deadlines.
    if context.depth > 0 {
        return Err(overloaded("and a call inside another does not wait"));
    }
    let queued = actor.admission.try_queue();
    let queued = queued.ok_or_else(|| overloaded("and as many wait as may"))?;
    let enter = async { Ok(queued.enter().await) };
    match bounded(enter, context.deadline, Some(&actor.closed)).await {
        Err(error) if error.code == Code::Dropped => Ok(None),
        result => result.map(Some),
    }
}

/// Where an admitted call goes.
enum Destination {
    /// With its slot, unless the response has it.
    Actor(Arc<Running>, Option<Permit>),
    /// A provider, with the link that allowed the call. The capability reads its settings from it.
    Provider(Arc<Provider>, Arc<Link>),
    /// A capability without a link. Nothing but the deadline ends a call to it.
    Builtin(Arc<dyn Capability>),
    /// Another host. Only the deadline ends the wait here; the other host has its own bounds.
    Elsewhere(Box<Departure>),
}

impl Destination {
    /// Delivers the call, until its deadline or the end of its target.
    ///
    /// At the deadline the answer's future is dropped, which is how a target learns that the call
    /// has ended. `_permit` is bound to a name, not to `_`, so it lives until the answer is there.
    async fn deliver(self, invocation: Invocation) -> Result<Reply, Error> {
        let deadline = invocation.context.deadline;
        match self {
            Self::Actor(running, _permit) => {
                let answer = running.target.deliver(invocation);
                bounded(answer, deadline, Some(&running.stopped)).await
            }
            Self::Provider(provider, link) => {
                let link = Some(link);
                let answer = provider
                    .capability
                    .invoke(CapabilityCall { invocation, link });
                bounded(answer, deadline, Some(&provider.stopped)).await
            }
            Self::Builtin(capability) => {
                let link = None;
                let answer = capability.invoke(CapabilityCall { invocation, link });
                bounded(answer, deadline, None).await
            }
            Self::Elsewhere(departure) => {
                let answer = departure.elsewhere.deliver(Outgoing {
                    invocation,
                    origin_key: departure.origin_key,
                    to: departure.to,
                });
                bounded(answer, deadline, None).await
            }
        }
    }
}

/// The content of the notice of a failed call. It never holds the payload.
///
/// It is taken from the call before the call is moved into its target.
struct Label {
    origin: Origin,
    target: Target,
    operation: String,
}

impl Label {
    /// Copies what the notice needs.
    fn of(call: &Invocation) -> Self {
        Self {
            origin: call.origin.clone(),
            target: call.target.clone(),
            operation: call.operation.clone(),
        }
    }

    /// Texts of a guest are quoted and cut, because notices reach logs and terminals.
    fn failed(self, error: &Error) -> Notice {
        Notice::CallFailed {
            origin: self.origin,
            target: refusal::name(&self.target),
            operation: refusal::quote(&self.operation),
            error: error.clone(),
        }
    }
}
