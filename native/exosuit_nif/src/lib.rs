//! The NIF library: decode, hand over, reply. What it offers stands in `Exosuit.Native`, in the
//! order of the files here.
//!
//! - `engine`: the one engine of the VM. `host`: the data plane of one host. `actor`, `provider`,
//!   `link`: its entries. `lattice`: the other hosts. `module`: compiled code. `call`: an invocation
//!   from Elixir.
//! - `claims`, `doors`, `manifest`, `json`: pure functions. `secret`: texts that Elixir has by a handle.
//! - `runtime`, `reply`, `outbox`, `notices`, `term`, `value`: what these stand on.
//!
//! A NIF here never waits. Work that takes time runs on Tokio and answers by message; a call to an
//! actor is polled once on the calling scheduler before it goes there, see `call`.

#![expect(
    clippy::needless_pass_by_value,
    reason = "rustler decodes arguments into values"
)]

mod actor;
mod call;
mod claims;
mod doors;
mod engine;
mod host;
mod inspect;
mod json;
mod kept;
mod known;
mod lattice;
mod link;
mod lock;
mod manifest;
mod module;
mod names;
mod notices;
mod outbox;
mod provider;
mod reply;
mod runtime;
mod secret;
mod term;
mod value;

rustler::init!("Elixir.Exosuit.Native");
