//! Selects the lattice, the host, and the credentials.
//!
//! | what | option | variable |
//! |---|---|---|
//! | the servers | `--lattice` | `EXOSUIT_LATTICE` |
//! | the lattice | `--lattice-name` | `WASMCLOUD_LATTICE`, `WASMCLOUD_LATTICE_PREFIX` |
//! | a credentials file | `--creds` | `EXOSUIT_LATTICE_CREDS` |
//! | certificate authorities | `--tls-ca` | `EXOSUIT_LATTICE_CA` |
//!
//! Options win over variables. The variables are those of hosts, so a command on a host's machine
//! needs no options.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use exosuit_claims::KeyKind;
use exosuit_core::Id;
use exosuit_lattice::{ConnectionOptions, Credentials, Secret, Tls};

use crate::duration::duration;
use crate::failure::Failure;
use crate::seed::SeedArgument;

/// The variable that names the servers, if no argument does.
const SERVERS: &str = "EXOSUIT_LATTICE";

/// Variables that name the lattice without `--lattice-name`, as for hosts of 1.x and of the OTP era.
const NAMES: [&str; 2] = ["WASMCLOUD_LATTICE", "WASMCLOUD_LATTICE_PREFIX"];

/// The variables of a credentials file and of certificate authorities, as for hosts.
const CREDENTIALS: &str = "EXOSUIT_LATTICE_CREDS";
const AUTHORITY: &str = "EXOSUIT_LATTICE_CA";

/// The default wait for an outcome. Fetching and compiling may take a while.
const USUAL_WAIT: Duration = Duration::from_mins(1);

/// The time for one attempt to connect.
const CONNECT: Duration = Duration::from_secs(4);

#[derive(Args)]
#[command(next_help_heading = "Over a lattice")]
pub(crate) struct LatticeArguments {
    /// The NATS servers of a lattice, separated by commas, like `nats://127.0.0.1:4222`. The command then
    /// goes to a host of this lattice [default: those of `EXOSUIT_LATTICE`].
    #[arg(long = "lattice", value_name = "URL", conflicts_with_all = ["socket", "data_dir"])]
    servers: Option<String>,
    /// The lattice's name [default: `WASMCLOUD_LATTICE`, `WASMCLOUD_LATTICE_PREFIX`, or default].
    #[arg(long = "lattice-name", value_name = "NAME")]
    name: Option<String>,
    /// The host: an id, a name, or a unique prefix of one; required if there are several hosts.
    #[arg(long, value_name = "HOST")]
    pub(super) host: Option<String>,
    /// A credentials file, as nsc makes it [default: that of `EXOSUIT_LATTICE_CREDS`].
    #[arg(long, value_name = "FILE", conflicts_with = "nkey")]
    creds: Option<PathBuf>,
    /// The seed of a NATS user (SU...), or a file with it.
    #[arg(long, value_name = "FILE|SEED")]
    nkey: Option<SeedArgument>,
    /// The certificate authorities of the servers, in PEM; requires TLS [default: those of
    /// `EXOSUIT_LATTICE_CA`].
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// How long to wait for the outcome of a command, like 500ms, 5s or 2m [default: 1m].
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "no_wait")]
    wait: Option<Duration>,
    /// Return when the host has accepted the command, without waiting for its outcome.
    #[arg(long)]
    no_wait: bool,
}

impl LatticeArguments {
    /// The servers in the command line.
    pub(crate) fn servers(&self) -> Option<String> {
        self.servers.clone()
    }

    /// Whether the command line names a host of the lattice.
    pub(crate) fn names_host(&self) -> bool {
        self.host.is_some()
    }

    /// The servers in the environment.
    pub(crate) fn servers_of_environment() -> Option<String> {
        variable_of(SERVERS)
    }

    /// An error if an option needs a lattice and none is given.
    pub(crate) fn refuse_unused(&self) -> Result<(), Failure> {
        let given = [
            ("--lattice-name", self.name.is_some()),
            ("--host", self.host.is_some()),
            ("--creds", self.creds.is_some()),
            ("--nkey", self.nkey.is_some()),
            ("--tls-ca", self.tls_ca.is_some()),
            ("--wait", self.wait.is_some()),
            ("--no-wait", self.no_wait),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((option, _)) => Err(Failure::usage(format!(
                "{option} needs a lattice: name its servers with --lattice or {SERVERS}"
            ))),
        }
    }

    /// The name of the lattice.
    pub(super) fn lattice(&self) -> Result<Id, Failure> {
        let name = self.name.clone();
        let name = name.or_else(|| NAMES.into_iter().find_map(variable_of));
        let name = name.as_deref().unwrap_or("default");
        Id::parse(name).map_err(|error| Failure::usage(error).about("--lattice-name"))
    }

    /// How long to wait for an outcome. `None` if the command should not wait.
    pub(super) fn timeout(&self) -> Option<Duration> {
        (!self.no_wait).then(|| self.wait.unwrap_or(USUAL_WAIT))
    }

    /// Whether an option about waiting was given.
    pub(super) fn says_wait(&self) -> bool {
        self.no_wait || self.wait.is_some()
    }

    /// The options of the connection.
    pub(super) fn connection(&self, servers: &str) -> Result<ConnectionOptions, Failure> {
        let servers = servers.split(',').map(str::trim);
        let authority = self.tls_ca.clone().or_else(|| file(AUTHORITY));
        Ok(ConnectionOptions {
            servers: servers.map(str::to_owned).collect(),
            name: "exosuit command".to_owned(),
            credentials: self.credentials()?,
            tls: Tls {
                required: authority.is_some(),
                authority,
                ..Tls::default()
            },
            connect_timeout: CONNECT,
            ..ConnectionOptions::default()
        })
    }

    /// The credentials. Without any, the client logs in anonymously.
    fn credentials(&self) -> Result<Credentials, Failure> {
        match (&self.creds, &self.nkey) {
            (Some(file), _) => Ok(Credentials::File(file.clone())),
            (None, Some(seed)) => {
                let pair = seed.load("--nkey", KeyKind::User)?;
                Ok(Credentials::Key(Secret::new(pair.seed())))
            }
            (None, None) => Ok(file(CREDENTIALS).map_or(Credentials::None, Credentials::File)),
        }
    }
}

/// A variable that is set and not empty.
fn variable_of(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|text| !text.is_empty())
}

fn file(variable: &str) -> Option<PathBuf> {
    variable_of(variable).map(PathBuf::from)
}
