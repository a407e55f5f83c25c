//! Selects the host of a command, and prints its answers.
//!
//! [`Local`] is a host of this machine, by its socket. [`At`] may also be one of a lattice.
//!
//! # Which host
//!
//! In this order, the first that is given counts:
//!
//! 1. `--lattice`: a host of that lattice, selected by `--host`.
//! 2. `--socket` or `--data-dir`: a host of this machine.
//! 3. `EXOSUIT_LATTICE`.
//! 4. `EXOSUIT_SOCKET`.
//! 5. `.exosuit` in the working directory or, for `apply`, beside the manifest.
//!
//! An option about a lattice without a lattice is a mistake: a command would otherwise change
//! another host than its author meant.

use std::env;
use std::path::{Path, PathBuf};

use clap::Args;
use exosuit_core::Reference;
use exosuit_core::reference::NoRegistry;
use serde_json::Value;

use super::session::Session;
use crate::failure::Failure;
use crate::lattice::{Lattice, LatticeArguments};
use crate::output;
use crate::protocol::Command;

/// The variable that names the socket, if no argument does.
const SOCKET: &str = "EXOSUIT_SOCKET";

#[derive(Args)]
pub(crate) struct Local {
    /// The socket of the host [default: that of `EXOSUIT_SOCKET`, or in .exosuit].
    #[arg(long, value_name = "PATH", conflicts_with = "data_dir")]
    socket: Option<PathBuf>,
    /// The data directory of the host [default: .exosuit].
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct At {
    #[command(flatten)]
    local: Local,
    #[command(flatten)]
    lattice: LatticeArguments,
}

/// A connection to a host, over its socket or over a lattice.
pub(crate) enum Conversation {
    Socket(Session),
    Lattice(Box<Lattice>),
}

impl Conversation {
    /// Sends a command, and waits for the answer.
    pub(crate) fn request(&mut self, command: &Command) -> Result<Value, Failure> {
        match self {
            Self::Socket(session) => session.request(command),
            Self::Lattice(lattice) => lattice.request(command),
        }
    }
}

impl At {
    /// Sends a command, and prints the answer: as JSON, or as `show` formats it.
    pub(crate) fn ask(
        &self,
        command: &Command,
        show: impl FnOnce(&Value) -> String,
    ) -> Result<(), Failure> {
        self.reported(|| {
            let answer = self.conversation()?.request(command)?;
            self.print(&answer, show)
        })
    }

    /// Prints an answer: as JSON, or as `show` formats it.
    pub(crate) fn print(
        &self,
        answer: &Value,
        show: impl FnOnce(&Value) -> String,
    ) -> Result<(), Failure> {
        self.local.print(answer, show)
    }

    /// The reference of an actor's code for the host: the absolute path of a file. wasmCloud hosts of a
    /// lattice also accept images in registries.
    pub(crate) fn code(&self, given: &Path) -> Result<String, Failure> {
        let text = given.to_str().ok_or_else(not_utf8)?;
        match Reference::parse(text).map_err(Failure::usage)? {
            Reference::File(path) => absolute(Path::new(&path)),
            Reference::Registry(_) if self.servers().is_some() => Ok(text.to_owned()),
            Reference::Registry(image) => Err(Failure::usage(NoRegistry(&image))),
            Reference::Builtin(_) | Reference::Module(_) => Err(Failure::usage(format!(
                "expected a Wasm file as the actor, got {text}, which is a provider"
            ))),
        }
    }

    /// Whether the command line names a host.
    pub(crate) fn is_given(&self) -> bool {
        self.local.is_given() || self.lattice.servers().is_some() || self.lattice.names_host()
    }

    pub(crate) fn json(&self) -> bool {
        self.local.json
    }

    /// Prints a failure as JSON, too, if requested.
    pub(crate) fn reported(
        &self,
        work: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.local.reported(work)
    }

    /// Connects to the host. The command line takes precedence over the environment.
    pub(crate) fn conversation(&self) -> Result<Conversation, Failure> {
        self.conversation_with(None)
    }

    /// Connects to the host. On this machine, its data directory may be beside the manifest.
    pub(crate) fn conversation_beside(&self, manifest: &Path) -> Result<Conversation, Failure> {
        self.conversation_with(Some(manifest))
    }

    /// Connects, over the lattice or the socket.
    fn conversation_with(&self, manifest: Option<&Path>) -> Result<Conversation, Failure> {
        if let Some(servers) = self.servers() {
            let lattice = Lattice::open(&self.lattice, &servers)?;
            return Ok(Conversation::Lattice(Box::new(lattice)));
        }
        self.lattice.refuse_unused()?;
        self.local.session(manifest).map(Conversation::Socket)
    }
}

impl At {
    /// The servers of the lattice in the arguments or the environment.
    fn servers(&self) -> Option<String> {
        let servers = LatticeArguments::servers_of_environment().filter(|_| !self.local.is_given());
        self.lattice.servers().or(servers)
    }
}

impl Local {
    /// Prints an answer: as JSON, or as `show` puts it.
    pub(crate) fn print(
        &self,
        answer: &Value,
        show: impl FnOnce(&Value) -> String,
    ) -> Result<(), Failure> {
        if self.json {
            return output::line(answer);
        }
        let text = show(answer);
        if text.is_empty() {
            return Ok(());
        }
        output::line(text)
    }

    fn is_given(&self) -> bool {
        self.socket.is_some() || self.data_dir.is_some()
    }

    /// Prints a failure as JSON, too, if that was asked for.
    pub(crate) fn reported(
        &self,
        work: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        work().or_else(|failure| {
            if self.json {
                output::line(failure.to_json())?;
            }
            Err(failure)
        })
    }

    /// Connects to the host. Its data directory may be beside a manifest.
    pub(crate) fn session(&self, manifest: Option<&Path>) -> Result<Session, Failure> {
        Session::open(&self.path(manifest))
    }

    /// The path of the socket.
    fn path(&self, manifest: Option<&Path>) -> PathBuf {
        let given = self.socket.clone();
        let given = given.or_else(|| self.data_dir.as_deref().map(in_data_dir));
        let told = || env::var_os(SOCKET).filter(|path| !path.is_empty());
        given
            .or_else(|| told().map(PathBuf::from))
            .unwrap_or_else(|| nearby(manifest))
    }
}

/// The socket in `.exosuit` of the working directory, or of the manifest's directory if only that
/// exists.
fn nearby(manifest: Option<&Path>) -> PathBuf {
    let here = in_data_dir(Path::new(".exosuit"));
    let beside = manifest.and_then(Path::parent);
    let beside = beside.map(|directory| in_data_dir(&directory.join(".exosuit")));
    match beside {
        Some(beside) if !here.exists() && beside.exists() => beside,
        _ => here,
    }
}

/// The socket in a data directory.
fn in_data_dir(directory: &Path) -> PathBuf {
    directory.join("exosuit.sock")
}

/// The absolute path, because the host has another working directory.
pub(crate) fn absolute(path: &Path) -> Result<String, Failure> {
    let cannot = |error| Failure::io(format!("cannot find {}", path.display()), &error);
    let path = std::path::absolute(path).map_err(cannot)?;
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(not_utf8)
}

/// The error for a path that JSON cannot carry.
fn not_utf8() -> Failure {
    Failure::usage("a path must be UTF-8: the host receives it in JSON")
}
