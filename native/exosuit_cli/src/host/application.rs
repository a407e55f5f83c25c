//! `exosuit apply` and `exosuit delete`: all that a manifest names.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::address::{At, absolute};
use super::table::{cell, items};
use crate::failure::Failure;
use crate::output::printable;

#[derive(Args)]
#[command(after_long_help = "\
Only what differs is changed; code with a greater revision is put in place without losing a call. The
exit code is 1 if a step failed; the others were taken all the same.

Example:
  exosuit apply examples/counter/app.yaml")]
pub(crate) struct Apply {
    /// What is to run, as YAML; the host reads it.
    manifest: PathBuf,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
#[command(after_long_help = "\
Example:
  exosuit delete counter")]
pub(crate) struct Delete {
    /// The application's name, as its manifest has it.
    app: String,
    #[command(flatten)]
    at: At,
}

impl Apply {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let manifest = absolute(&self.manifest)?;
        let arguments = json!({"manifest": manifest});
        let beside = Some(self.manifest.as_path());
        let mut answer = Value::Null;
        self.at.reported(|| {
            let mut host = self.at.conversation(beside)?;
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
            answer = self.at.conversation(None)?.request("delete", &arguments)?;
            Ok(())
        })?;
        finish(&self.at, &answer)
    }
}

/// Prints the steps. That some failed is an error, and stands in them already.
fn finish(at: &At, answer: &Value) -> Result<(), Failure> {
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
    match outcome["error"]["detail"].as_str() {
        None => what,
        Some(error) => format!("{what} failed: {error}"),
    }
}
