//! `exosuit stop`: drains and stops a host.
//!
//! It works over the socket only: a host of a lattice is stopped where it runs.

use clap::Args;
use serde_json::json;

use super::address::Local;
use crate::failure::Failure;
use crate::output;
use crate::protocol::Command;

#[derive(Args)]
#[command(after_long_help = "\
The host accepts no new calls, and running calls finish within its drain timeout. The command waits
until the host has stopped. SIGTERM has the same effect.

Example:
  exosuit stop --data-dir examples/counter/.exosuit")]
pub(crate) struct Stop {
    #[command(flatten)]
    at: Local,
}

impl Stop {
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.at.reported(|| {
            let mut session = self.at.session(None)?;
            session.request(&Command::StopHost {})?;
            // The host closes the connection once it has drained.
            while session.next()?.is_some() {}
            if self.at.json {
                return output::line(json!({}));
            }
            output::line("stopped")
        })
    }
}
