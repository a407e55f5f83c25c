//! HTTP: a server whose requests are calls of actors, and a client for the requests of actors.
//!
//! `server` holds [`HttpServer`] and the ports that the servers of one host share, `client`
//! [`HttpClient`]; `file` reads the files that settings name, `headers` has the rules for headers of
//! one hop, and `host` compares names of hosts.
//!
//! Both speak HTTP/1.1 and, as a server, HTTP/2. Both have two forms of messages:
//! `wasmcloud:httpserver` and `wasmcloud:httpclient` carry whole bodies in `MessagePack`,
//! `wasi:http` streams them.

mod client;
mod file;
mod headers;
mod host;
pub(crate) mod server;

pub use client::HttpClient;
pub use server::{HttpPorts, HttpServer};
