//! `exosuit up`: checks the arguments, then becomes the VM that runs the host.

use std::collections::BTreeMap;
use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueEnum};
use exosuit_claims::{KeyKind, PublicKey};
use serde::Serialize;

use crate::failure::Failure;
use crate::pairs::{Pair, unique};

/// Names the program that starts the VM; `bin/exosuit` sets it.
const VM: &str = "EXOSUIT_VM";

/// Carries the arguments into the VM, as JSON.
const ARGUMENTS: &str = "EXOSUIT_UP";

/// Say where the servers of a lattice are, for hosts of either era. The first carries the addresses of
/// `--lattice`, which may hold a password, to where the host reads them.
const SERVERS: [&str; 7] = [
    "EXOSUIT_LATTICE",
    "WASMCLOUD_NATS_HOST",
    "WASMCLOUD_NATS_PORT",
    "WASMCLOUD_CTL_HOST",
    "WASMCLOUD_CTL_PORT",
    "WASMCLOUD_RPC_HOST",
    "WASMCLOUD_RPC_PORT",
];

#[derive(Args)]
#[command(after_long_help = "\
The host runs in the foreground until Ctrl-C or SIGTERM, then drains and stops. What is refused is
told, and the rest goes on; where nothing is left, the exit code is 1.

In a lattice, what the manifests name goes to all hosts that are there, as their scalers say. Each host
reads the files on its own machine: below the directories of its own manifests, everywhere with
WASMCLOUD_ALLOW_FILE_LOAD=true, and nowhere with false; --allow-files adds a directory. A lattice that is not on this machine demands
--trust.

Examples:
  exosuit up examples/counter/app.yaml --host-label zone=home --data-dir ./data
  exosuit up --lattice nats://127.0.0.1:4222 examples/counter/app.yaml")]
pub(crate) struct Up {
    /// What is to run, as YAML. A host of a lattice may begin without.
    #[arg(value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// Where the NATS servers of the lattice are: HOST:PORT or URLs, with commas between them. Without
    /// it, the host is a lattice by itself.
    #[arg(long, value_name = "URL")]
    lattice: Option<String>,
    /// The name that the hosts of one lattice share.
    #[arg(long, value_name = "NAME")]
    lattice_name: Option<String>,
    /// A label of the host, as KEY=VALUE; may be repeated.
    #[arg(long = "host-label", value_name = "KEY=VALUE")]
    labels: Vec<Pair>,
    /// Where the host keeps what must outlive it.
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// Has HTTP servers of this host listen on another port than links say, as SAID=LISTEN; may be
    /// repeated. For several hosts on one machine.
    #[arg(long = "http-port", value_name = "SAID=LISTEN", value_parser = ports)]
    http_ports: Vec<String>,
    /// An account whose signatures count (A...), may be repeated; or `any` [default: any, unless the
    /// lattice is not on this machine].
    #[arg(long, value_name = "ISSUER", value_parser = issuer)]
    trust: Vec<String>,
    /// A directory below which commands of the lattice may start files, beside those of the manifests;
    /// may be repeated.
    #[arg(long = "allow-files", value_name = "DIRECTORY")]
    allow_files: Vec<PathBuf>,
    /// What becomes of Wasm without a token [default: deny].
    #[arg(long, value_enum)]
    unsigned: Option<Unsigned>,
}

#[derive(Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Unsigned {
    /// Refuse it.
    Deny,
    /// Let it run, with its links as its only grant.
    Allow,
}

/// What the VM is told.
#[derive(Serialize)]
struct Arguments {
    manifests: Vec<PathBuf>,
    lattice_name: Option<String>,
    http_ports: Option<String>,
    labels: BTreeMap<String, String>,
    data_dir: Option<PathBuf>,
    trust: Vec<String>,
    allow_files: Vec<PathBuf>,
    unsigned: Option<Unsigned>,
}

