//! `exosuit events`: the events of a host or a lattice, as they happen.

use clap::Args;
use serde_json::Value;

use super::address::{At, Conversation};
use super::session::Session;
use super::table::cell;
use crate::failure::Failure;
use crate::output::{line, printable};
use crate::protocol::{Command, refusal};

#[derive(Args)]
#[command(after_long_help = "\
Prints events until Ctrl-C, or until the host stops. With --lattice, prints the events of all hosts, or
of the host that --host names. With --json, each line is a CloudEvent.

Examples:
  exosuit events
  exosuit events --json | jq .type
  exosuit events --lattice nats://127.0.0.1:4222")]
pub(crate) struct Events {
    #[command(flatten)]
    at: At,
}

impl Events {
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.at.reported(|| match self.at.conversation()? {
            Conversation::Socket(session) => self.follow(session),
            Conversation::Lattice(lattice) => lattice.follow(|event| self.show(event)),
        })
    }

    fn follow(&self, mut session: Session) -> Result<(), Failure> {
        session.request(&Command::Subscribe {})?;
        while let Some(told) = session.next()? {
            let Some(event) = told.get("event") else {
                return Err(refusal(&told["error"]));
            };
            self.show(event)?;
        }
        Ok(())
    }

    fn show(&self, event: &Value) -> Result<(), Failure> {
        if self.at.json() {
            return line(event);
        }
        line(printable(&summary(event)))
    }
}

/// When, what, of whom, and what people look for in the rest.
fn summary(event: &Value) -> String {
    const MORE: [&str; 8] = [
        "revision",
        "instances",
        "max_instances",
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

/// Of whom: by the names that our own events have, and those that 1.x has.
fn subject(data: &Value) -> String {
    let field = |names: &[&str]| {
        let values = names.iter().map(|name| &data[*name]);
        values.into_iter().find(|value| !value.is_null())
    };
    let source = field(&["source", "source_id", "actor_id"]);
    let target = field(&["target", "provider_id"]);
    let id = field(&[
        "id",
        "component_id",
        "provider_id",
        "config_name",
        "friendly_name",
    ]);
    match (source, target, id) {
        (Some(source), Some(target), _) => format!("{} -> {}", cell(source), cell(target)),
        (Some(source), None, None) => cell(source),
        (_, _, Some(id)) => cell(id),
        (None, _, None) => "-".to_owned(),
    }
}
