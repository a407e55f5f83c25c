//! `exosuit inventory`: the actors, providers and links of a host, and their status.
//!
//! Four tables: actors, providers, links, and what does not run with the reason and the time of the
//! next try. The last one is left out if everything runs.

use clap::Args;
use serde_json::Value;

use super::address::At;
use super::link;
use super::table::{cell, items, table, wrapped};
use crate::failure::Failure;
use crate::output::printable;
use crate::protocol::Command;

#[derive(Args)]
#[command(after_long_help = "\
Rows are sorted, and cut to the width of the terminal; --json prints them whole.

Examples:
  exosuit inventory --data-dir examples/counter/.exosuit
  exosuit inventory --json | jq '.actors[].id'")]
pub(crate) struct Inventory {
    #[command(flatten)]
    at: At,
}

impl Inventory {
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.at.ask(&Command::Inventory {}, show)
    }
}

/// The tables.
fn show(inventory: &Value) -> String {
    let head = format!(
        "host {}, lattice {}, labels {}",
        cell(&inventory["host_id"]),
        cell(&inventory["lattice"]),
        cell(&inventory["labels"])
    );
    let mut sections = vec![
        wrapped(&printable(&head)),
        actors(&inventory["actors"]),
        providers(&inventory["providers"]),
        link::list(&inventory["links"]),
    ];
    sections.extend(not_running(inventory));
    sections.join("\n\n")
}

/// The actors and providers that do not run, with the reason and the next try.
fn not_running(inventory: &Value) -> Option<String> {
    let all = ["actors", "providers", "pending"].map(|kind| items(&inventory[kind]));
    let waiting: Vec<_> = all
        .iter()
        .flat_map(|of_a_kind| of_a_kind.iter())
        .filter(|it| !it["error"].is_null())
        .collect();
    let row = |it: &&Value| {
        [
            cell(&it["id"]),
            cell(&it["status"]),
            next_try(&it["retry_in_ms"]),
            cell(&it["error"]),
        ]
    };
    let headings = ["NOT RUNNING", "STATUS", "NEXT TRY", "WHY"];
    (!waiting.is_empty()).then(|| table(headings, waiting.iter().map(row)))
}

/// When the host tries again. Without a time, it waits for a change.
fn next_try(milliseconds: &Value) -> String {
    match milliseconds.as_u64() {
        Some(milliseconds) => format!("in {} s", milliseconds.div_ceil(1_000)),
        None => "when changed".to_owned(),
    }
}

fn actors(actors: &Value) -> String {
    let row = |actor: &Value| {
        let claims = &actor["claims"];
        [
            cell(&actor["id"]),
            cell(&actor["status"]),
            cell(&actor["instances"]),
            cell(&claims["name"]),
            cell(&claims["revision"]),
            cell(&actor["image_ref"]),
        ]
    };
    let headings = ["ACTOR", "STATUS", "INSTANCES", "NAME", "REVISION", "IMAGE"];
    table(headings, items(actors).iter().map(row))
}

fn providers(providers: &Value) -> String {
    let row = |provider: &Value| {
        [
            cell(&provider["id"]),
            cell(&provider["status"]),
            cell(&provider["endpoints"]),
            cell(&provider["refused_links"]),
            cell(&provider["image_ref"]),
        ]
    };
    let headings = ["PROVIDER", "STATUS", "LISTENS AT", "REFUSED", "IMAGE"];
    table(headings, items(providers).iter().map(row))
}
