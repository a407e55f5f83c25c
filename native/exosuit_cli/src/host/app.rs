//! `exosuit app`: the applications of a lattice, as its hosts keep them.
//!
//! Any host of the lattice answers, from the records that all hosts share. `deploy` and `rollback`
//! wait for the result, see `progress`; the others return when the change is stored.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::address::At;
use super::progress::{self, Waiting};
use super::table::{cell, items, table};
use crate::failure::Failure;
use crate::protocol::Command;

#[derive(Subcommand)]
pub(crate) enum App {
    /// List the applications.
    List(List),
    /// Show what should run, where it runs, and what is missing.
    #[command(after_long_help = "\
Examples:
  exosuit app status counter
  exosuit app status counter --json --lattice nats://127.0.0.1:4222")]
    Status(Named),
    /// List the versions of an application.
    #[command(after_long_help = "\
The last 16 versions are kept. For a version that failed, the reason is shown.

Example:
  exosuit app history counter")]
    History(Named),
    /// Deploy a version of an application, and wait until it runs.
    Deploy(Deploy),
    /// Stop an application, and keep its versions.
    #[command(after_long_help = "\
`exosuit app deploy` starts it again.

Example:
  exosuit app undeploy counter")]
    Undeploy(Named),
    /// Go back to the previous version, and wait until it runs.
    Rollback(Changed),
    /// Stop an application, and delete its versions.
    #[command(after_long_help = "\
Example:
  exosuit app delete counter")]
    Delete(Named),
}

/// `exosuit delete`, which is older than `exosuit app delete`.
#[derive(Args)]
#[command(after_long_help = "\
Example:
  exosuit delete counter")]
pub(crate) struct Delete {
    #[command(flatten)]
    named: Named,
}

impl Delete {
    pub(crate) fn run(self) -> Result<(), Failure> {
        App::Delete(self.named).run()
    }
}

#[derive(Args)]
#[command(after_long_help = "\
Example:
  exosuit app list --lattice nats://127.0.0.1:4222")]
pub(crate) struct List {
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub(crate) struct Named {
    /// The application's name, as in its manifest.
    app: String,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
#[command(after_long_help = "\
If the application does not run before the timeout, the exit code is 1, and the reasons are shown.

Example:
  exosuit app rollback counter")]
pub(crate) struct Changed {
    /// The application's name, as in its manifest.
    app: String,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
#[command(after_long_help = "\
If the version does not run before the timeout, the exit code is 1, and the reasons are shown.

Example:
  exosuit app deploy counter --version 3")]
pub(crate) struct Deploy {
    /// The application's name, as in its manifest.
    app: String,
    /// The version, as `app history` shows it [default: the newest that did not fail].
    #[arg(long, value_name = "NUMBER")]
    version: Option<u64>,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    at: At,
}

impl App {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(List { at }) => at.ask(&Command::ListApps {}, applications),
            Self::Status(Named { app, at }) => {
                at.ask(&Command::AppStatus { app }, progress::status)
            }
            Self::History(Named { app, at }) => at.ask(&Command::AppHistory { app }, history),
            Self::Undeploy(Named { app, at }) => {
                at.ask(&Command::UndeployApp { app }, |_| "undeployed".to_owned())
            }
            Self::Delete(Named { app, at }) => {
                at.ask(&Command::DeleteApp { app }, |_| "deleted".to_owned())
            }
            Self::Rollback(Changed { app, waiting, at }) => {
                progress::follow(&at, &waiting, &Command::RollbackApp { app })
            }
            Self::Deploy(Deploy {
                app,
                version,
                waiting,
                at,
            }) => progress::follow(&at, &waiting, &Command::DeployApp { app, version }),
        }
    }
}

/// A table of the applications.
fn applications(answer: &Value) -> String {
    let row =
        |app: &Value| ["app", "state", "version", "label", "status"].map(|field| cell(&app[field]));
    let headings = ["APPLICATION", "STATE", "VERSION", "LABEL", "STATUS"];
    table(headings, items(&answer["apps"]).iter().map(row))
}

/// A table of the versions.
fn history(answer: &Value) -> String {
    let current = &answer["version"];
    let row = |version: &Value| {
        let number = version["version"].as_u64().unwrap_or_default();
        [
            // Right-aligned, as rows are sorted by their text.
            format!("{number:>4}"),
            cell(&version["label"]),
            cell(&version["at"]),
            cell(&version["by"]),
            match version["failed"].as_str() {
                Some(why) => format!("failed: {why}"),
                None if &version["version"] == current => "current".to_owned(),
                None => "-".to_owned(),
            },
        ]
    };
    let headings = ["VERSION", "LABEL", "APPLIED", "BY", "STATE"];
    table(headings, items(&answer["versions"]).iter().map(row))
}
