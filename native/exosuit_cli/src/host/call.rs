//! `exosuit call`: calls an actor, with a payload and an answer of any bytes.
//!
//! The payload is a text, a file or stdin, up to 16 MiB. The answer goes to stdout byte for byte,
//! so that it can be piped. On a terminal it is shown as text with escaped control characters.
//!
//! Over a socket the call is not signed, and the host calls the actor itself. Over a lattice this
//! command acts as a host for one call: with a key of its own, and a signature of the cluster.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use data_encoding::BASE64;
use exosuit_claims::{KeyKind, KeyPair};
use serde_json::{Value, json};

use super::address::{At, Conversation};
use super::session::Session;
use crate::duration::duration;
use crate::failure::Failure;
use crate::files;
use crate::lattice::{Invocation, Lattice};
use crate::output::{self, printable};
use crate::protocol::{self, Command};
use crate::seed::SeedArgument;

/// The variables with the cluster's seed: ours, and that of the OTP era.
const CLUSTER_SEEDS: [&str; 2] = ["EXOSUIT_CLUSTER_SEED", "WASMCLOUD_CLUSTER_SEED"];

/// The largest payload that a host accepts.
const MAX_PAYLOAD: usize = 16 * 1024 * 1024;

#[derive(Args)]
#[command(after_long_help = "\
Prints the bytes of the answer unchanged; on a terminal, control characters are escaped. With --json,
prints {\"payload_base64\": \"...\"}. Actors of wasmCloud use MessagePack. A program (wasi:cli/run)
reads the payload from its standard input, and its output is the answer.

Examples:
  exosuit call echo Echo.Say hello
  exosuit call shout wasi:cli/run#run - < words.txt
  exosuit call MBQ4... HttpServer.HandleRequest @request.msgpack --timeout 500ms > answer.msgpack")]
pub(crate) struct Call {
    /// The actor, by id, public key or call alias.
    actor: String,
    /// The operation, like Echo.Say.
    operation: String,
    /// The payload: a text, @FILE, or - for stdin [default: none].
    payload: Option<String>,
    /// How long to wait, like 500ms, 5s or 2m [default: set by the host].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// The seed of the cluster (SC...), or a file with it; it signs a call over a lattice
    /// [default: that of `EXOSUIT_CLUSTER_SEED` or `WASMCLOUD_CLUSTER_SEED`].
    #[arg(long, value_name = "FILE|SEED")]
    cluster_seed: Option<SeedArgument>,
    #[command(flatten)]
    at: At,
}

impl Call {
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.at.reported(|| {
            let answer = match self.at.conversation()? {
                Conversation::Socket(session) => {
                    self.refuse_unused()?;
                    self.through(session)?
                }
                Conversation::Lattice(lattice) => self.over(&lattice)?,
            };
            if self.at.json() {
                return output::line(json!({"payload_base64": BASE64.encode(&answer)}));
            }
            write(&answer)
        })
    }

    /// A call over a socket is not signed: the socket admits only its owner.
    fn refuse_unused(&self) -> Result<(), Failure> {
        match self.cluster_seed {
            None => Ok(()),
            Some(_) => Err(Failure::usage(
                "--cluster-seed needs a lattice: name its servers with --lattice or EXOSUIT_LATTICE",
            )),
        }
    }

    /// Calls over the socket.
    fn through(&self, mut session: Session) -> Result<Vec<u8>, Failure> {
        let timeout = self.timeout.map(|timeout| timeout.as_millis());
        let call = Command::Call(protocol::Call {
            actor: self.actor.clone(),
            operation: self.operation.clone(),
            payload_base64: BASE64.encode(&payload(self.payload.as_deref())?),
            timeout_ms: timeout.and_then(|timeout| u64::try_from(timeout).ok()),
        });
        decoded(&session.request(&call)?)
    }

    /// Calls over the lattice.
    fn over(&self, lattice: &Lattice) -> Result<Vec<u8>, Failure> {
        let invocation = Invocation {
            actor: self.actor.clone(),
            operation: self.operation.clone(),
            payload: payload(self.payload.as_deref())?,
            timeout: self.timeout,
        };
        lattice.call(invocation, self.cluster()?)
    }

    /// The seed of the cluster: from the option, or from the environment.
    fn cluster(&self) -> Result<KeyPair, Failure> {
        if let Some(seed) = &self.cluster_seed {
            return seed.load("--cluster-seed", KeyKind::Cluster);
        }
        let told = CLUSTER_SEEDS.into_iter().find_map(|variable| {
            let seed = env::var(variable).ok().filter(|seed| !seed.is_empty())?;
            Some((variable, seed))
        });
        let (variable, seed) = told.ok_or_else(|| {
            Failure::usage(format!(
                "a call over a lattice must be signed: give the cluster's seed in {} or with --cluster-seed",
                CLUSTER_SEEDS[0]
            ))
        })?;
        SeedArgument::from(seed).load(variable, KeyKind::Cluster)
    }
}

/// The bytes of the payload.
fn payload(given: Option<&str>) -> Result<Vec<u8>, Failure> {
    match given {
        None => Ok(Vec::new()),
        Some("-") => stdin(),
        Some(text) => match text.strip_prefix('@') {
            Some(file) => files::read(Path::new(file), MAX_PAYLOAD),
            None => Ok(text.as_bytes().to_vec()),
        },
    }
}

/// All of stdin, up to the bound.
fn stdin() -> Result<Vec<u8>, Failure> {
    files::read(Path::new("/dev/stdin"), MAX_PAYLOAD)
}

/// The bytes of an answer.
fn decoded(answer: &Value) -> Result<Vec<u8>, Failure> {
    let base64 = answer["payload_base64"].as_str().unwrap_or_default();
    let bytes = BASE64.decode(base64.as_bytes());
    bytes.map_err(|error| Failure::refused("internal", format!("the answer is damaged: {error}")))
}

/// Writes the answer: as it is, or escaped on a terminal.
fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() {
        let lines = String::from_utf8_lossy(bytes);
        let lines = lines.lines().map(printable).collect::<Vec<_>>();
        drop(stdout);
        return output::line(lines.join("\n"));
    }
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::io("cannot write to stdout", &error))
}
