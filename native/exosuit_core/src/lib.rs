//! The types that the crates of Exosuit share: names, links, invocations, errors, and the traits
//! through which the crates call each other.
//!
//! - [`Id`], [`LinkName`], [`Contract`]: names. They are parsed once, and are valid from then on.
//! - [`Link`], [`LinkKey`]: permissions to use a capability, with settings for both ends.
//! - [`Invocation`]: one call from an [`Origin`] to a [`Target`]. [`Identity`]: the claims of an
//!   actor.
//! - [`Payload`], [`Reply`]: the content of a call and of its answer: bytes, [`Value`]s of WIT
//!   functions, or an HTTP [`Exchange`].
//! - [`Handle`]: a reference to a resource of WIT, which a value may be.
//! - [`Deliver`]: delivers an invocation to its target. The router, an actor and the lattice
//!   implement it.
//! - [`Elsewhere`]: the other hosts of the lattice.
//! - [`Capability`]: a built-in provider. [`Prepared`]: a link that it is ready to serve.
//!   [`Observe`]: takes events that no caller waits for.
//! - [`Lattice`]: messages and shared keys for built-in providers: [`Message`], [`Mailbox`],
//!   [`Bucket`].
//! - [`Builtin`]: the table of built-in providers, with their contracts and settings.
//! - Checks of input: [`Bound`] for numbers, [`measure`] for sizes and durations, [`Id`] and others
//!   for names, [`Reference`] for the source of code, [`Variable`] for the environment, [`nearest`]
//!   for typing errors.
//! - [`LogGate`]: limits the log lines of each actor.
//! - [`Pace`]: which operations run on the scheduler of a caller in Elixir.
//! - [`bounded`]: the deadline and the cancellation of a call. It costs nothing until the call has
//!   to wait.

#![forbid(unsafe_code)]

mod bound;
mod bounded;
mod builtin;
mod deliver;
mod elsewhere;
mod environment;
mod error;
mod handle;
mod hop;
mod invocation;
mod lattice;
mod link;
mod log_gate;
mod mailbox;
pub mod measure;
mod message;
mod name;
mod nearest;
mod notice;
mod pace;
pub mod reference;
mod value;

pub use bound::{Bound, OutOfBounds};
pub use bounded::bounded;
pub use builtin::{
    BUILTINS, Bounds, Builtin, Foreign, Given, HTTP_CLIENT, HTTP_SERVER, KEYVALUE, Kind, LOGGING,
    MESSAGING, NUMBERGEN, Offer, Scope, Setting,
};
pub use deliver::{Answer, Capability, CapabilityCall, Deliver, Done, Pending, Prepared};
pub use elsewhere::{Destination, Elsewhere, Local, Outgoing};
pub use environment::{Role, VARIABLES, Variable};
pub use error::{Code, Error};
pub use handle::{Handle, Held, Loan};
pub use hop::strip_hop_by_hop;
pub use invocation::{Context, Grants, Identity, Invocation, Origin, Remote, Target};
pub use lattice::{Bucket, BucketLimits, Kept, Lattice, Listed, Place, Subscription, Written};
pub use link::{Configuration, Link, LinkKey};
pub use log_gate::LogGate;
pub use mailbox::{Heard, Mailbox, Message};
pub use message::{Body, ClientWait, Exchange, Lease, Lend, Payload, Reply};
pub use name::{
    Alias, ConfigurationName, Contract, Id, Interface, InvalidName, LinkName, check_name,
};
pub use nearest::{hint, nearest};
pub use notice::{LogLevel, Notice, Observe};
pub use pace::Pace;
pub use reference::Reference;
pub use value::{Value, WitName, are_heavy};
