//! `exosuit provider`: starts and stops providers.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::address::At;
use super::table::cell;
use crate::failure::Failure;
use crate::output::printable;
use crate::pairs::{Pair, unique};
use crate::protocol::{Command, StartProvider};

#[derive(Subcommand)]
pub(crate) enum Provider {
    /// Start a provider, and wait until it runs.
    Start(Start),
    /// Stop a provider; its links stay, and work again when it starts again.
    Stop(Stop),
}

#[derive(Args)]
#[command(after_long_help = "\
Prints the provider's id.

Examples:
  exosuit provider start keyvalue --id store --config backend=file
  exosuit provider start exosuit+module://greeter")]
pub(crate) struct Start {
    /// The provider: a built-in one (http-client, http-server, keyvalue, messaging), or
    /// `exosuit+module://NAME` for a module that the host's option `providers` names.
    name: String,
    /// The provider's id on the host [default: NAME].
    #[arg(long)]
    id: Option<String>,
    /// The provider's configuration, as KEY=VALUE; may be repeated.
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
  exosuit provider stop store")]
pub(crate) struct Stop {
    /// The provider's id.
    id: String,
    #[command(flatten)]
    at: At,
}

impl Provider {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Start(start) => start.run(),
            Self::Stop(Stop { id, at }) => {
                let stopped = printable(&format!("stopped {id}"));
                at.ask(&Command::StopProvider { id }, |_| stopped)
            }
        }
    }
}

impl Start {
    fn run(self) -> Result<(), Failure> {
        let start = Command::StartProvider(StartProvider {
            name: self.name,
            id: self.id,
            config: unique("--config", self.config)?,
            annotations: unique("--annotation", self.annotations)?,
        });
        let show = |answer: &Value| printable(&cell(&answer["id"]));
        self.at.ask(&start, show)
    }
}
