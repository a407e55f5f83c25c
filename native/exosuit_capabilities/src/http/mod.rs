//! HTTP: a server whose requests are calls of actors, and a client for the requests of actors.
//!
//! `server` holds [`HttpServer`] and the ports that the servers of one host share, `client`
//! [`HttpClient`]; `file` reads the files that settings name, `headers` knows what a message says to its
//! next hop only, `host` when two hosts are the same.

mod client;
mod file;
mod headers;
mod host;
pub(crate) mod server;

pub use client::HttpClient;
pub use server::{HttpPorts, HttpServer};
