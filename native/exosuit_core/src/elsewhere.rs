//! Other hosts, as far as calls go: what is called there, and what they may call here.

use std::sync::Arc;

use crate::{Answer, Contract, Id, Invocation, Link};

/// The other hosts of the lattice. The router hands them what it has no target for, and tells them
/// whom it can serve: one change after the other, so none may block, or call the router in turn.
pub trait Elsewhere: Send + Sync {
    /// Starts a call to what runs on another host: nothing happens before the answer is polled.
    fn deliver(&self, call: Outgoing) -> Answer;

    /// From now on this can be called here, by each of its names. Again for the same id: in the
    /// place of what was.
    fn serve(&self, local: Local);

    /// This can be called here no more. What runs goes on to its end.
    fn withdraw(&self, id: &Id);
}

/// A call to what runs on another host. The router has checked whatever is known here.
#[derive(Debug)]
pub struct Outgoing {
    /// The call. Its origin is of this host, by its id.
    pub invocation: Invocation,
    /// The public key of the origin, `M…` or `V…`, if it has one besides its id.
    pub origin_key: Option<Id>,
    /// Where it goes.
    pub to: Destination,
}

/// Where a call to another host goes.
#[derive(Debug, Clone)]
pub enum Destination {
    /// To an actor, by public key or id.
    Actor(Id),
    /// To whoever the link leads to, a provider or an actor, by public key or id.
    Linked(Arc<Link>),
}

/// What a host can serve to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// Its id on this host.
    pub id: Id,
    /// Its public key, `M…` or `V…`, if it has one besides its id.
    pub key: Option<Id>,
    /// What a provider implements; none for an actor.
    pub contracts: Option<Vec<Contract>>,
}
