//! The settings of an actor, as Elixir passes them: maps in which every key is required.
//!
//! - [`Claimed`]: from the actor's token.
//! - [`ActorSettings`]: from its specification.
//!
//! Elixir has checked both (`Exosuit.Claims`, `Exosuit.Host.ActorOptions`), so a map that does not
//! decode is a mistake in our own code: rustler raises `ArgumentError`, and `Exosuit.Native.Answer`
//! turns it into `invalid_input`. Decoding copies all strings, in the NIF that takes the map.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use exosuit_core::{Grants, Id, Identity, LogGate};
use exosuit_engine::{ActorOptions, Directory, Instances, Limits, WasiGrants};
use rustler::{Decoder, NifMap, NifResult, NifUnitEnum, Term};

use crate::host::{HostState, LOG_BURST};

/// The claims of an actor's token, together with its settings' key.
///
/// An unsigned actor has `nil` for its key, issuer, alias and expiry. The router then knows it by
/// its id alone.
#[derive(NifMap)]
#[rustler(decode)]
pub(crate) struct Claimed {
    /// `M…`: by this, other hosts and links may name the actor.
    public_key: Option<String>,
    /// `A…`: actors of one name must have one issuer.
    issuer: Option<String>,
    /// A further name for calls.
    call_alias: Option<String>,
    /// The contracts that it may use, if a link allows it, too.
    capabilities: Capabilities,
    /// Unix time in seconds. Checked at each call, because tokens expire while actors run.
    expires_at: Option<u64>,
    /// Actors of one token with different settings have different values here.
    settings: String,
}

/// The names in the token; or `:links`, if links alone decide, as for unsigned actors.
struct Capabilities(Grants);

/// The settings of an actor's specification.
#[derive(NifMap)]
#[rustler(decode)]
pub(super) struct ActorSettings {
    limits: ActorBounds,
    /// `nil` for a fresh instance for each call.
    warm: Option<Warm>,
    /// The values of `wasi:config`.
    config: HashMap<String, String>,
    grants: Granted,
}

/// Limits of one actor.
#[derive(NifMap)]
#[rustler(decode)]
struct ActorBounds {
    /// Bytes of linear memory of one instance, over all its memories.
    memory: usize,
    /// Elements of a table. `nil` for the default of the engine.
    table: Option<usize>,
    /// Log lines per second. `nil` for the rate that all actors of the host have.
    log: Option<u32>,
    /// After how many milliseconds without a call an instance ends that holds resources for a caller.
    resource_idle: Option<u64>,
}

/// Instances that are kept between calls.
#[derive(NifMap)]
#[rustler(decode)]
struct Warm {
    /// How many instances are kept. More may run at once; the surplus is dropped after its call.
    pool: usize,
    /// After how many calls an instance is replaced.
    calls: u32,
    /// After how many milliseconds without a call an instance is dropped.
    idle: u64,
}

/// The parts of the host that WASI gives to the actor.
#[derive(NifMap)]
#[rustler(decode)]
struct Granted {
    /// The command line behind the name of the program.
    arguments: Vec<String>,
    /// Values may be secrets, so nothing here has a debug form.
    environment: HashMap<String, String>,
    directories: Vec<GrantedDirectory>,
}

/// A directory of the host, and the name that the actor sees.
#[derive(NifMap)]
#[rustler(decode)]
struct GrantedDirectory {
    /// An absolute path of the host.
    host: PathBuf,
    /// The path that the actor sees, such as `/data`.
    guest: String,
    access: Access,
}

/// `:read` or `:write`; writing includes reading.
#[derive(NifUnitEnum, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl<'a> Decoder<'a> for Capabilities {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        // Other atoms grant nothing, because a `nil` by mistake must not grant everything.
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

impl ActorSettings {
    /// The options for the engine. Calls of the actor go to the router of this host, which is held
    /// weakly: the router holds the actor, and a cycle would keep both forever.
    pub(super) fn into_options(self, id: Id, host: &HostState) -> ActorOptions {
        ActorOptions {
            id,
            limits: self.limits.to_limits(),
            instances: self.warm.map_or(Instances::Ephemeral, Instances::from),
            config: self.config.into_iter().collect(),
            grants: self.grants.into(),
            outbound: host.deliver(),
            log: self.limits.to_log_gate(host),
            simulation: host.simulation(),
        }
    }
}

impl ActorBounds {
    /// The limits for the engine. The bound on messages is the same for all actors.
    fn to_limits(&self) -> Limits {
        let defaults = Limits::default();
        Limits {
            memory_bytes: self.memory,
            table_elements: self.table.unwrap_or(defaults.table_elements),
            resource_idle: self
                .resource_idle
                .map_or(defaults.resource_idle, Duration::from_millis),
            ..defaults
        }
    }

    /// The log gate of the host, which gives each actor the same rate; or one with this actor's own
    /// rate. A gate of its own lets at least [`LOG_BURST`] lines through at once, as the host's does:
    /// a small rate bounds the long run, not the first lines of a start.
    fn to_log_gate(&self, host: &HostState) -> Arc<LogGate> {
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
