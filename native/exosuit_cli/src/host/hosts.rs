//! `exosuit hosts`: the hosts of a lattice.
//!
//! Over a lattice, all hosts are pinged, and each that answers is asked for its inventory. Without
//! one, the host of this machine is shown in the same form.

use clap::Args;
use serde_json::{Value, json};

use super::address::{At, Conversation};
use super::table::{cell, items, table};
use crate::failure::Failure;
use crate::protocol::Command;

#[derive(Args)]
#[command(after_long_help = "\
Without a lattice, shows the host of this machine. REACHABLE is `no` if a host answered the ping, but not
the request for its inventory.

Examples:
  exosuit hosts --lattice nats://127.0.0.1:4222
  exosuit hosts --json | jq -r '.hosts[].host_id'")]
pub(crate) struct Hosts {
    #[command(flatten)]
    at: At,
}

impl Hosts {
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.at.reported(|| {
            let answer = match self.at.conversation()? {
                Conversation::Socket(mut session) => {
                    alone(&session.request(&Command::Inventory {})?)
                }
                Conversation::Lattice(lattice) => lattice.hosts()?,
            };
            self.at.print(&answer, show)
        })
    }
}

/// The host of this machine, as one of a lattice.
fn alone(inventory: &Value) -> Value {
    let host = json!({
        "host_id": inventory["host_id"],
        "friendly_name": inventory["friendly_name"],
        "labels": inventory["labels"],
        "uptime_seconds": inventory["uptime_seconds"],
        "version": inventory["version"],
        "actors": items(&inventory["actors"]).len(),
        "providers": items(&inventory["providers"]).len(),
        "reachable": true,
    });
    json!({"lattice": inventory["lattice"], "hosts": [host]})
}

/// A table of the hosts.
fn show(answer: &Value) -> String {
    let row = |host: &Value| {
        [
            cell(&host["host_id"]),
            cell(&host["friendly_name"]),
            uptime(&host["uptime_seconds"]),
            cell(&host["version"]),
            cell(&host["actors"]),
            cell(&host["providers"]),
            if host["reachable"] == true {
                "yes"
            } else {
                "no"
            }
            .to_owned(),
            cell(&host["labels"]),
        ]
    };
    let headings = [
        "HOST",
        "NAME",
        "UPTIME",
        "VERSION",
        "ACTORS",
        "PROVIDERS",
        "REACHABLE",
        "LABELS",
    ];
    table(headings, items(&answer["hosts"]).iter().map(row))
}

/// The two largest units of a time.
fn uptime(seconds: &Value) -> String {
    let Some(seconds) = seconds.as_u64() else {
        return cell(seconds);
    };
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let first = units.iter().position(|(count, _)| *count > 0);
    let units = units.iter().skip(first.unwrap_or(3)).take(2);
    let units = units.map(|(count, unit)| format!("{count}{unit}"));
    units.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_units() {
        for (seconds, shown) in [
            (0, "0s"),
            (59, "59s"),
            (3_599, "59m 59s"),
            (90_061, "1d 1h"),
        ] {
            assert_eq!(uptime(&json!(seconds)), shown);
        }
        assert_eq!(uptime(&Value::Null), "-");
    }
}
