//! `exosuit keys`: making keys.
//!
//! A key is made from the random numbers of the operating system. Nothing is stored: the user
//! redirects the output to a file, as the example in the help does.

use clap::{Args, Subcommand};
use exosuit_claims::{KeyKind, KeyPair};
use serde_json::json;

use crate::failure::Failure;
use crate::output;

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Make a key pair and print it.
    Gen(Gen),
}

#[derive(Args)]
#[command(after_long_help = "\
An account key signs actors. A module key is the identity of an actor, a provider key that of a
provider, a server key that of a host. A cluster key signs the calls between hosts. With --json, prints
{\"public_key\": \"...\", \"seed\": \"...\"}.

Example:
  (umask 077; exosuit keys gen account > account.nk --json)")]
pub(crate) struct Gen {
    /// The use of the key: account, module, provider, server, cluster, operator or user.
    kind: KeyKind,
    /// Print JSON: public key and seed.
    #[arg(long)]
    json: bool,
}

impl Keys {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Self::Gen(Gen { kind, json }) = self;
        let pair = KeyPair::generate(kind);
        let (public_key, seed) = (pair.public_key(), pair.seed());
        if json {
            return output::line(json!({"public_key": public_key.as_str(), "seed": seed}));
        }
        output::line(format_args!(
            "public key: {public_key}\nseed:       {seed}\n"
        ))?;
        output::line(format_args!(
            "Keep the seed secret: anyone who has it can act as this {kind}."
        ))
    }
}
