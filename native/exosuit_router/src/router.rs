//! The router: its public functions, and the way of a call ([`Router::carry`]).

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
pub struct Router {
    pub(crate) me: Weak<Self>,
    pub(crate) options: Options,
    pub(crate) observe: Arc<dyn Observe>,
    pub(crate) table: RwLock<Table>,
    pub(crate) locks: KeyedLocks,
    pub(crate) changes: Arc<Changes>,
    pub(crate) in_flight: Arc<InFlightCalls>,
    pub(crate) announced: Mutex<Announced>,
    numbers: AtomicU64,
}

impl Router {
    /// An empty router.
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
    pub fn specify_actor(&self, id: Id, limits: ActorLimits) -> Result<(), Error> {
        self.table.write().specify(id, limits)
    }

    /// Removes an actor with its names. Running calls are dropped, waiting ones refused. Its links
    /// stay.
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
    pub fn publish_lineage(
        &self,
        id: &Id,
        lineage: &str,
        identity: Identity,
        target: Arc<dyn Deliver>,
    ) -> Result<Publication, Error> {
        self.publish(id, Some(lineage), identity, target)
    }

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
    pub fn retract_actor(&self, publication: &Publication) {
        let entry = self.actor(&publication.id);
        let _ended = entry.and_then(|actor| actor.retract(publication.generation));
        self.announce(&publication.id);
        // Last, so that a caller that tries again at once does not reach this publication again.
        publication.stopped.cancel();
    }

    /// Ends a publication that another one has followed: when its calls have finished, or after
    /// `grace`, which drops the rest.
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
    pub fn set_builtin(&self, contract: Contract, capability: Arc<dyn Capability>) {
        let name = contract.as_str().to_owned();
        let builtin = Builtin {
            contract,
            capability,
        };
        let _before = self.table.write().builtins.insert(name, builtin);
    }

    /// Refuses new calls from outside. Running calls continue, with the calls that they make.
    pub fn drain(&self) {
        self.in_flight.drain();
        self.withdraw();
    }

    /// Waits until no call runs.
    pub async fn idle(&self) {
        self.in_flight.idle().await;
    }

    /// The number of calls that run or wait, nested ones included.
    pub fn in_flight(&self) -> usize {
        self.in_flight.count()
    }

    /// The actors that are specified.
    pub fn actors(&self) -> Vec<ActorState> {
        self.table.read().inventory()
    }

    /// The links that are in force, or wait for their ends.
    pub fn links(&self) -> Vec<Arc<Link>> {
        let table = self.table.read();
        let links = table.links.all().filter(|linked| !linked.is_revoked());
        links.map(|linked| Arc::clone(&linked.link)).collect()
    }

    /// The running providers, with the contracts that they implement.
    pub fn providers(&self) -> Vec<(Id, Vec<Contract>)> {
        let table = self.table.read();
        let providers = table.providers.all();
        let providers = providers.filter(|provider| !provider.is_revoked());
        providers
            .map(|provider| (provider.id.clone(), provider.contracts.clone()))
            .collect()
    }

    /// The router as an `Arc`, for tasks.
    pub(crate) fn shared(&self) -> Arc<Self> {
        self.me
            .upgrade()
            .expect("a router lives in an Arc for as long as it can be borrowed")
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn actor(&self, id: &Id) -> Option<Arc<Actor>> {
        let table = self.table.read();
        table.actors.get(id).map(|entry| Arc::clone(&entry.actor))
    }

    /// The way of every call: admit it, deliver it, and observe a failure.
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
    fn reach(&self) -> Reach {
        if self.options.local_first || self.in_flight.is_withdrawn() {
            Reach::HereFirst
        } else {
            Reach::Anywhere
        }
    }

    /// Refuses a call that is nested too deeply, or that comes from outside while the host stops.
    fn refuse_by_context(&self, context: Context) -> Result<(), Error> {
        let max = self.options.max_depth;
        match context.depth {
            0 if self.in_flight.is_draining() => Err(refusal::stopping()),
            depth if depth > max => Err(refusal::too_deep(depth, max)),
            _ => Ok(()),
        }
    }

    /// Waits until the actor runs, fails or is removed.
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
    Provider(Arc<Provider>, Arc<Link>),
    Builtin(Arc<dyn Capability>),
    Elsewhere(Box<Departure>),
}

impl Destination {
    /// Delivers the call, until its deadline or the end of its target.
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
struct Label {
    origin: Origin,
    target: Target,
    operation: String,
}

impl Label {
    fn of(call: &Invocation) -> Self {
        Self {
            origin: call.origin.clone(),
            target: call.target.clone(),
            operation: call.operation.clone(),
        }
    }

    fn failed(self, error: &Error) -> Notice {
        Notice::CallFailed {
            origin: self.origin,
            target: refusal::name(&self.target),
            operation: refusal::quote(&self.operation),
            error: error.clone(),
        }
    }
}
