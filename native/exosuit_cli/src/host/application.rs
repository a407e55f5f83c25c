//! `exosuit apply` and `exosuit delete`: an application, over the socket of a host. The host deploys it
//! on all hosts of its lattice.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::address::{Local, absolute};
use super::table::{cell, items};
use crate::failure::Failure;
use crate::output::printable;

#[derive(Args)]
#[command(after_long_help = "\
Only differences are changed. New code and new settings replace the old ones without losing a call.
If they cannot start, the old ones keep running. If a step fails, the other steps are still taken,
and the exit code is 1.

The command goes to a host of this machine; it does not read EXOSUIT_LATTICE. A host in a lattice
deploys the application on all hosts there. `instances` of a component count per host; if its scaler
has a spread, they are the total over all hosts.

Example:
  exosuit apply examples/counter/app.yaml")]
pub(crate) struct Apply {
    /// The manifest, in YAML; the host reads it.
    manifest: PathBuf,
    /// Let code of another issuer replace a running actor, and inherit its links and data.
    #[arg(long)]
    allow_issuer_change: bool,
    #[command(flatten)]
    at: Local,
}

#[derive(Args)]
#[command(after_long_help = "\
Example:
  exosuit delete counter")]
pub(crate) struct Delete {
    /// The application's name, as in its manifest.
    app: String,
    #[command(flatten)]
    at: Local,
}

impl Apply {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let manifest = absolute(&self.manifest)?;
        let arguments =
            json!({"manifest": manifest, "allow_issuer_change": self.allow_issuer_change});
        let beside = Some(self.manifest.as_path());
        let mut answer = Value::Null;
        self.at.reported(|| {
            let mut host = self.at.session(beside)?;
            answer = host.request("apply", &arguments)?;
            Ok(())
        })?;
        finish(&self.at, &answer)
    }
}

impl Delete {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut answer = Value::Null;
        self.at.reported(|| {
            let arguments = json!({"app": self.app});
            answer = self.at.session(None)?.request("delete", &arguments)?;
            Ok(())
        })?;
        finish(&self.at, &answer)
    }
}

/// Prints the steps. Failed steps make the command fail, and contain their errors.
fn finish(at: &Local, answer: &Value) -> Result<(), Failure> {
    at.print(answer, show)?;
    let outcomes = items(&answer["outcomes"]);
    let failed = outcomes.iter().filter(|it| !it["error"].is_null()).count();
    if failed == 0 {
        return Ok(());
    }
    let all = outcomes.len();
    Err(Failure::refused(
        "incomplete",
        format!("{failed} of {all} steps failed"),
    ))
}

fn show(answer: &Value) -> String {
    let warnings = items(&answer["warnings"]).iter();
    let warnings = warnings.map(|warning| format!("warning: {}", cell(warning)));
    let outcomes = items(&answer["outcomes"]).iter().map(outcome);
    let lines = warnings.chain(outcomes).map(|line| printable(&line));
    let lines = lines.collect::<Vec<_>>();
    if lines.is_empty() {
        return "nothing to do".to_owned();
    }
    lines.join("\n")
}

fn outcome(outcome: &Value) -> String {
    let subject = match outcome.get("id") {
        Some(id) => cell(id),
        None => format!(
            "{} for {}",
            cell(&outcome["source"]),
            cell(&outcome["contract"])
        ),
    };
    let what = format!(
        "{} {} {subject}",
        cell(&outcome["step"]),
        cell(&outcome["kind"])
    );
    let what = match host(outcome) {
        Some(host) => format!("{what} on {host}"),
        None => what,
    };
    match outcome["error"]["detail"].as_str() {
        None => what,
        Some(error) => format!("{what} failed: {error}"),
    }
}

/// The name and id of the host that took a step; none if all hosts share the result.
fn host(outcome: &Value) -> Option<String> {
    let id = outcome["host"].as_str()?;
    Some(match outcome["host_name"].as_str() {
        Some(name) => format!("{name} ({id})"),
        None => id.to_owned(),
    })
}
