//! Follows an application until it runs everywhere it should, or a timeout passes.
//!
//! # When it ends
//!
//! | status of the application | exit code |
//! |---|---|
//! | `running` | 0 |
//! | `failed`, `undeployed` | 1, with the reasons |
//! | another version than the stored one | 1: superseded, perhaps by a rollback |
//! | anything else at the timeout | 1, with what is missing |
//!
//! The status is asked for again and again, and not taken from events: any host may answer, and the
//! answer is the whole truth. A host that has not heard of the change yet is asked again until the
//! timeout. `edition` counts the changes of the record, so an older answer is recognized.

use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::address::{At, Conversation};
use super::table::{cell, items, table};
use crate::duration::duration;
use crate::failure::Failure;
use crate::output::{line, printable};
use crate::protocol::Command;

/// The time between two questions for the status.
const INTERVAL: Duration = Duration::from_millis(300);

/// The default timeout. It suffices to fetch and compile a module.
const TIMEOUT: Duration = Duration::from_mins(2);

#[derive(Args)]
pub(crate) struct Waiting {
    /// How long to wait until the application runs, like 500ms, 5s or 2m [default: 2m].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Return when the change is stored, without waiting until it takes effect.
    #[arg(long, conflicts_with = "timeout")]
    no_progress: bool,
}

/// Sends a command that changes an application, then shows its progress. Fails if the application does not run
/// by the end of the timeout.
pub(crate) fn follow(at: &At, waiting: &Waiting, command: &Command) -> Result<(), Failure> {
    at.reported(|| {
        let mut host = at.conversation()?;
        let answer = host.request(command)?;
        progress(at, &mut host, waiting, &answer)
    })
}

/// Shows the progress of a change that a host has stored and answered.
pub(crate) fn progress(
    at: &At,
    host: &mut Conversation,
    waiting: &Waiting,
    stored: &Value,
) -> Result<(), Failure> {
    if waiting.no_progress {
        return at.print(stored, summary);
    }
    if !at.json() {
        line(summary(stored))?;
    }
    let status = settled(at, host, waiting, stored)?;
    at.print(&status, |_| String::new())?;
    match status["status"].as_str() {
        Some("running") => Ok(()),
        _ => Err(Failure::refused("incomplete", reasons(&status))),
    }
}

/// Asks for the status until the version of `stored` runs, was given up, or the timeout passes. Prints what
/// changes.
fn settled(
    at: &At,
    host: &mut Conversation,
    waiting: &Waiting,
    stored: &Value,
) -> Result<Value, Failure> {
    let deadline = Instant::now() + waiting.timeout.unwrap_or(TIMEOUT);
    let app = stored["app"].as_str().unwrap_or_default().to_owned();
    let of_status = Command::AppStatus { app };
    let mut shown = Vec::new();
    loop {
        let is_over = Instant::now() >= deadline;
        let mut status = match host.request(&of_status) {
            // The host that answers may not have heard of the change yet, or starts again.
            Err(failure) if failure.is("not_found") || failure.is("unavailable") => {
                if is_over {
                    return Err(failure);
                }
                sleep(INTERVAL);
                continue;
            }
            answer => answer?,
        };
        if status["edition"].as_u64() < stored["edition"].as_u64() {
            if is_over {
                return Ok(status);
            }
            sleep(INTERVAL);
            continue;
        }
        if status["version"] != stored["version"] {
            status["status"] = json!("superseded");
            status["asked_for"] = stored["version"].clone();
            return Ok(status);
        }
        if !at.json() {
            for text in lines(&status) {
                if !shown.contains(&text) {
                    line(&text)?;
                    shown.push(text);
                }
            }
        }
        let is_settled = matches!(
            status["status"].as_str(),
            Some("running" | "failed" | "undeployed")
        );
        if is_settled || is_over {
            return Ok(status);
        }
        sleep(INTERVAL);
    }
}

/// What was stored: the version, and warnings about the manifest.
fn summary(stored: &Value) -> String {
    let warnings = items(&stored["warnings"]).iter();
    let warnings = warnings.map(|warning| format!("warning: {}", cell(warning)));
    let what = match stored["changed"].as_bool() {
        Some(false) => "is unchanged: version",
        _ => "has version",
    };
    let summary = format!(
        "{} {what} {}",
        cell(&stored["app"]),
        cell(&stored["version"])
    );
    let lines = warnings
        .chain([summary])
        .map(|text| printable(&text))
        .collect::<Vec<_>>();
    lines.join("\n")
}

