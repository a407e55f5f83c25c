//! `exosuit apply`: stores a manifest in the lattice of a host, and shows how its hosts deploy it.

use std::path::PathBuf;

use clap::Args;

use super::address::{At, absolute};
use super::progress::{self, Waiting};
use crate::failure::Failure;
use crate::protocol::{ApplyManifest, Command};

#[derive(Args)]
#[command(after_long_help = "\
The manifest and the files that it names are stored in the lattice. From then on, the hosts of the lattice
run the application, also when hosts join or leave. Only the parts that differ are changed: new code and new
settings replace the old ones without losing a call. If a new version cannot run, the previous version is
deployed again.

The exit code is 1 if the application does not run before the timeout; the reasons are shown.

Examples:
  exosuit apply examples/counter/app.yaml
  exosuit apply --lattice nats://127.0.0.1:4222 examples/counter/app.yaml")]
pub(crate) struct Apply {
    /// The manifest, in YAML.
    manifest: PathBuf,
    /// Let code of another issuer replace a running actor, and inherit its links and data.
    #[arg(long)]
    allow_issuer_change: bool,
    /// Refuse unless this version is deployed; with 0, refuse if the application exists.
    #[arg(long, value_name = "NUMBER")]
    if_version: Option<u64>,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    at: At,
}

impl Apply {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let apply = Command::ApplyManifest(ApplyManifest {
            manifest: absolute(&self.manifest)?,
            allow_issuer_change: self.allow_issuer_change,
            if_version: self.if_version,
        });
        self.at.reported(|| {
            let mut host = self.at.conversation_beside(&self.manifest)?;
            let stored = host.request(&apply)?;
            progress::progress(&self.at, &mut host, &self.waiting, &stored)
        })
    }
}
