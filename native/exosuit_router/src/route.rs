//! The result of a decision: the route of an allowed call.
//!
//! A route owns what it names, so it outlives the lock under which it was decided. In the meantime
//! the actor may stop or the link may be deleted: the call then ends by the token of its target, or
//! it was decided in time. A deletion promises nothing for calls that were decided before it.

use std::sync::Arc;

use exosuit_core::{Capability, Destination, Elsewhere, Id, Link};

use crate::actor::{Actor, Running};
use crate::provider::Provider;

/// The target of an allowed call.
pub(crate) enum Route {
    /// An actor, with what runs there; `None` while it restarts.
    Actor(Arc<Actor>, Option<Arc<Running>>),
    /// A provider, through this link.
    Provider(Arc<Provider>, Arc<Link>),
    /// A capability that needs no link.
    Builtin(Arc<dyn Capability>),
    /// Another host. Boxed, so that the other routes stay small.
    Elsewhere(Box<Departure>),
}

/// The hosts that a call may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Not beyond this host, because it came from another one.
    ///
    /// A third host could send it back, and the two would never end.
    Here,
    /// To other hosts, if this one has no such target.
    ///
    /// The default, see `Options::local_first`.
    HereFirst,
    /// To any host that the lattice picks.
    Anywhere,
}

/// An allowed call that leaves this host.
pub(crate) struct Departure {
    /// The lattice connection that carries it.
    pub(crate) elsewhere: Arc<dyn Elsewhere>,
    /// The public key of the origin, if it has one besides its id.
    pub(crate) origin_key: Option<Id>,
    /// The remote target: an actor by name, or the provider at the end of a link.
    pub(crate) to: Destination,
}
