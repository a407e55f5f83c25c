//! Commands to a running host: one of this machine, or one of a lattice.
//!
//! - `address`: selects the host, and prints its answers. `session`: the connection to its socket.
//! - `hosts`, `inventory`, `call`, `actor`, `provider`, `link`, `events`, `app`, `apply`, `remote`,
//!   `stop`: the commands. `progress`: the progress of an application.
//! - `table`: columns for people.

mod actor;
mod address;
mod app;
mod apply;
mod call;
mod events;
mod hosts;
mod inventory;
mod link;
mod progress;
mod provider;
mod remote;
mod session;
mod stop;
mod table;

pub(crate) use actor::Actor;
pub(crate) use address::At;
pub(crate) use app::{App, Delete};
pub(crate) use apply::Apply;
pub(crate) use call::Call;
pub(crate) use events::Events;
pub(crate) use hosts::Hosts;
pub(crate) use inventory::Inventory;
pub(crate) use link::Link;
pub(crate) use provider::Provider;
pub(crate) use remote::Remote;
pub(crate) use stop::Stop;
