//! The lattice over NATS.
//!
//! - [`Connection`]: to the servers, made again whenever it is lost; [`State`], [`Notice`].
//! - [`Bus`]: messages to whoever listens: commands, answers, events.
//! - [`Calls`]: from host to host, signed and checked: [`Calls::serve`] for what runs here,
//!   [`Calls::actor`] and [`Calls::provider`] for what runs elsewhere.
//! - [`SharedState`]: the links, claims and configurations that all hosts have in common, and a
//!   [`Watcher`] for what becomes of them.
//!
//! All of it runs on Tokio, and nothing of it ends by itself: a connection that was lost is made
//! again, what is served is served again, and what was watched is read on from where it was.

#![forbid(unsafe_code)]

mod bus;
mod connection;
mod error;
mod replies;
mod rpc;
mod secret;
mod store;

pub use bus::{Bus, Message, Subscription};
pub use connection::{Backoff, Connection, ConnectionOptions, Credentials, Notice, State, Tls};
pub use error::Error;
pub use exosuit_claims::invocation::Entity;
pub use rpc::{CallOptions, Calls, Invocation, Refusal, Response, Served, Serving, Trace};
pub use secret::Secret;
pub use store::{
    Bucket, Change, Claims, Component, ComponentLink, Entry, Key, LinkDefinition, Record,
    Reference, SharedState, Watcher,
};

/// What nobody can guess and nobody else has.
fn new_id() -> uuid::Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}
