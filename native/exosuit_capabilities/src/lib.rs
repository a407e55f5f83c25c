//! The built-in providers, each an implementation of [`Capability`].
//!
//! - [`HttpServer`] (`wasmcloud:httpserver`, `wasi:http`): routes on ports, each request an
//!   invocation. [`HttpPorts`]: the ports that the servers of one host share.
//! - [`HttpClient`] (`wasmcloud:httpclient`, `wasi:http`): requests of actors, to the hosts that their links allow.
//! - [`KeyValue`] (`wasmcloud:keyvalue`, `wasi:keyvalue`): in memory, in a file that survives
//!   `kill -9`, or in the lattice, for all its hosts.
//! - [`Logging`] (`wasmcloud:builtin:logging`, `wasi:logging`) and [`NumberGen`]
//!   (`wasmcloud:builtin:numbergen`): builtins, which actors may call without a link.
//! - [`Messaging`] (`wasmcloud:messaging`): publish, request and subscriptions, over the lattice of
//!   the host.
//! - [`LocalLattice`]: the lattice of a host that is alone.
//! - [`open`]: a provider by its name or reference; [`check`] checks its settings beforehand.
//!   [`exosuit_core::BUILTINS`] lists them, with their contracts and settings.
//!
//! # The life of a provider
//!
//! 1. Elixir calls [`check`] with the settings of a manifest, and later [`open`]. Both may read
//!    files.
//! 2. The router registers the result, and calls `prepare` and `switch` for each link.
//! 3. `invoke` answers calls of actors. A server or a listener calls actors itself, through
//!    `deliver`.
//! 4. `health` is asked at intervals. An `unavailable` waits; any other error restarts the
//!    provider.
//! 5. `drain` ends what came from outside. `stop` closes sockets and files.
//!
//! # Rules for all of them
//!
//! - A change of a link has two phases, so an update that fails leaves the former link in force.
//! - The settings come from one table, [`exosuit_core::BUILTINS`], which also makes their
//!   documentation.
//! - A reference to the router is weak, because the router holds the providers.
//! - Whatever comes from a guest or a client has a bound, and its overflow has an error or a
//!   status.
//! - Nothing logs: what nobody waits for becomes a notice.

#![forbid(unsafe_code)]

#[cfg(fuzzing)]
pub mod fuzz;
mod http;
mod keyvalue;
mod local;
mod logging;
mod message;
mod messaging;
mod numbergen;
mod settings;
mod wit;

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use exosuit_core::{
    Builtin, Capability, Code, Configuration, Deliver, Error, Given, Id, Lattice, Notice, Observe,
};

pub use http::{HttpClient, HttpPorts, HttpServer};
pub use keyvalue::KeyValue;
pub use local::LocalLattice;
pub use logging::Logging;
pub use messaging::Messaging;
pub use numbergen::NumberGen;

/// The things that a built-in provider gets from its host.
pub struct Surroundings {
    /// Its id on the host.
    pub id: Id,
    /// Its own settings. Those of a link override them.
    pub configuration: Configuration,
    /// The directory for its files. None if the host keeps no files.
    pub data_dir: Option<PathBuf>,
    /// Delivers its calls of actors: the router. Weak, because the router holds the provider.
    pub deliver: Weak<dyn Deliver>,
    /// Receives its notices: warnings and failures that no caller waits for.
    pub observe: Arc<dyn Observe>,
    /// The addresses that the HTTP servers of the host share.
    pub ports: Arc<HttpPorts>,
    /// The lattice of the host.
    pub lattice: Arc<dyn Lattice>,
}

impl Surroundings {
    /// Sends settings without effect as notices of this provider.
    fn warn(&self, warnings: Vec<String>) {
        for text in warnings {
            let provider = self.id.clone();
            self.observe
                .observe(Notice::ProviderWarning { provider, text });
        }
    }
}

/// Checks the settings of the provider with this name or reference, as [`open`] does.
///
/// Opens no file and no port, so the same provider may be running. May read files that the settings name, so it
/// must not be called on an async thread.
///
/// # Errors
///
/// `invalid_link` with the setting, the value and what is expected. `invalid_input` for a name that
/// is no built-in provider's, see [`Builtin::get`].
pub fn check(name: &str, surroundings: Surroundings) -> Result<(), Error> {
    let builtin = Builtin::get(name)?;
    builtin.check(Given::ToProvider, &surroundings.configuration)?;
    if builtin.name == "keyvalue" {
        let Surroundings {
            id,
            configuration,
            data_dir,
            lattice,
            ..
        } = surroundings;
        return KeyValue::check(&id, &configuration, data_dir.as_deref(), &*lattice);
    }
    // The others hold nothing before they have a link.
    opened(builtin, surroundings).map(drop)
}

/// Opens the provider with this name or reference. Settings without effect become notices.
///
/// May wait for the disk, so it must not be called on an async thread.
///
/// # Errors
///
/// Those of [`check`], `io` for a file that cannot be used, `conflict` for a file that another
/// provider has open.
pub fn open(name: &str, surroundings: Surroundings) -> Result<Arc<dyn Capability>, Error> {
    let builtin = Builtin::get(name)?;
    surroundings.warn(builtin.check(Given::ToProvider, &surroundings.configuration)?);
    opened(builtin, surroundings)
}

/// Opens a provider whose settings were checked.
fn opened(builtin: &Builtin, surroundings: Surroundings) -> Result<Arc<dyn Capability>, Error> {
    match builtin.name {
        "http-client" => {
            let Surroundings {
                id, configuration, ..
            } = surroundings;
            Ok(HttpClient::open(id, &configuration)?)
        }
        "http-server" => Ok(HttpServer::open(surroundings)?),
        "keyvalue" => {
            let Surroundings {
                id,
                configuration,
                data_dir,
                lattice,
                observe,
                ..
            } = surroundings;
            let data_dir = data_dir.as_deref();
            Ok(KeyValue::open(
                id,
                &configuration,
                data_dir,
                &*lattice,
                observe,
            )?)
        }
        "messaging" => Ok(Messaging::open(surroundings)?),
        other => {
            let detail = format!("the built-in provider {other} cannot be opened");
            Err(Error::new(Code::Internal, detail))
        }
    }
}
