//! `exosuit events`: the events of a host or a lattice, as they happen.
//!
//! Events of Exosuit and of 1.x have different fields. A line shows the first field that names a
//! subject, and then the details that the event has. Unknown fields are left out; `--json` prints
//! all.

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

    /// Prints events until the host closes the connection, which it does when it stops.
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

    /// Prints one event.
    fn show(&self, event: &Value) -> Result<(), Failure> {
        if self.at.json() {
            return line(event);
        }
        line(printable(&summary(event)))
    }
}

/// The fields of our own events and those of 1.x that name the subject of an event, the first of them that it has.
/// `guides/events.md` lists the fields of our own.
const SUBJECTS: [&str; 13] = [
    "id",
    "component_id",
    "provider_id",
    "app",
    "apps",
    "provider",
    "config_name",
    "option",
    "key",
    "path",
    "oci_url",
    "friendly_name",
    "host_id",
];

/// The fields that a line shows beside the subject.
const DETAILS: [&str; 17] = [
    "connection",
    "bucket",
    "version",
    "revision",
    "instances",
    "max_instances",
    "operation",
    "endpoints",
    "file",
    "call_alias",
    "count",
    "skew_ms",
    "after_ms",
    "warning",
    "what",
    "reason",
    "error",
];

/// A line: time, type, subject, details.
fn summary(event: &Value) -> String {
    let kind = cell(&event["type"]);
    let kind = kind.rsplit('.').next().unwrap_or_default();
    let data = &event["data"];
    let details = DETAILS.iter().filter_map(|field| {
        let value = data.get(field).filter(|value| !value.is_null())?;
        Some(format!("{field}={}", cell(value)))
    });
    let words = [cell(&event["time"]), kind.to_owned(), subject(data)];
    words
        .into_iter()
        .chain(details)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The subject: both ends if it is a link or a call. `-` if the event has none.
fn subject(data: &Value) -> String {
    let field = |names: &[&str]| {
        let values = names.iter().map(|name| &data[*name]);
        values.into_iter().find(|value| !value.is_null())
    };
    let source = field(&["source", "source_id", "actor_id"]);
    let target = field(&["target", "provider_id"]);
    match (source, target, field(&SUBJECTS)) {
        (Some(source), Some(target), _) => format!("{} -> {}", cell(source), cell(target)),
        (_, _, Some(subject)) => cell(subject),
        (Some(one), None, None) | (None, Some(one), None) => cell(one),
        (None, None, None) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(kind: &str, data: &Value) -> String {
        let kind = format!("com.wasmcloud.lattice.{kind}");
        summary(&json!({"time": "T", "type": kind, "data": data}))
    }

    #[test]
    fn a_line_names_the_subject() {
        let failed = json!({"app": "shop", "version": 3, "reason": "unhealthy"});
        assert_eq!(
            line("application_failed", &failed),
            "T application_failed shop version=3 reason=unhealthy"
        );
        let lost = json!({"host_id": "N", "friendly_name": null});
        assert_eq!(line("host_lost", &lost), "T host_lost N");
        let refused = json!({"target": "kv", "count": 2, "error": "replayed"});
        assert_eq!(
            line("invocations_refused", &refused),
            "T invocations_refused kv count=2 error=replayed"
        );
        let skew = json!({"connection": "rpc", "source": "echo", "skew_ms": 40_000});
        assert_eq!(
            line("lattice_clock_skew", &skew),
            "T lattice_clock_skew echo connection=rpc skew_ms=40000"
        );
    }

    #[test]
    fn a_link_and_a_call_are_named_by_both_ends() {
        let link = json!({"source": "a", "target": "kv", "warning": "no effect"});
        assert_eq!(
            line("link_warning", &link),
            "T link_warning a -> kv warning=no effect"
        );
        let old = json!({"actor_id": "M", "provider_id": "V"});
        assert_eq!(line("linkdef_set", &old), "T linkdef_set M -> V");
    }
}
