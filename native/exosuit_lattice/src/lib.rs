//! The lattice over NATS.
//!
//! - [`Connection`]: to the servers, made again whenever it is lost; [`State`], [`Notice`].

#![forbid(unsafe_code)]

mod connection;
mod error;
mod secret;

pub use connection::{Backoff, Connection, ConnectionOptions, Credentials, Notice, State, Tls};
pub use error::Error;
pub use secret::Secret;
