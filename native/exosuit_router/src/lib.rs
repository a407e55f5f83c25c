//! Who may call what, and where it is: the one function that every invocation goes through.
//!
//! [`Router`] is the table of the actors, providers and links of one host. A call passes it in
//! this order, each step a file:
//!
//! 1. `decide`: is there such a target, does a link join the two, do the claims allow it? What comes of
//!    that is a `route`.
//! 2. `admission`: does one more call fit into the actor?
//! 3. `actor`: does the actor run, or is it worth waiting for?
//! 4. `router`: deliver it, until its deadline or the end of what serves it.
//!
//! A call that had to wait in 2 or 3 is decided anew: what was allowed may not be any more.
//!
//! Beside that way, `table` holds the entries (`names`: by what actors may be called; `naming`: who
//! may have a name, and who is meant by one; `links`; `providers`; `known`: actors of other hosts), and
//! `wiring` hands links to providers, in `lane`s that keep their order; `changes` are the puts under
//! way, `state` says what became of each link, and `warnings` what of it has no effect. `lineage` binds
//! links to whose code they were made for (`bound`). `abroad` tells the other hosts what can be called
//! here, and takes their calls in.
//!
//! # Locks
//!
//! The table has one lock. It is never held across an await, nor while foreign code runs: targets
//! and capabilities are called, observed and dropped outside of it. Before it comes that of what the
//! other hosts were told, held while they are told, so that they hear in order. Lanes are asynchronous, are
//! taken in the order of their ids, and only by what changes links and providers, never by a call.

#![forbid(unsafe_code)]

mod abroad;
mod actor;
mod admission;
mod bound;
mod changes;
mod count;
mod decide;
mod flight;
mod known;
mod lane;
mod lineage;
mod links;
mod names;
mod naming;
mod options;
mod provider;
mod providers;
mod refusal;
mod route;
mod router;
mod state;
mod table;
mod warnings;
mod wiring;

pub use actor::{ActorState, Publication};
pub use options::{ActorLimits, Clock, Options};
pub use router::Router;
pub use state::{LinkState, LinkStatus};
pub use wiring::RefusedLink;
