//! The router and the other hosts: it announces the targets that they may call here, and takes their calls.
//!
//! The other hosts are behind the trait `Elsewhere`: `exosuit_lattice` subscribes to the subjects of the announced
//! targets, and NATS spreads calls over all hosts that announced the same name. An actor is announced from its
//! first publication on, also while it restarts, unless it was given up; a provider while it runs.
//!
//! # Order
//!
//! Two changes of one actor may happen at the same time on two threads. The other hosts must hear
//! the later state last. So the lock of the announcements is held while the table is read and while
//! the announcement is sent: whoever sends last has read last. `Elsewhere::serve` and `withdraw`
//! therefore must not call the router.

use std::sync::{Arc, Weak};

use exosuit_core::{Answer, Deliver, Elsewhere, Id, Identity, Invocation, Origin, Remote};

use crate::route::Reach;
use crate::router::Announced;
use crate::{Router, refusal};

impl Router {
    /// Sends calls without a target on this host to `elsewhere`, which replaces a former one. Announces to it
    /// the targets of this host, now and after each change.
    ///
    /// The former one is dropped outside of the lock of the table. What it announced is not
    /// withdrawn: the caller ends it.
    pub fn set_elsewhere(&self, elsewhere: Arc<dyn Elsewhere>) {
        let mut announced = self.announced.lock();
        announced.clear();
        let (before, ids) = {
            let mut table = self.table.write();
            let before = table.elsewhere.replace(elsewhere);
            let providers = table.providers.all().map(|provider| provider.id.clone());
            let ids: Vec<_> = table.actors.keys().cloned().chain(providers).collect();
            (before, ids)
        };
        drop(before);
        for id in &ids {
            self.update_announced(&mut announced, id);
        }
    }

    /// The entrance for calls from other hosts. They are never sent on to a third host.
    ///
    /// A call through it fails with `unavailable` once the router is gone. The origin that it names
    /// is always taken as a remote one: a host that claims to be a local actor gets no local
    /// rights.
    pub fn here(&self) -> Arc<dyn Deliver> {
        Arc::new(Here(self.me.clone()))
    }

    /// Stores the claims of an actor on another host, in place of earlier ones. The actor can then
    /// be called by its alias, and its claims decide what it may call here. `name` is its public
    /// key, or its id if it has none. A bounded number is kept, the latest.
    ///
    /// At most 65,536 are kept. A remote alias never takes a name away from an actor on this host.
    pub fn know(&self, name: Id, identity: Identity) {
        self.table.write().remote_claims.put(name, identity);
    }

    /// Removes the claims of an actor on another host.
    ///
    /// An unknown name changes nothing.
    pub fn forget_known(&self, name: &Id) {
        self.table.write().remote_claims.forget(name);
    }

    /// Takes no more calls from other hosts, for good. Calls that still arrive are served.
    ///
    /// The router withdraws each announcement, and makes no more. Its own calls prefer this host
    /// from now on.
    pub fn withdraw(&self) {
        self.in_flight.withdraw();
        let mut announced = self.announced.lock();
        let ids: Vec<_> = announced.keys().cloned().collect();
        for id in &ids {
            self.update_announced(&mut announced, id);
        }
    }

    /// Announces the change of an id to the other hosts, if it changes anything for them.
    pub(crate) fn announce(&self, id: &Id) {
        self.update_announced(&mut self.announced.lock(), id);
    }

    /// Compares the table with the last announcement of an id, and announces the difference. The
    /// caller holds the lock of the announcements while this reads the table, so that the last
    /// announcement is the true one.
    ///
    /// An announcement that says the same as the last one is not sent.
    fn update_announced(&self, announced: &mut Announced, id: &Id) {
        let (elsewhere, local) = {
            let table = self.table.read();
            let Some(elsewhere) = &table.elsewhere else {
                return;
            };
            let local = table.local(id).filter(|_| !self.in_flight.is_withdrawn());
            (Arc::clone(elsewhere), local)
        };
        match local {
            Some(local) if announced.get(id) == Some(&local) => {}
            Some(local) => {
                announced.insert(id.clone(), local.clone());
                elsewhere.serve(local);
            }
            None => {
                if announced.remove(id).is_some() {
                    elsewhere.withdraw(id);
                }
            }
        }
    }
}

/// The router for calls of other hosts. It is weak, because the router holds its other hosts, too.
struct Here(Weak<Router>);

impl Deliver for Here {
    fn deliver(&self, invocation: Invocation) -> Answer {
        let router = self.0.upgrade();
        Box::pin(async move {
            let router = router.ok_or_else(refusal::stopping)?;
            let origin = as_remote(invocation.origin);
            let invocation = Invocation {
                origin,
                ..invocation
            };
            router.carry(invocation, Reach::Here).await
        })
    }
}

/// The origin of a call from another host. Even an origin with the id of a local actor is a remote
/// one.
fn as_remote(origin: Origin) -> Origin {
    let (id, through) = match origin {
        Origin::Actor(id) => (id, None),
        Origin::Provider { id, contract, link } => (id, Some((contract, link))),
        Origin::Host | Origin::Elsewhere(_) => return origin,
    };
    Origin::Elsewhere(Remote {
        id,
        key: None,
        through,
    })
}
