//! `exosuit events`: what happens, as it happens.

use clap::Args;
use serde_json::{Value, json};

use super::address::At;
use super::session::refusal;
use super::table::cell;
use crate::failure::Failure;
use crate::output::{line, printable};

#[derive(Args)]
#[command(after_long_help = "\
Follows until Ctrl-C, or until the host stops. With --json each line is a CloudEvent.

Examples:
  exosuit events
  exosuit events --json | jq .type")]
pub(crate) struct Events {
    #[command(flatten)]
    at: At,
}

impl Events {
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.at.reported(|| {
            let mut session = self.at.session(None)?;
            session.request("events", &json!({}))?;
            while let Some(told) = session.next()? {
                let Some(event) = told.get("event") else {
                    return Err(refusal(&told["error"]));
                };
                if self.at.json {
                    line(event)?;
                } else {
                    line(printable(&summary(event)))?;
                }
            }
            Ok(())
        })
    }
}

/// When, what, of whom, and what people look for in the rest.
fn summary(event: &Value) -> String {
    const MORE: [&str; 7] = [
        "revision",
        "instances",
        "operation",
        "endpoints",
        "after_ms",
        "reason",
        "error",
    ];
    let kind = cell(&event["type"]);
    let kind = kind.rsplit('.').next().unwrap_or_default();
    let data = &event["data"];
    let more = MORE.iter().filter_map(|field| {
        let value = data.get(field).filter(|value| !value.is_null())?;
        Some(format!("{field}={}", cell(value)))
    });
    let words = [cell(&event["time"]), kind.to_owned(), subject(data)];
    words.into_iter().chain(more).collect::<Vec<_>>().join(" ")
}

fn subject(data: &Value) -> String {
    match (&data["id"], &data["source"], &data["target"]) {
        (Value::Null, Value::Null, _) => "-".to_owned(),
        (Value::Null, source, target) => format!("{} -> {}", cell(source), cell(target)),
        (id, _, _) => cell(id),
    }
}
