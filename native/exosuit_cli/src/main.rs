//! The command `exosuit`. Keys and claims need no VM; commands go to a running host; `up` becomes
//! the VM.
//!
//! - `keys`, `claims`: from files to files, without a VM, so they answer at once.
//! - `hosts`, `inventory`, `call`, `actor`, `provider`, `link`, `events`, `apply`, `app`, `stop`:
//!   lines of JSON over the socket of a running host, or messages to any host of a lattice.
//! - `run`: becomes `exosuit-run`, which runs one file without a host.
//! - `up`: checks its arguments, then becomes the VM that runs the host. `remote`: asks a host for
//!   its VM, then becomes `IEx` on it.
//!
//! # The life of a command
//!
//! 1. `bin/exosuit` finds the VM and passes its place in variables. Then it starts this program.
//! 2. clap parses the arguments. Help goes to stdout, mistakes to stderr, with exit code 2.
//! 3. `host` commands choose a way: the socket of a host on this machine, or NATS to a host of a
//!    lattice.
//! 4. The answer is printed for people, or as one line of JSON with `--json`.
//! 5. An error goes to stderr, and with `--json` to stdout as well. The exit code is 1.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | success |
//! | 1 | a host refused, something is missing, a signature is invalid |
//! | 2 | a mistake in the command line |
//!
//! # Rules
//!
//! - Texts from outside (a host, a token, a guest) are escaped before they reach a terminal, see
//!   `output`.
//! - Seeds never appear in an error, not even if they were given in the wrong place, see `redact`.
//! - The documentation comments on types of clap are its help texts. So they are written for users.

#![forbid(unsafe_code)]

mod claims;
mod duration;
mod environment;
mod failure;
mod files;
mod host;
mod inspect;
mod keys;
mod lattice;
mod output;
mod pairs;
mod protocol;
mod redact;
mod run;
mod seed;
mod up;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use failure::Failure;

/// An OTP host for WebAssembly.
#[derive(Parser)]
#[command(name = "exosuit", version, arg_required_else_help = true)]
#[command(after_long_help = "\
Exit codes: 0 success, 1 failure or failed verification, 2 mistake in the command line.
Errors go to stderr. With --json, they also go to stdout: {\"error\": \"...\", \"code\": \"...\"}.

Example:
  exosuit up examples/counter/app.yaml")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a host, and run the applications of the manifests.
    Up(up::Up),
    /// Run a program, or serve an HTTP component, without a host.
    Run(run::Run),
    /// Show the hosts of a lattice.
    Hosts(host::Hosts),
    /// Show the actors, providers and links of a host.
    Inventory(host::Inventory),
    /// Call an actor, and print its answer.
    Call(host::Call),
    /// Start, stop, scale and update actors.
    #[command(subcommand, arg_required_else_help = true)]
    Actor(host::Actor),
    /// Start and stop providers.
    #[command(subcommand, arg_required_else_help = true)]
    Provider(host::Provider),
    /// Make, remove and list links.
    #[command(subcommand, arg_required_else_help = true)]
    Link(host::Link),
    /// Print the events of a host as they happen.
    Events(host::Events),
    /// Apply a manifest: store it, and deploy it on the hosts of the lattice.
    Apply(host::Apply),
    /// Show, deploy, roll back and delete applications.
    #[command(subcommand, arg_required_else_help = true)]
    App(host::App),
    /// Delete an application, as `app delete` does.
    Delete(host::Delete),
    /// Open an interactive Elixir shell on a running host.
    Remote(host::Remote),
    /// Stop a running host of this machine.
    Stop(host::Stop),
    /// Make keys.
    #[command(subcommand, arg_required_else_help = true)]
    Keys(keys::Keys),
    /// Show what a module or component imports, exports and needs.
    Inspect(inspect::Inspect),
    /// Sign Wasm, and inspect signatures.
    #[command(subcommand, arg_required_else_help = true)]
    Claims(claims::Claims),
}

impl Command {
    /// Runs the command. `up` and `remote` return only on failure.
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Up(up) => up.run(),
            Self::Run(run) => run.run(),
            Self::Hosts(hosts) => hosts.run(),
            Self::Inventory(inventory) => inventory.run(),
            Self::Call(call) => call.run(),
            Self::Actor(actor) => actor.run(),
            Self::Provider(provider) => provider.run(),
            Self::Link(link) => link.run(),
            Self::Events(events) => events.run(),
            Self::Apply(apply) => apply.run(),
            Self::App(app) => app.run(),
            Self::Delete(delete) => delete.run(),
            Self::Remote(remote) => remote.run(),
            Self::Stop(stop) => stop.run(),
            Self::Keys(keys) => keys.run(),
            Self::Inspect(inspect) => inspect.run(),
            Self::Claims(claims) => claims.run(),
        }
    }
}

/// Parses, runs, and reports.
fn main() -> ExitCode {
    match parse() {
        Ok(cli) => match cli.command.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        },
        Err(error) => explain(&error),
    }
}

/// The command line. The help of `up` includes the table of environment variables.
fn parse() -> Result<Cli, clap::Error> {
    let command = Cli::command().mut_subcommand("up", |up| {
        let help = up.get_after_long_help().map(ToString::to_string);
        up.after_long_help(help.unwrap_or_default() + &environment::help())
    });
    Cli::from_arg_matches(&command.try_get_matches()?)
}

/// Prints help to stdout, and mistakes in the command line to stderr.
fn explain(error: &clap::Error) -> ExitCode {
    let text = redact::redact(&error.render().to_string());
    if error.use_stderr() {
        eprint!("{text}");
        return ExitCode::from(2);
    }
    match output::line(text.trim_end()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
