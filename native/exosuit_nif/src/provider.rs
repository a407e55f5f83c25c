//! Providers. Each one ends with the Elixir process that started it.
//!
//! - `provider_start`: a built-in one, from `exosuit_capabilities`.
//! - `provider_serve`: one whose calls Elixir answers, see `elixir`; its resources are in `state`.
//!
//! # Start and end
//!
//! A start runs on Tokio: opening may read files and bind ports. It waits for the end of a predecessor
//! with the same id, so that a restarted provider finds its port and file free. The process that asked
//! for the start owns the provider. If the owner dies before the start is finished, the start is undone.
//!
//! The end runs on Tokio as well, because the monitor fires on a scheduler: the router stops sending
//! calls, running calls are dropped, links are released, and files and sockets close, each step within
//! 30 seconds. Links stay in the table and wait for the next provider of the id.
//!
//! ```text
//! provider_start ─► end of the predecessor ─► open ─► monitor the owner ─► the table, with its links ─► serves
//!                                              │            │                     │
//!                                           an error     the owner ended       an error     each undoes the start
//! ```
//!
//! A provider ends with its process, with the last reference to it, or when another one of its id starts. Its running
//! calls are dropped, whichever it is.

mod elixir;
mod question;
mod state;

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use exosuit_capabilities::{Surroundings, check, open};
use exosuit_core::{Builtin, Capability, Code, Error, Id, bounded};
use rustler::{Encoder, Env, LocalPid, Monitor, Resource, ResourceArc, Term};

use crate::host::{Host, HostState};
use crate::reply::{To, answer};
use crate::runtime::runtime;
use crate::term::{contract, failure, id, map, ok};
use elixir::Elixir;
pub(crate) use state::{ProviderResource, state_term};

/// A provider that a process runs. It ends with the process, or with the last reference to it.
pub(crate) struct Provider {
    host: Arc<HostState>,
    /// Its id on this host.
    id: Id,
    /// Tells this provider from a successor of the same id: the two are compared by address.
    capability: Arc<dyn Capability>,
}

#[rustler::resource_impl]
impl Resource for Provider {
    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.end();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.end();
    }
}

impl Provider {
    /// Ends this provider. A successor of the same id is not affected: its start has ended this one
    /// already. May run twice, for the process and for the last reference.
    fn end(&self) {
        let (host, id) = (Arc::clone(&self.host), self.id.clone());
        let capability = Arc::clone(&self.capability);
        runtime().spawn(async move { host.end_provider(&id, &capability).await });
    }
}

impl HostState {
    /// Removes the provider from the host, if it is still the one of its id, and lets it close its
    /// listeners and files.
    async fn end_provider(&self, id: &Id, capability: &Arc<dyn Capability>) {
        let this = |other: &Arc<dyn Capability>| Arc::ptr_eq(other, capability);
        {
            let mut providers = self.providers.lock();
            if providers.get(id).is_some_and(this) {
                providers.remove(id);
            }
        }
        // No process is left that could handle an error.
        let _ = self.router.end_provider(id, capability).await;
    }

    /// Ends a provider of the same id, so that its socket and files are free. Its process may have ended a moment ago.
    /// Waits until it has closed them, within the bounds of the router.
    async fn end_predecessor(&self, id: &Id) {
        self.providers.lock().remove(id);
        let _ = self.router.delete_provider(id).await;
    }
}

/// The name, contracts and listening of a built-in provider, by its name (`keyvalue`) or reference
/// (`wasmcloud+builtin://keyvalue`). Returns `{:ok, %{name: _, contracts: _, listens: _}}`, or an error
/// that names similar ones. A table look-up.
#[rustler::nif]
fn provider_builtin<'a>(env: Env<'a>, reference: &str) -> Term<'a> {
    let builtin = match Builtin::get(reference) {
        Ok(builtin) => builtin,
        Err(error) => return failure(env, &error),
    };
    let contracts: Vec<_> = builtin.offers.iter().map(|offer| offer.contract).collect();
    let fields = [
        ("name", builtin.name.encode(env)),
        ("contracts", contracts.encode(env)),
        ("listens", builtin.listens.encode(env)),
    ];
    ok(env, map(env, &fields))
}

/// The public key of a provider (`V…`). It is computed from reference and id, so that all hosts agree.
/// Nobody has its seed: it is a name, not a proof.
#[rustler::nif]
fn provider_key(reference: &str, id: &str) -> String {
    exosuit_claims::provider_key(reference, id).to_string()
}

/// The two names of a provider. Links may use either.
struct Names {
    id: Id,
    /// `V…`, from `provider_key`.
    key: Id,
}

impl Names {
    /// Parses `{id, key}`.
    fn parse((provider, key): (&str, &str)) -> Result<Self, Error> {
        let (id, key) = (id(provider)?, id(key)?);
        Ok(Self { id, key })
    }
}

/// Starts a built-in provider. Answers with a reference to it, and with the reasons of the links
/// that it refuses.
///
/// Refused links do not prevent the start: a port that is in use concerns one link. Bad settings do, as
/// `invalid_link` or `invalid_input`; a file that another provider has open is `conflict`.
#[rustler::nif]
fn provider_start<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    provider: (&str, &str),
    name: String,
    configuration: HashMap<String, String>,
    data_dir: Option<String>,
    to: To<'a>,
) -> Term<'a> {
    let names = match Names::parse(provider) {
        Ok(names) => names,
        Err(error) => return failure(env, &error),
    };
    let state = Arc::clone(host.state());
    let surroundings = surroundings(&state, names.id.clone(), configuration, data_dir);
    let opening = opened(name, surroundings);
    answer(env, to, start(state, names, to.0, opening)).encode(env)
}