/// A line for each part of the application on each host.
fn lines(status: &Value) -> Vec<String> {
    let parts = items(&status["components"]).iter();
    parts
        .flat_map(|part| items(&part["hosts"]).iter().map(move |host| (part, host)))
        .map(|(part, host)| {
            let text = format!(
                "  {} on {}: {}",
                cell(&part["id"]),
                host_name(host),
                state(host)
            );
            printable(&text)
        })
        .collect()
}

/// The status of a part on a host, with its error.
fn state(host: &Value) -> String {
    match host["error"].as_str() {
        Some(error) => format!("{}: {error}", cell(&host["status"])),
        None => cell(&host["status"]),
    }
}

/// The name of a host, or its id.
fn host_name(host: &Value) -> String {
    match host["host_name"].as_str() {
        Some(name) => name.to_owned(),
        None => cell(&host["host"]),
    }
}

/// Why an application does not run, for an error.
fn reasons(status: &Value) -> String {
    let app = cell(&status["app"]);
    if status["status"] == "superseded" {
        let version = cell(&status["version"]);
        let wanted = &status["asked_for"];
        let failed = items(&status["failed"])
            .iter()
            .find(|it| &it["version"] == wanted);
        return match failed {
            Some(failed) => printable(&format!(
                "version {} of {app} failed, and version {version} is deployed again: {}",
                cell(wanted),
                cell(&failed["reason"])
            )),
            None => format!("superseded by version {version} of {app}"),
        };
    }
    let missing = items(&status["missing"]).iter().map(cell);
    let missing = missing.map(|text| printable(&text)).collect::<Vec<_>>();
    let missing = match missing.as_slice() {
        [] => "it is still starting".to_owned(),
        missing => missing.join("; "),
    };
    format!("{app} does not run as it should: {missing}")
}

/// The status of an application for people: a table of its parts, and what is missing.
pub(crate) fn status(answer: &Value) -> String {
    let head = format!(
        "{} is {}, version {} ({})",
        cell(&answer["app"]),
        cell(&answer["state"]),
        cell(&answer["version"]),
        cell(&answer["status"])
    );
    let rows = items(&answer["components"]).iter().flat_map(rows);
    let headings = [
        "COMPONENT",
        "HOST",
        "WANTED",
        "RUNNING",
        "VERSION",
        "STATUS",
    ];
    let missing = items(&answer["missing"]).iter();
    let missing = missing.map(|text| format!("missing: {}", cell(text)));
    let lines = [printable(&head), table(headings, rows)].into_iter();
    let lines = lines.chain(missing.map(|text| printable(&text)));
    lines.collect::<Vec<_>>().join("\n")
}

/// The rows of a part: one for each host, or one that says that it is missing.
fn rows(part: &Value) -> Vec<[String; 6]> {
    let hosts = items(&part["hosts"]);
    if hosts.is_empty() {
        let none = ["-".to_owned(), cell(&part["wanted"]), "0".to_owned()];
        let [host, wanted, running] = none;
        return vec![[
            cell(&part["id"]),
            host,
            wanted,
            running,
            "-".to_owned(),
            "missing".to_owned(),
        ]];
    }
    let row = |host: &Value| {
        [
            cell(&part["id"]),
            host_name(host),
            cell(&host["wanted"]),
            cell(&host["running"]),
            cell(&host["version"]),
            state(host),
        ]
    };
    hosts.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        let status = json!({"app": "shop", "version": 2, "status": "degraded",
            "missing": ["orders on blue-fox: the port is in use\u{1b}"]});
        assert_eq!(
            reasons(&status),
            "shop does not run as it should: orders on blue-fox: the port is in use\\u{1b}"
        );
        let later = json!({"app": "shop", "version": 3, "status": "superseded"});
        assert_eq!(reasons(&later), "superseded by version 3 of shop");
    }

    #[test]
    fn a_status_has_a_row_per_host() {
        let status = json!({"app": "shop", "state": "deployed", "version": 1, "status": "running",
            "components": [{"id": "orders", "wanted": 2, "hosts": [
                {"host": "N1", "host_name": "a", "wanted": 1, "running": 1, "version": 1, "status": "running"},
                {"host": "N2", "wanted": 1, "running": 0, "version": 1, "status": "refused", "error": "no"}]}]});
        let text = super::status(&status);
        assert!(
            text.starts_with("shop is deployed, version 1 (running)\n"),
            "{text}"
        );
        assert!(text.contains("refused: no"), "{text}");
    }
}
