//! The router between its host and the others: what those are told, and how their calls come in.

use std::sync::{Arc, Weak};

use exosuit_core::{Answer, Deliver, Elsewhere, Id, Identity, Invocation, Origin, Remote};

use crate::route::Reach;
use crate::router::Told;
use crate::{Router, refusal};

impl Router {
    /// Has calls that find no target here go elsewhere, in the place of where they went before, and
    /// tells it what can be called here, now and whenever that changes.
    pub fn set_elsewhere(&self, elsewhere: Arc<dyn Elsewhere>) {
        let mut told = self.told.lock();
        told.clear();
        let (before, ids) = {
            let mut table = self.table.write();
            let before = table.elsewhere.replace(elsewhere);
            let providers = table.providers.all().map(|provider| provider.id.clone());
            let ids: Vec<_> = table.actors.keys().cloned().chain(providers).collect();
            (before, ids)
        };
        drop(before);
        for id in &ids {
            self.tell(&mut told, id);
        }
    }

    /// Where calls from other hosts come in. They go no further than this host.
    pub fn here(&self) -> Arc<dyn Deliver> {
        Arc::new(Here(self.me.clone()))
    }

    /// Notes the claims of an actor of another host, in the place of those noted before: by its alias
    /// it is called, and by its claims what it calls here is checked. `name` is its public key, or its
    /// id if it has none. A bounded number is kept, those heard of last.
    pub fn know(&self, name: Id, identity: Identity) {
        self.table.write().known.put(name, identity);
    }

    /// Forgets the claims of an actor of another host.
    pub fn forget_known(&self, name: &Id) {
        self.table.write().known.forget(name);
    }

    /// Takes no more calls from other hosts, for good. Those that come all the same are served.
    pub fn withdraw(&self) {
        self.flights.withdraw();
        let mut told = self.told.lock();
        let ids: Vec<_> = told.keys().cloned().collect();
        for id in &ids {
            self.tell(&mut told, id);
        }
    }

    /// Tells the other hosts what has changed about this id, if anything has.
    pub(crate) fn announce(&self, id: &Id) {
        self.tell(&mut self.told.lock(), id);
    }

    /// Held by one at a time, and reading the table anew, so that what is told last is what is so.
    fn tell(&self, told: &mut Told, id: &Id) {
        let (elsewhere, local) = {
            let table = self.table.read();
            let Some(elsewhere) = &table.elsewhere else {
                return;
            };
            let local = table.local(id).filter(|_| !self.flights.is_withdrawn());
            (Arc::clone(elsewhere), local)
        };
        match local {
            Some(local) if told.get(id) == Some(&local) => {}
            Some(local) => {
                told.insert(id.clone(), local.clone());
                elsewhere.serve(local);
            }
            None => {
                if told.remove(id).is_some() {
                    elsewhere.withdraw(id);
                }
            }
        }
    }
}

/// The router, for calls of other hosts. They hold it and it holds them: one of the two weakly.
struct Here(Weak<Router>);

impl Deliver for Here {
    fn deliver(&self, invocation: Invocation) -> Answer {
        let router = self.0.upgrade();
        Box::pin(async move {
            let router = router.ok_or_else(refusal::stopping)?;
            let origin = foreign(invocation.origin);
            let invocation = Invocation {
                origin,
                ..invocation
            };
            router.carry(invocation, Reach::Here).await
        })
    }
}

/// Whoever comes in from elsewhere is none of ours, even under the id of one of ours.
fn foreign(origin: Origin) -> Origin {
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