/// Checks whether a built-in provider would accept a configuration. A running one is not touched.
/// Changing the settings of a provider restarts it; this check keeps a bad change from stopping the
/// provider that runs.
#[rustler::nif]
fn provider_rehearse<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    provider: (&str, &str),
    name: String,
    configuration: HashMap<String, String>,
    data_dir: Option<String>,
    to: To<'a>,
) -> Term<'a> {
    let names = match Names::parse(provider) {
        Ok(names) => names,
        Err(error) => return failure(env, &error),
    };
    let surroundings = surroundings(host.state(), names.id, configuration, data_dir);
    answer(env, to, async {
        let checking = tokio::task::spawn_blocking(move || check(&name, surroundings));
        checking.await.map_err(|_| gave_up())?
    })
    .encode(env)
}

/// The surroundings that a host gives to a built-in provider: its settings, the ways for calls and notices, the
/// ports and the lattice.
fn surroundings(
    host: &Arc<HostState>,
    id: Id,
    configuration: HashMap<String, String>,
    data_dir: Option<String>,
) -> Surroundings {
    Surroundings {
        id,
        configuration: configuration.into_iter().collect(),
        data_dir: data_dir.map(PathBuf::from),
        deliver: host.deliver(),
        observe: host.notices.clone(),
        ports: host.ports.clone(),
        lattice: host.lattice(),
    }
}

/// Opens the provider on a thread that may block. A panic there is the error `dropped`.
async fn opened(name: String, surroundings: Surroundings) -> Result<Arc<dyn Capability>, Error> {
    let opening = tokio::task::spawn_blocking(move || open(&name, surroundings));
    opening.await.map_err(|_| gave_up())?
}

/// Starts a provider in Elixir. Calls go to `call_process`, at most `max_calls` at a time; links go
/// to the process in `to`. Answers like `provider_start`.
#[rustler::nif]
fn provider_serve<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    provider: (&str, &str),
    contracts: Vec<String>,
    max_calls: usize,
    call_process: LocalPid,
    to: To<'a>,
) -> Term<'a> {
    let contracts: Result<Vec<_>, _> = contracts.iter().map(|text| contract(text)).collect();
    let parsed = Names::parse(provider).and_then(|names| Ok((names, contracts?)));
    let (names, contracts) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return failure(env, &error),
    };
    let elixir = Elixir::new(names.id.clone(), contracts, to.0, call_process, max_calls);
    let opened: Arc<dyn Capability> = Arc::new(elixir);
    let state = Arc::clone(host.state());
    answer(env, to, start(state, names, to.0, async { Ok(opened) })).encode(env)
}

/// Opens a provider in place of its predecessor, and gives it the links of its id. Answers with the provider and with
/// the reasons of the links that it refuses.
///
/// An error after the opening drops the [`Provider`], which ends it like any other: it leaves the table and closes
/// what it has opened.
async fn start(
    host: Arc<HostState>,
    Names { id, key }: Names,
    owner: LocalPid,
    opening: impl Future<Output = Result<Arc<dyn Capability>, Error>> + Send,
) -> Result<(ResourceArc<Provider>, Vec<String>), Error> {
    host.end_predecessor(&id).await;
    let capability = opening.await?;
    host.providers
        .lock()
        .insert(id.clone(), Arc::clone(&capability));
    let provider = Provider {
        host: Arc::clone(&host),
        id: id.clone(),
        capability,
    };
    let provider = ResourceArc::new(provider);
    // Monitored before it enters the table: if the owner has ended, a successor may have started by
    // now. If the owner ends later, the monitor or the dropped reference ends the provider.
    if provider.monitor(None, &owner).is_none() {
        return Err(gave_up());
    }
    let refused = host
        .router
        .put_provider(id, Some(key), Arc::clone(&provider.capability))
        .await?;
    let refused = refused
        .iter()
        .map(|refusal| refusal.error.to_string())
        .collect();
    Ok((provider, refused))
}

/// The error of a start that nobody waits for, or that panicked.
fn gave_up() -> Error {
    Error::new(Code::Dropped, "the start of the provider was cancelled")
}

/// Asks a provider whether it works. Answers `:ok` or the reason within `timeout_ms`, even if the
/// provider does not answer. `Exosuit.Provider.Health` asks at intervals; two failures in a row restart
/// the provider.
#[rustler::nif]
fn provider_health<'a>(
    env: Env<'a>,
    provider: ResourceArc<Provider>,
    timeout_ms: u32,
    to: To<'a>,
) -> rustler::Atom {
    let within = Duration::from_millis(timeout_ms.into());
    let deadline = Instant::now() + within;
    let health = bounded(provider.capability.health(), deadline, None);
    let late = move |error: Error| match error.code {
        Code::Deadline => Error::new(
            Code::Deadline,
            format!("the health check did not end within {within:?}"),
        ),
        _ => error,
    };
    answer(env, to, async move { health.await.map_err(late) })
}

/// The addresses where a provider listens, for people: `127.0.0.1:8080`. Empty for providers that do
/// not listen.
#[rustler::nif]
fn provider_endpoints(provider: ResourceArc<Provider>) -> Vec<String> {
    provider.capability.endpoints()
}
