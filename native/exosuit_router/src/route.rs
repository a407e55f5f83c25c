//! Where an allowed call goes, and how far a call may go.

use std::sync::Arc;

use exosuit_core::{Capability, Destination, Elsewhere, Id, Link};

use crate::actor::{Actor, Running};
use crate::provider::Provider;

/// Where an allowed call goes.
pub(crate) enum Route {
    /// To an actor, by what runs there: nothing while it restarts.
    Actor(Arc<Actor>, Option<Arc<Running>>),
    /// To a provider, by this link.
    Provider(Arc<Provider>, Arc<Link>),
    /// To a capability that needs no link.
    Builtin(Arc<dyn Capability>),
    /// To another host. Boxed, so that the others stay small.
    Elsewhere(Box<Departure>),
}

/// How far a call may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Not beyond this host: it came from another.
    Here,
    /// To other hosts, if this one has no such target.
    HereFirst,
    /// To whichever host the lattice picks.
    Anywhere,
}

/// An allowed call that leaves this host.
pub(crate) struct Departure {
    pub(crate) elsewhere: Arc<dyn Elsewhere>,
    /// The public key of the origin, if it has one besides its id.
    pub(crate) origin_key: Option<Id>,
    pub(crate) to: Destination,
}
