//! Commands to any host of a lattice, over NATS, in the form of wasmCloud 1.x.
//!
//! - `arguments`: selects the lattice, the host, and the credentials.
//! - [`Lattice`]: a connection with the same commands and answers as a host's socket.
//! - `control`: requests and answers. `member`: the hosts. `event`: their events. `outcome`: the
//!   outcome of a command that a host has only acknowledged.
//! - `actor`, `provider`, `link`, `inventory`, `app`: the commands. `configuration`: the
//!   configurations that some of them need. `call`: a call to an actor.
//!
//! # Two kinds of hosts
//!
//! Hosts of wasmCloud 1.x and of Exosuit answer the same subjects, so most commands work with both.
//! Commands about applications are Exosuit's own (`exosuit.api.…`), as 1.x leaves them to wadm.
//!
//! | command | asked | waits for |
//! |---|---|---|
//! | `actor`, `provider` | one host | an event with the outcome, see `outcome` |
//! | `link` | any host | the answer |
//! | `app`, `apply` | any host of Exosuit | the answer, then the progress |
//! | `inventory`, `events` | one host, or all | the answer, or nothing |
//! | `call` | any host that runs the actor | the answer of the actor |
//!
//! A command uses one connection and one thread. It ends with the process, so nothing is cleaned
//! up.

mod actor;
mod app;
mod arguments;
mod call;
mod configuration;
mod control;
mod event;
mod inventory;
mod link;
mod member;
mod outcome;
mod provider;

use std::future::Future;

use exosuit_claims::KeyPair;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

pub(crate) use arguments::LatticeArguments;
pub(crate) use call::Invocation;

use crate::failure::Failure;
use crate::protocol::Command;
use control::Control;

/// A connection to a lattice.
pub(crate) struct Lattice {
    runtime: Runtime,
    control: Control,
}

impl Lattice {
    /// Connects. Fails within seconds if no server answers.
    ///
    /// # Errors
    ///
    /// `usage` for a wrong option; otherwise the error of the connection, with the servers'
    /// addresses.
    pub(crate) fn open(arguments: &LatticeArguments, servers: &str) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::io("cannot start", &error))?;
        let control = runtime.block_on(Control::connect(arguments, servers))?;
        Ok(Self { runtime, control })
    }

    /// Sends a command. Arguments and answer are those of a host's socket.
    pub(crate) fn request(&self, command: &Command) -> Result<Value, Failure> {
        self.control.refuse_unused(command)?;
        self.wait(run(&self.control, command))
    }

    /// All hosts of the lattice.
    pub(crate) fn hosts(&self) -> Result<Value, Failure> {
        self.control.refuse_host()?;
        self.control.refuse_wait()?;
        self.wait(inventory::hosts(&self.control))
    }

    /// Passes on each event of the lattice, or of the named host. It does not end by itself.
    pub(crate) fn follow(
        &self,
        each: impl FnMut(&Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.wait(event::follow(&self.control, each))
    }

    /// Calls an actor on any host, signed by a cluster.
    pub(crate) fn call(
        &self,
        invocation: Invocation,
        cluster: KeyPair,
    ) -> Result<Vec<u8>, Failure> {
        self.wait(call::call(&self.control, invocation, cluster))
    }

    /// Runs the work of a command to its end.
    fn wait<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        // Boxed, because the future of a command is large.
        self.runtime.block_on(Box::pin(work))
    }
}

/// The work of a command.
async fn run(control: &Control, command: &Command) -> Result<Value, Failure> {
    match command {
        Command::Inventory {} => inventory::inventory(control).await,
        Command::StartActor(start) => actor::start(control, start).await,
        Command::StopActor { id } => actor::stop(control, id).await,
        Command::ScaleActor { id, instances } => actor::scale(control, id, *instances).await,
        Command::UpdateActor(update) => actor::update(control, update).await,
        Command::StartProvider(start) => provider::start(control, start).await,
        Command::StopProvider { id } => provider::stop(control, id).await,
        Command::PutLink(put) => link::put(control, put).await,
        Command::DeleteLink(delete) => link::delete(control, delete).await,
        Command::Links {} => link::list(control).await,
        Command::ApplyManifest(apply) => app::apply(control, apply).await,
        command if command.is_about_apps() => control.ask_exosuit(command).await,
        other => Err(Failure::usage(format!(
            "{} works only over a host's socket: leave out --lattice, and unset EXOSUIT_LATTICE",
            other.parts().0
        ))),
    }
}
