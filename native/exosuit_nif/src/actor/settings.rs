//! What an actor is published with, as Elixir says it: maps, each key of which must be there.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use exosuit_core::{Grants, Id, Identity, LogGate};
use exosuit_engine::{ActorOptions, Directory, Instances, Limits, WasiGrants};
use rustler::{Decoder, NifMap, NifResult, NifUnitEnum, Term};

use crate::host::{Inner, LOG_BURST};

/// What its token says.
#[derive(NifMap)]
#[rustler(decode)]
pub(crate) struct Claimed {
    public_key: Option<String>,
    issuer: Option<String>,
    call_alias: Option<String>,
    capabilities: Capabilities,
    /// Unix time.
    expires_at: Option<u64>,
    /// Tells apart what actors of one token run with.
    settings: String,
}

/// The names that the token has, or `:links`.
struct Capabilities(Grants);

/// What its specification says.
#[derive(NifMap)]
#[rustler(decode)]
pub(super) struct Settings {
    limits: Bounds,
    warm: Option<Warm>,
    config: HashMap<String, String>,
    grants: Granted,
}

#[derive(NifMap)]
#[rustler(decode)]
struct Bounds {
    /// Bytes of linear memory.
    memory: usize,
    /// Elements of a table.
    table: Option<usize>,
    /// Lines in a second.
    log: Option<u32>,
}

/// Instances that are kept between calls.
#[derive(NifMap)]
#[rustler(decode)]
struct Warm {
    pool: usize,
    calls: u32,
    /// Milliseconds.
    idle: u64,
}

#[derive(NifMap)]
#[rustler(decode)]
struct Granted {
    arguments: Vec<String>,
    environment: HashMap<String, String>,
    directories: Vec<GrantedDirectory>,
}

#[derive(NifMap)]
#[rustler(decode)]
struct GrantedDirectory {
    host: PathBuf,
    guest: String,
    access: Access,
}

#[derive(NifUnitEnum, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl<'a> Decoder<'a> for Capabilities {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        // No other atom grants anything: a `nil` by mistake must not.
        Ok(Self(match term.atom_to_string().as_deref() {
            Ok("links") => Grants::Links,
            _ => Grants::Capabilities(term.decode()?),
        }))
    }
}

impl From<Claimed> for Identity {
    fn from(claimed: Claimed) -> Self {
        let Capabilities(grants) = claimed.capabilities;
        Self {
            public_key: claimed.public_key,
            issuer: claimed.issuer,
            call_alias: claimed.call_alias,
            grants,
            expires_at: claimed.expires_at,
            settings: claimed.settings,
        }
    }
}

impl Settings {
    pub(super) fn into_options(self, id: Id, host: &Inner) -> ActorOptions {
        ActorOptions {
            id,
            limits: self.limits.to_limits(),
            instances: self.warm.map_or(Instances::Ephemeral, Instances::from),
            config: self.config.into_iter().collect(),
            grants: self.grants.into(),
            outbound: host.deliver(),
            log: self.limits.to_log_gate(host),
        }
    }
}

impl Bounds {
    fn to_limits(&self) -> Limits {
        let defaults = Limits::default();
        Limits {
            memory_bytes: self.memory,
            table_elements: self.table.unwrap_or(defaults.table_elements),
            ..defaults
        }
    }

    /// The host's, in which each actor has its share; or one with the rate that the actor was given.
    fn to_log_gate(&self, host: &Inner) -> Arc<LogGate> {
        match self.log {
            None => Arc::clone(&host.log),
            Some(rate) => Arc::new(LogGate::new(
                host.notices.clone(),
                rate,
                rate.max(LOG_BURST),
            )),
        }
    }
}

impl From<Warm> for Instances {
    fn from(warm: Warm) -> Self {
        Self::Warm {
            pool: warm.pool,
            calls: warm.calls,
            idle: Duration::from_millis(warm.idle),
        }
    }
}

impl From<Granted> for WasiGrants {
    fn from(granted: Granted) -> Self {
        let directories = granted.directories.into_iter();
        Self {
            arguments: granted.arguments,
            environment: granted.environment.into_iter().collect(),
            directories: directories.map(Directory::from).collect(),
        }
    }
}

impl From<GrantedDirectory> for Directory {
    fn from(granted: GrantedDirectory) -> Self {
        Self {
            host: granted.host,
            guest: granted.guest,
            writable: granted.access == Access::Write,
        }
    }
}
