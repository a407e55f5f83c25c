//! Calls to and from other hosts.

use std::sync::Arc;

use crate::{Answer, Contract, Id, Invocation, Link};

/// The other hosts of the lattice. The router sends them calls without a target on this host, and
/// announces the targets that they may call here. It announces one change at a time, so the functions must not
/// block or call the router.
pub trait Elsewhere: Send + Sync {
    /// Starts a call to another host when the answer is polled.
    fn deliver(&self, call: Outgoing) -> Answer;

    /// Announces that this can be called here by each of its names. A second call with the same id
    /// replaces the first.
    fn serve(&self, local: Local);

    /// Announces that this can no longer be called here. Running calls continue.
    fn withdraw(&self, id: &Id);
}

/// A call to another host. The router has checked everything that this host knows.
#[derive(Debug)]
pub struct Outgoing {
    /// The call. Its origin is an id of this host.
    pub invocation: Invocation,
    /// The public key of the origin, `M…` or `V…`, if it has one besides its id.
    pub origin_key: Option<Id>,
    /// The target.
    pub to: Destination,
}

/// The target of a call to another host.
#[derive(Debug, Clone)]
pub enum Destination {
    /// An actor, by public key or id.
    Actor(Id),
    /// The target of a link: a provider or an actor, by public key or id.
    Linked(Arc<Link>),
}

/// An actor or provider that other hosts may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// Its id on this host.
    pub id: Id,
    /// Its public key, `M…` or `V…`, if it has one besides its id.
    pub key: Option<Id>,
    /// The contracts of a provider; `None` for an actor.
    pub contracts: Option<Vec<Contract>>,
}