impl Up {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let servers = self.lattice.clone();
        let arguments = self.check()?;
        let json = serde_json::to_string(&arguments)
            .map_err(|_| Failure::usage("a path is not UTF-8, and manifests are named in JSON"))?;
        let vm = env::var_os(VM).filter(|vm| !vm.is_empty()).ok_or_else(|| {
            Failure::missing(
                "a host needs its VM: run bin/exosuit, which finds it, rather than this program",
            )
        })?;
        // Only a failure returns: on success this process is the VM.
        let error = Command::new(&vm)
            .env(ARGUMENTS, json)
            .envs(servers.map(|servers| (SERVERS[0], servers)))
            .exec();
        Err(Failure::io(
            format!("cannot start {}", vm.display()),
            &error,
        ))
    }

    fn check(self) -> Result<Arguments, Failure> {
        if self.manifests.is_empty() && self.lattice.is_none() && !names_a_lattice() {
            return Err(Failure::usage(
                "name a MANIFEST, or a lattice: with --lattice or EXOSUIT_LATTICE",
            ));
        }
        let manifests = self.manifests.iter().map(|path| manifest(path));
        Ok(Arguments {
            manifests: manifests.collect::<Result<_, _>>()?,
            lattice_name: self.lattice_name,
            http_ports: (!self.http_ports.is_empty()).then(|| self.http_ports.join(",")),
            labels: unique("--host-label", self.labels)?,
            data_dir: self.data_dir.as_deref().map(data_directory).transpose()?,
            trust: issuers(self.trust)?,
            allow_files: self
                .allow_files
                .iter()
                .map(|path| directory("--allow-files", path))
                .collect::<Result<_, _>>()?,
            unsigned: self.unsigned,
        })
    }
}

/// Whether the environment says where the servers of a lattice are; the VM reads what it says.
fn names_a_lattice() -> bool {
    SERVERS
        .iter()
        .any(|name| env::var_os(name).is_some_and(|text| !text.is_empty()))
}

fn manifest(path: &Path) -> Result<PathBuf, Failure> {
    if !path.is_file() {
        return Err(Failure::missing(format!(
            "there is no manifest {}",
            path.display()
        )));
    }
    absolute(path)
}

fn data_directory(path: &Path) -> Result<PathBuf, Failure> {
    if path.exists() && !path.is_dir() {
        let text = format!("--data-dir {} is not a directory", path.display());
        return Err(Failure::usage(text));
    }
    absolute(path)
}

/// A directory that is there.
fn directory(flag: &str, path: &Path) -> Result<PathBuf, Failure> {
    if !path.is_dir() {
        let text = format!("{flag} {} is not a directory", path.display());
        return Err(Failure::usage(text));
    }
    absolute(path)
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let cannot = |error| Failure::io(format!("cannot find {}", path.display()), &error);
    std::path::absolute(path).map_err(cannot)
}

/// Every account's signatures count.
const ANY: &str = "any";

fn issuers(given: Vec<String>) -> Result<Vec<String>, Failure> {
    if given.len() > 1 && given.iter().any(|issuer| issuer == ANY) {
        return Err(Failure::usage(
            "--trust any trusts every issuer: name some, or any, not both",
        ));
    }
    Ok(given)
}

fn issuer(text: &str) -> Result<String, String> {
    if text == ANY {
        return Ok(ANY.to_owned());
    }
    let key = PublicKey::parse(text).map_err(|error| error.to_string())?;
    if key.kind() == KeyKind::Account {
        return Ok(key.to_string());
    }
    Err(format!(
        "expected the key of an account (A...) or any, this one is of kind {}",
        key.kind()
    ))
}

fn ports(text: &str) -> Result<String, &'static str> {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    match text.split_once('=') {
        Some((said, listen)) if is_port(said) && is_port(listen) => Ok(text.to_owned()),
        _ => Err("expected two ports, like 8080=9080"),
    }
}
