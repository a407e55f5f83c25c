//! `exosuit up`: checks the arguments, then becomes the VM that runs the host.
//!
//! # Why the arguments are checked twice
//!
//! This program starts in a millisecond, the VM in a second. So mistakes that can be seen without
//! the VM are reported here: a manifest that does not exist, a label twice, a key of the wrong
//! kind. The VM checks everything that needs the host.
//!
//! The arguments go to the VM in a variable, as JSON. The servers of a lattice go in the variable
//! that hosts read anyway: a password in them is then neither in the arguments nor in the JSON.
//!
//! `exec` replaces this process by the program that starts the VM. So signals and the exit code are
//! those of that program.

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

/// The variable that names the program that starts the VM. `bin/exosuit` sets it.
const VM: &str = "EXOSUIT_VM";

/// The variable that carries the arguments into the VM, as JSON.
const ARGUMENTS: &str = "EXOSUIT_UP";

/// Variables that name the servers of a lattice, for hosts of either era. The first passes the addresses
/// of `--lattice`, which may hold a password, to the VM.
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
The host runs in the foreground until Ctrl-C or SIGTERM, then drains and stops. If a part of a
manifest is refused, an error is printed and the other parts run. If nothing can run, the exit code
is 1.

In a lattice, the host stores the manifests and the files that they name in the lattice. All hosts of the
lattice run the applications as their scalers say. If an application was last applied by another host or
by `exosuit apply`, it is left unchanged: use `exosuit apply` to change it. If the NATS servers are not on
this machine, --trust is required.

`exosuit actor start` over the lattice names a file of this machine. The host allows files below the
directories of its manifests and of each --allow-files. With WASMCLOUD_ALLOW_FILE_LOAD=true it allows all
files. With false it allows none, and --allow-files is an error.

Examples:
  exosuit up examples/counter/app.yaml --host-label zone=home --data-dir ./data
  exosuit up --lattice nats://127.0.0.1:4222 examples/counter/app.yaml")]
pub(crate) struct Up {
    /// Manifests to apply, in YAML; optional for a host of a lattice.
    #[arg(value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// The NATS servers of the lattice: HOST:PORT or URLs, separated by commas. Without servers, the host
    /// is a lattice of its own.
    #[arg(long, value_name = "URL")]
    lattice: Option<String>,
    /// The name that the hosts of one lattice share.
    #[arg(long, value_name = "NAME")]
    lattice_name: Option<String>,
    /// A label of the host, as KEY=VALUE; may be repeated.
    #[arg(long = "host-label", value_name = "KEY=VALUE")]
    labels: Vec<Pair>,
    /// The directory for data that outlives the host: its identity, its applications, and the files of providers
    /// [default: .exosuit beside the first manifest].
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// For several hosts on one machine: 8080=9080 makes HTTP servers listen on port 9080 if links say
    /// 8080; may be repeated.
    #[arg(long = "http-port", value_name = "PORT=PORT", value_parser = ports)]
    http_ports: Vec<String>,
    /// Answer the API of wadm for the applications of the lattice, so that tools for wadm work. Refused if wadm
    /// itself runs in the lattice.
    #[arg(long)]
    wadm_api: bool,
    /// An issuer whose actors may run: its account key (A...), or `any` for every issuer; may be repeated
    /// [default: any; required if the NATS servers are not on this machine].
    #[arg(long, value_name = "ISSUER", value_parser = issuer)]
    trust: Vec<String>,
    /// A directory whose files `actor start` over the lattice may name, in addition to the directories of the
    /// manifests; may be repeated. Applications do not need it.
    #[arg(long = "allow-files", value_name = "DIRECTORY")]
    allow_files: Vec<PathBuf>,
    /// Whether unsigned Wasm may run [default: deny].
    #[arg(long, value_enum)]
    unsigned: Option<Unsigned>,
}

#[derive(Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Unsigned {
    /// Refuse unsigned Wasm.
    Deny,
    /// Run unsigned Wasm; only its links restrict it.
    Allow,
}

/// The arguments that the VM receives.
#[derive(Serialize)]
struct Arguments {
    manifests: Vec<PathBuf>,
    lattice_name: Option<String>,
    http_ports: Option<String>,
    wadm_api: bool,
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
            .map_err(|_| Failure::usage("the path of a manifest must be UTF-8"))?;
        let vm = env::var_os(VM).filter(|vm| !vm.is_empty()).ok_or_else(|| {
            Failure::missing(
                "a host needs its VM: run bin/exosuit instead of this program, because bin/exosuit finds the VM",
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

    /// Checks the arguments, and makes paths absolute: the VM has another working directory.
    fn check(self) -> Result<Arguments, Failure> {
        if self.manifests.is_empty() && self.lattice.is_none() && !names_a_lattice() {
            return Err(Failure::usage(
                "name a MANIFEST, or a lattice with --lattice or EXOSUIT_LATTICE",
            ));
        }
        let manifests = self.manifests.iter().map(|path| manifest(path));
        Ok(Arguments {
            manifests: manifests.collect::<Result<_, _>>()?,
            lattice_name: self.lattice_name,
            http_ports: (!self.http_ports.is_empty()).then(|| self.http_ports.join(",")),
            wadm_api: self.wadm_api,
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

/// Whether the environment names servers of a lattice; the VM reads them itself.
fn names_a_lattice() -> bool {
    SERVERS
        .iter()
        .any(|name| env::var_os(name).is_some_and(|text| !text.is_empty()))
}

/// The absolute path of a manifest that exists.
fn manifest(path: &Path) -> Result<PathBuf, Failure> {
    if !path.is_file() {
        return Err(Failure::missing(format!(
            "there is no manifest {}",
            path.display()
        )));
    }
    absolute(path)
}

/// The absolute path of a data directory, which need not exist.
fn data_directory(path: &Path) -> Result<PathBuf, Failure> {
    if path.exists() && !path.is_dir() {
        let text = format!("--data-dir {} is not a directory", path.display());
        return Err(Failure::usage(text));
    }
    absolute(path)
}

/// The absolute path of an existing directory.
fn directory(flag: &str, path: &Path) -> Result<PathBuf, Failure> {
    if !path.is_dir() {
        let text = format!("{flag} {} is not a directory", path.display());
        return Err(Failure::usage(text));
    }
    absolute(path)
}

/// The absolute path. Links are not resolved.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let cannot = |error| Failure::io(format!("cannot find {}", path.display()), &error);
    std::path::absolute(path).map_err(cannot)
}

/// Trusts the signatures of every account.
const ANY: &str = "any";

/// The issuers, of which `any` must be alone.
fn issuers(given: Vec<String>) -> Result<Vec<String>, Failure> {
    if given.len() > 1 && given.iter().any(|issuer| issuer == ANY) {
        return Err(Failure::usage(
            "--trust any already trusts every issuer: give either any or the keys of issuers",
        ));
    }
    Ok(given)
}

/// Parses an issuer for clap.
fn issuer(text: &str) -> Result<String, String> {
    if text == ANY {
        return Ok(ANY.to_owned());
    }
    let key = PublicKey::parse(text).map_err(|error| error.to_string())?;
    if key.kind() == KeyKind::Account {
        return Ok(key.to_string());
    }
    Err(format!(
        "expected the key of an account (A...) or any, got a key of kind {}",
        key.kind()
    ))
}

/// Parses a replacement of a port for clap.
fn ports(text: &str) -> Result<String, &'static str> {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    match text.split_once('=') {
        Some((said, listen)) if is_port(said) && is_port(listen) => Ok(text.to_owned()),
        _ => Err("expected two ports from 1 to 65535, like 8080=9080"),
    }
}
