//! Which host is meant, and how what it says is printed.

use std::env;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::session::Session;
use crate::failure::Failure;
use crate::output;

/// Names the socket where no argument does.
const SOCKET: &str = "EXOSUIT_SOCKET";

#[derive(Args)]
pub(crate) struct At {
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

impl At {
    /// Asks, and prints the answer: as JSON, or as `show` puts it.
    pub(crate) fn ask(
        &self,
        command: &str,
        arguments: &Value,
        show: impl FnOnce(&Value) -> String,
    ) -> Result<(), Failure> {
        self.reported(|| {
            let answer = self.session(None)?.request(command, arguments)?;
            self.print(&answer, show)
        })
    }

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

    /// A conversation with the host; it may live beside a manifest.
    pub(crate) fn session(&self, manifest: Option<&Path>) -> Result<Session, Failure> {
        Session::open(&self.path(manifest))
    }

    fn path(&self, manifest: Option<&Path>) -> PathBuf {
        let given = self.socket.clone();
        let given = given.or_else(|| self.data_dir.as_deref().map(in_data_dir));
        let told = || env::var_os(SOCKET).filter(|path| !path.is_empty());
        given
            .or_else(|| told().map(PathBuf::from))
            .unwrap_or_else(|| nearby(manifest))
    }
}

fn nearby(manifest: Option<&Path>) -> PathBuf {
    let here = in_data_dir(Path::new(".exosuit"));
    let beside = manifest.and_then(Path::parent);
    let beside = beside.map(|directory| in_data_dir(&directory.join(".exosuit")));
    match beside {
        Some(beside) if !here.exists() && beside.exists() => beside,
        _ => here,
    }
}

fn in_data_dir(directory: &Path) -> PathBuf {
    directory.join("exosuit.sock")
}

/// As the host takes paths: its working directory is another one.
pub(crate) fn absolute(path: &Path) -> Result<String, Failure> {
    let cannot = |error| Failure::io(format!("cannot find {}", path.display()), &error);
    let path = std::path::absolute(path).map_err(cannot)?;
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::usage("a path is not UTF-8, and the host is told it in JSON"))
}
