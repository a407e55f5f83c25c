//! The public API of the router, with fakes for actors and providers.
//!
//! - `rules`: the permissions of calls.
//! - `calls`: how many at a time, and what becomes of them when actors restart and hosts stop.
//! - `streams`: what a call holds whose response streams.
//! - `names`: by what actors are called.
//! - `wiring`, `providers`: links and providers come and go.
//! - `ends`: links that name their ends by id or by key.
//! - `elsewhere`: calls to other hosts; `remote`: calls from there; `served`: what those are told.
//! - `warnings`: what of a link has no effect.
//! - `model`: random tables against the rule in three lines.

mod calls;
mod elsewhere;
mod ends;
mod model;
mod names;
mod others;
mod providers;
mod remote;
mod rules;
mod served;
mod streams;
mod support;
mod warnings;
mod wiring;
