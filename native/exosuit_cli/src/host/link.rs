//! `exosuit link`: which actor may use which capability.
//!
//! A contract is checked before it is sent, so that a typing error is a mistake of the command line
//! (exit code 2) and not a refusal of a host.

use clap::{Args, Subcommand};
use exosuit_core::Contract;
use serde_json::Value;

use super::address::At;
use super::table::{cell, items, table};
use crate::failure::Failure;
use crate::pairs::{Pair, unique};
use crate::protocol::{Command, DeleteLink, PutLink};

#[derive(Subcommand)]
pub(crate) enum Link {
    /// Make a link, or change its configuration.
    Put(Put),
    /// Remove a link: the next call through it is refused.
    Del(Del),
    /// Show all links, without their configuration.
    List(List),
}

#[derive(Args)]
#[command(after_long_help = "\
Example:
  exosuit link put counter-counter store wasmcloud:keyvalue --target-config bucket=visits
  exosuit link put counter-counter store wasi:keyvalue --interface store --interface atomics")]
pub(crate) struct Put {
    /// The id of the actor that uses the capability.
    source: String,
    /// The id of the provider or actor that offers it.
    target: String,
    /// The capability, like wasmcloud:keyvalue.
    contract: String,
    /// The link's name, if there are several links for one contract.
    #[arg(long, default_value = "default")]
    name: String,
    /// An interface that the link covers; may be repeated [default: all].
    #[arg(long = "interface", value_name = "NAME")]
    interfaces: Vec<String>,
    /// Configuration for the source, as KEY=VALUE; may be repeated.
    #[arg(long = "source-config", value_name = "KEY=VALUE")]
    source_config: Vec<Pair>,
    /// Configuration for the target, as KEY=VALUE; may be repeated.
    #[arg(long = "target-config", value_name = "KEY=VALUE")]
    target_config: Vec<Pair>,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
#[command(after_long_help = "\
Example:
  exosuit link del counter-counter wasmcloud:keyvalue")]
pub(crate) struct Del {
    /// The id of the actor that uses the capability.
    source: String,
    /// The capability, like wasmcloud:keyvalue.
    contract: String,
    /// The link's name, if there are several links for one contract.
    #[arg(long, default_value = "default")]
    name: String,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
#[command(after_long_help = "\
Example:
  exosuit link list --data-dir examples/counter/.exosuit")]
pub(crate) struct List {
    #[command(flatten)]
    at: At,
}

impl Link {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Put(put) => put.run(),
            Self::Del(Del {
                source,
                contract,
                name,
                at,
            }) => {
                at.reported(|| check(&contract))?;
                let delete = Command::DeleteLink(DeleteLink {
                    source,
                    contract,
                    name,
                });
                at.ask(&delete, |_| "removed".to_owned())
            }
            Self::List(List { at }) => at.ask(&Command::Links {}, |it| list(&it["links"])),
        }
    }
}

impl Put {
    fn run(self) -> Result<(), Failure> {
        self.at.reported(|| check(&self.contract))?;
        let put = Command::PutLink(PutLink {
            source: self.source,
            target: self.target,
            contract: self.contract,
            name: self.name,
            interfaces: self.interfaces,
            source_config: unique("--source-config", self.source_config)?,
            target_config: unique("--target-config", self.target_config)?,
        });
        self.at.ask(&put, linked)
    }
}

/// The confirmation of a link, with its warnings.
fn linked(answer: &Value) -> String {
    let warnings = items(&answer["warnings"]).iter().map(cell);
    let warnings = warnings.map(|text| format!("\nwarning: {text}"));
    format!("linked{}", warnings.collect::<String>())
}

/// Checks the form of a contract.
fn check(contract: &str) -> Result<(), Failure> {
    Contract::parse(contract).map(drop).map_err(Failure::usage)
}

/// `wasmcloud:keyvalue`, or `wasi:keyvalue/store,atomics`.
fn contract(link: &Value) -> String {
    let interfaces: Vec<_> = items(&link["interfaces"]).iter().map(cell).collect();
    let package = format!("{}:{}", cell(&link["namespace"]), cell(&link["package"]));
    match interfaces.as_slice() {
        [] => package,
        names => format!("{package}/{}", names.join(",")),
    }
}

/// `in force`, `waiting`, or `refused: …, retry in 4 s`.
fn status(link: &Value) -> String {
    let error = cell(&link["error"]);
    match (link["status"].as_str(), link["retry_in_ms"].as_u64()) {
        (Some("refused"), Some(milliseconds)) => {
            let seconds = milliseconds.div_ceil(1_000);
            format!("refused: {error}, retry in {seconds} s")
        }
        (Some("refused"), None) => format!("refused: {error}; not retried: put the link again"),
        (Some("in_force"), _) => "in force".to_owned(),
        (Some(other), _) => other.to_owned(),
        (None, _) => String::new(),
    }
}

/// The links, a line each.
pub(crate) fn list(links: &Value) -> String {
    let row = |link: &Value| {
        [
            cell(&link["source"]),
            cell(&link["target"]),
            contract(link),
            cell(&link["name"]),
            status(link),
        ]
    };
    let headings = ["LINK FROM", "TO", "CONTRACT", "NAME", "STATUS"];
    table(headings, items(links).iter().map(row))
}
