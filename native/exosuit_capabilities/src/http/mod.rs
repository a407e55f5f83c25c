//! HTTP: a server whose requests are calls of actors.
//!
//! `server` holds [`HttpServer`] and the ports that the servers of one host share; `headers` what
//! a message may say to its next hop only.

mod headers;
mod server;

pub use server::{HttpPorts, HttpServer};
