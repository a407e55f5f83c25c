//! What the router promises, with fakes for actors and providers.
//!
//! - `rules`: who may call whom.
//! - `calls`: how many at a time, and what becomes of them when actors restart and hosts stop.
//! - `streams`: what a call holds whose response streams.
//! - `names`: by what actors are called.
//! - `wiring`, `providers`: links and providers come and go.
//! - `model`: random tables against the rule in three lines.

mod calls;
mod model;
mod names;
mod providers;
mod rules;
mod streams;
mod support;
mod wiring;
