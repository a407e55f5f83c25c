//! `exosuit remote`: `IEx` on a running host.
//!
//! The host opens its distribution on demand, and answers with the name of its node, its port, and
//! the path of a cookie file. `bin/exosuit` connects `IEx` to it. Versions must be equal, since
//! both sides load the same modules.

use std::env;
use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use serde_json::Value;

use super::address::Local;
use crate::failure::Failure;
use crate::output;
use crate::protocol;

/// The variable that names the program that starts `IEx`. `bin/exosuit` sets it.
const IEX: &str = "EXOSUIT_IEX";

/// The version of this command. The host must have the same one.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The variables of that program, and the fields of the host's answer that they come from. They are
/// not on the command line, because every user of the machine can read that.
const FIELDS: [(&str, &str); 4] = [
    ("EXOSUIT_REMOTE_NODE", "node"),
    ("EXOSUIT_REMOTE_PORT", "port"),
    ("EXOSUIT_REMOTE_COOKIE", "cookie_file"),
    ("EXOSUIT_REMOTE_ELIXIR", "elixir"),
];

#[derive(Args)]
#[command(after_long_help = "\
Opens IEx, Elixir's shell, in the host's VM. The functions hosts, actors, providers, links and call are
imported. Ctrl-C twice leaves the shell, and the host keeps running. With --json, prints the address of the
VM and the path of its cookie file, and does not open a shell.

Example:
  exosuit remote --data-dir examples/counter/.exosuit")]
pub(crate) struct Remote {
    #[command(flatten)]
    at: Local,
}

impl Remote {
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.at.reported(|| {
            let mut session = self.at.session(None)?;
            if self.at.json {
                return output::line(session.request(&protocol::Command::OpenRemote {})?);
            }
            let iex = program()?;
            let way = session
                .request(&protocol::Command::OpenRemote {})
                .map_err(|failure| failure.or_if("unknown_operation", other_version))?;
            check_version(&way)?;
            // Only a failure returns: on success this process is IEx.
            let error = Command::new(&iex).envs(variables(&way)).exec();
            Err(Failure::io(
                format!("cannot start {}", iex.display()),
                &error,
            ))
        })
    }
}

/// The program that starts `IEx`. It needs a terminal.
fn program() -> Result<PathBuf, Failure> {
    let capable = env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb");
    if !io::stdin().is_terminal() || !capable {
        return Err(Failure::usage(
            "IEx needs a terminal that can move its cursor; --json prints where the host listens",
        ));
    }
    let iex = env::var_os(IEX).filter(|iex| !iex.is_empty());
    iex.map(PathBuf::from).ok_or_else(|| {
        Failure::missing(
            "IEx is part of Elixir: run bin/exosuit instead of this program, because bin/exosuit finds IEx",
        )
    })
}

/// Compares the host's version with this one.
fn check_version(way: &Value) -> Result<(), Failure> {
    if way["version"] == VERSION {
        return Ok(());
    }
    Err(other_version())
}

/// The error for a host of another version. A host without the command is one.
fn other_version() -> Failure {
    let text = format!("the host has another version than this command, {VERSION}");
    Failure::refused("version", text)
}

/// The variables of that program.
fn variables(way: &Value) -> impl Iterator<Item = (&'static str, String)> {
    FIELDS.iter().map(|(variable, field)| {
        let value = &way[*field];
        let text = value.as_str().map(str::to_owned);
        (*variable, text.unwrap_or_else(|| value.to_string()))
    })
}
