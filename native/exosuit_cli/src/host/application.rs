//! `exosuit apply` and `exosuit delete`: all that a manifest names, by the socket of a host, which
//! deploys it on all hosts of its lattice.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::address::{Local, absolute};
use super::table::{cell, items};
use crate::failure::Failure;
use crate::output::printable;

#[derive(Args)]
#[command(after_long_help = "\
Only what differs is changed. Other code and other settings are put in place without losing a call;
where they cannot start, what runs goes on. The exit code is 1 if a step failed; the others were taken
all the same.

It asks a host on this machine. If that is in a lattice, the application is deployed on all hosts there;
EXOSUIT_LATTICE says nothing to this command. Without spread in its scaler, `instances` of a component
are on each host; with it, they are the total over all hosts.

Example:
  exosuit apply examples/counter/app.yaml")]
pub(crate) struct Apply {
    /// What is to run, as YAML; the host reads it.
    manifest: PathBuf,
    /// Let code of another issuer take the place of what runs, with its links and its data.
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
    /// The application's name, as its manifest has it.
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

/// Prints the steps. That some failed is an error, and stands in them already.
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

/// Which host of a lattice was told, by its name and its id; none where all share it.
fn host(outcome: &Value) -> Option<String> {
    let id = outcome["host"].as_str()?;
    Some(match outcome["host_name"].as_str() {
        Some(name) => format!("{name} ({id})"),
        None => id.to_owned(),
    })
}
