//! The lattice over NATS: many hosts, one application.
//!
//! - [`Connection`]: to the servers, made again whenever it is lost; [`State`], [`Notice`].
//! - [`Bus`]: messages to all subscribers: commands, answers, events.
//! - [`Calls`]: from host to host, signed and checked; [`Hosts`]: all hosts of the lattice but this
//!   one, as the router knows them.
//! - [`ProviderLattice`]: messages and buckets for built-in providers.
//! - [`SharedState`]: the links, claims, configurations and applications that all hosts share, and a
//!   [`Watcher`] for their changes. [`Objects`]: the files of applications by digest.
//!
//! A host has two connections, one for control and shared state, one for calls, so that neither
//! waits for the other, and each may have credentials of its own:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use exosuit_claims::KeyPair;
//! # use exosuit_core::{Deliver, Elsewhere, Id, Local};
//! # use exosuit_lattice::{Bus, CallOptions, Calls, Connection, ConnectionOptions, Error, Hosts, SharedState};
//! # async fn join(options: ConnectionOptions, lattice: Id, host: KeyPair, cluster: Arc<KeyPair>,
//! #     actor: Local, router: Arc<dyn Deliver>) -> Result<(), Error> {
//! let control = Connection::open(&options).await?;
//! let bus = Bus::start(control.clone()).await?;
//! let state = SharedState::new(&control, lattice.clone(), None);
//! let mut changes = state.watch(state.data());
//!
//! let rpc = Connection::open(&options).await?;
//! let options = CallOptions::new(lattice, host.public_key().clone(), cluster);
//! let calls = Calls::start(rpc, options).await?;
//! let hosts = Hosts::start(calls, router);
//! hosts.serve(actor);
//! # Ok(())
//! # }
//! ```
//!
//! All of it runs on Tokio. Only the operations of [`SharedState`] and [`Objects`] ask a server
//! before they return. Nothing ends by itself: after an outage, targets are served again, and
//! watchers continue from the last revision that they have seen.

#![forbid(unsafe_code)]

mod bus;
mod connection;
mod error;
mod limits;
mod providers;
mod replies;
mod rpc;
mod secret;
mod store;

pub use bus::{Bus, Message, Subscription};
pub use connection::{Backoff, Connection, ConnectionOptions, Credentials, Notice, State, Tls};
pub use error::Error;
pub use exosuit_claims::invocation::Entity;
pub use limits::StreamLimits;
pub use providers::ProviderLattice;
#[cfg(fuzzing)]
pub use rpc::fuzz;
pub use rpc::{
    Address, CallOptions, Calls, Hosts, Invocation, MacCaller, MacRequest, Refusal, Response,
    Served, Serving, Skew, Trace,
};
pub use secret::Secret;
pub use store::{
    Bucket, Change, Claims, Component, ComponentLink, Digest, Entry, Key, LinkDefinition,
    MAX_OBJECT, Objects, Position, Record, Reference, SharedState, Stored, Watcher,
};

/// The time of day, in milliseconds since 1970. A clock before 1970 counts as 0.
///
/// Only what other hosts compare uses it: the time of a signature, an expiry. Waits use `Instant`.
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// A random id of 122 bits: the id of a call, the token of an inbox. It must not be guessable,
/// because whoever knows an inbox can answer in it.
fn new_id() -> uuid::Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}
