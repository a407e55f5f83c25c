//! The library that Elixir loads: each NIF decodes its arguments, hands them over, and returns.
//! `Exosuit.Native` has one stub for each NIF, in the order of the files here.
//!
//! | module | holds |
//! |---|---|
//! | `engine`, `module` | the one engine of the VM, and compiled code |
//! | `host` | the data plane of one host: its router and what its entries share |
//! | `actor`, `provider`, `link`, `remote_claims` | the entries in the router's table |
//! | `call` | a call from Elixir to an actor |
//! | `lattice` | connections to NATS, messages, and the state that hosts share |
//! | `claims`, `doors`, `json`, `manifest` | pure functions |
//! | `secret`, `lock` | texts and locked files that Elixir holds by a handle |
//! | `runtime`, `reply`, `outbox`, `notices` | the threads that work, and the ways back to Elixir |
//! | `term`, `value`, `names`, `deferred` | terms to values of Rust, and back |
//! | `resource` | resources of WIT that Elixir has |
//!
//! # Rules
//!
//! - A NIF on a normal scheduler returns within a millisecond and never waits. A NIF that reads
//!   many bytes or touches files runs on a dirty scheduler. All other work runs on Tokio.
//! - A NIF that takes `to: To` and returns `:ok` promises exactly one message `{reference,
//!   result}`. If it returns `{:error, _}`, no message follows. See `reply`.
//! - A call to an actor is the one exception: it is polled once on the scheduler. See `call`.
//! - No text from outside becomes an atom, except the names of WIT types within a budget. See
//!   `names`.
//! - A resource that belongs to a process monitors it, and ends with it or with its last reference.
//!
//! # Which thread may do what
//!
//! | thread | may | may not |
//! |---|---|---|
//! | a normal scheduler | look up, convert a few values, poll one call once | wait, touch files, handle many bytes |
//! | a dirty CPU scheduler | hash, parse, convert large values | wait for a server or a guest |
//! | a dirty I/O scheduler | touch files, map memory | wait without a bound |
//! | Tokio | wait, run guests, send messages in environments of its own | block |
//! | a blocking thread of Tokio | open files and databases | – |
//!
//! A destructor of a resource and a monitor run on a scheduler, whoever drops the last reference. Everything there
//! that takes longer than a moment goes to Tokio (`Reaped`).
//!
//! # The ways of a result
//!
//! | the NIF | returns | then |
//! |---|---|---|
//! | reads or changes memory | the value, `:ok`, or `{:error, {code, detail}}` | nothing |
//! | starts work for `to` | `:ok`, or `{:error, _}` if it does not start | one message `{reference, result}` |
//! | `call` | `{:ok, _}`, `{:error, _}`, `:large` or `{:pending, call}` | a message only after `:pending` |
//! | gets arguments of another type | raises `ArgumentError` | nothing; `Exosuit.Native.Answer` makes an error of it |
//! | panics | raises `ErlangError` | nothing; work that was handed over goes on |
//!
//! # How to add one
//!
//! 1. Find the file of its subject, or make one. Decide its scheduler by the table above.
//! 2. Parse arguments with the functions of `term`. Elixir has checked them, and this crate does not trust that: a
//!    name that does not parse is `invalid_input`, not a panic.
//! 3. Hand over to a crate that has tests in Rust. This one has none of its own: an executable that links rustler does
//!    not link on Linux.
//! 4. Add its stub to `Exosuit.Native` at the same place, and call it from the room of its subject.

#![expect(
    clippy::needless_pass_by_value,
    reason = "rustler decodes arguments into values"
)]

mod actor;
mod call;
mod claims;
mod clock;
mod deferred;
mod doors;
mod engine;
mod host;
mod inspect;
mod json;

mod lattice;
mod link;
mod lock;
mod manifest;
mod module;
mod names;
mod notices;
mod outbox;
mod provider;
mod remote_claims;
mod reply;
mod resource;
mod runtime;
mod secret;
mod term;
mod value;

rustler::init!("Elixir.Exosuit.Native");
