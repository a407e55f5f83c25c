//! `exosuit actor`: starts, stops, scales and updates actors.
//!
//! The host reads the file, so a path is made absolute here. Over a lattice, the host may be on
//! another machine: there the path must exist on that machine, and the host must allow it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use exosuit_core::Bound;

use super::address::At;
use super::table::cell;
use crate::failure::Failure;
use crate::output::printable;
use crate::pairs::{Pair, unique};
use crate::protocol::{Command, StartActor, UpdateActor};

#[derive(Subcommand)]
pub(crate) enum Actor {
    /// Start an actor, and wait until it runs.
    Start(Start),
    /// Stop an actor; running calls finish.
    Stop(Stop),
    /// Change how many calls of an actor may run at a time.
    Scale(Scale),
    /// Replace the code of an actor, without losing a call.
    Update(Update),
}

#[derive(Args)]
#[command(after_long_help = "\
Prints the actor's id.

Example:
  exosuit actor start examples/counter/counter_s.wasm --instances 10")]
pub(crate) struct Start {
    /// The signed Wasm; the host reads the file. ghcr.io/a/b.wasm means an image in a registry;
    /// write ./ghcr.io/a/b.wasm for the file of that name.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// The actor's id on the host [default: its public key].
    #[arg(long)]
    id: Option<String>,
    /// How many calls may run at a time.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = instances())]
    instances: u32,
    /// The actor's configuration, as KEY=VALUE; may be repeated. A component reads it by wasi:config.
    #[arg(long = "config", value_name = "KEY=VALUE")]
    config: Vec<Pair>,
    /// An annotation, shown in the inventory and in events, as KEY=VALUE; may be repeated.
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<Pair>,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
#[command(after_long_help = "\
Example:
  exosuit actor stop counter-counter")]
pub(crate) struct Stop {
    /// The actor's id.
    id: String,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
#[command(after_long_help = "\
Example:
  exosuit actor scale counter-counter 50")]
pub(crate) struct Scale {
    /// The actor's id.
    id: String,
    /// How many calls may run at a time.
    #[arg(value_parser = instances())]
    instances: u32,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
#[command(after_long_help = "\
The new code must have the key and the issuer of the old code, and a higher revision. If it cannot
start, the old code keeps running, and the exit code is 1.

Example:
  exosuit actor update counter-counter counter_v2_s.wasm")]
pub(crate) struct Update {
    /// The actor's id.
    id: String,
    /// The signed Wasm; the host reads the file. ghcr.io/a/b.wasm means an image in a registry;
    /// write ./ghcr.io/a/b.wasm for the file of that name.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Accept code of the same revision, and code without claims.
    #[arg(long)]
    force: bool,
    /// Let code of another issuer replace a running actor, and inherit its links and data.
    #[arg(long)]
    allow_issuer_change: bool,
    #[command(flatten)]
    at: At,
}

impl Actor {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Start(start) => start.run(),
            Self::Stop(Stop { id, at }) => {
                let stopped = printable(&format!("stopped {id}"));
                at.ask(&Command::StopActor { id }, |_| stopped)
            }
            Self::Scale(Scale { id, instances, at }) => {
                let scaled = printable(&format!("{id} runs {instances} calls at a time"));
                at.ask(&Command::ScaleActor { id, instances }, |_| scaled)
            }
            Self::Update(update) => update.run(),
        }
    }
}

impl Start {
    fn run(self) -> Result<(), Failure> {
        let start = Command::StartActor(StartActor {
            path: self.at.code(&self.file)?,
            id: self.id,
            instances: self.instances,
            config: unique("--config", self.config)?,
            annotations: unique("--annotation", self.annotations)?,
        });
        let show = |answer: &serde_json::Value| printable(&cell(&answer["id"]));
        self.at.ask(&start, show)
    }
}

impl Update {
    fn run(self) -> Result<(), Failure> {
        let updated = printable(&format!("updated {}", self.id));
        let update = Command::UpdateActor(UpdateActor {
            path: self.at.code(&self.file)?,
            id: self.id,
            force: self.force,
            allow_issuer_change: self.allow_issuer_change,
        });
        self.at.ask(&update, |_| updated)
    }
}

/// The bounds of a number of instances, for clap.
fn instances() -> clap::builder::RangedI64ValueParser<u32> {
    let most = i64::try_from(Bound::INSTANCES.most).unwrap_or(i64::MAX);
    clap::value_parser!(u32).range(1..=most)
}
