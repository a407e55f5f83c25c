//! The lattice of one host: its two connections to NATS, and what Elixir does over them.
//!
//! - [`Lattice`]: the handle of Elixir. [`Joined`]: the connections and the state behind it.
//! - `settings`: the options of a connection. `notices`: its events.
//! - `bus`: messages. `store`: the state that hosts share.
//! - `inlet`: messages and changes that arrive without a request, one at a time.
//!
//! ```text
//!             ┌─ control ─┬─► Bus ─────────► lattice_publish, _request, _gather, _subscribe
//! Joined ─────┤           └─► SharedState ─► lattice_get, _update, _watch, objects
//!             └─ rpc ─────┬─► Calls ───────► the router: calls to and from other hosts
//!                         └─► Bus ─────────► providers: messaging
//! ```
//!
//! The control connection carries commands, events and the shared state. The RPC connection carries calls between
//! hosts and messages of providers. They may lead to different servers, and a queue of calls on one does not
//! delay events on the other.
//!
//! `Exosuit.Lattice.Nats` calls these NIFs, and nothing else does. Every wait for a server is on Tokio. Each request
//! ends when its connection is lost, with `unavailable`, instead of waiting for its timeout: a host that is cut off
//! should notice at once.
//!
//! The connections reconnect without end. A process that crashes in Elixir and opens the lattice again gets new
//! connections; the old ones close when the handle is collected, on Tokio.

mod bus;
mod inlet;
mod notices;
mod settings;
mod store;

use std::sync::Arc;

use exosuit_claims::{KeyPair, PublicKey};
use exosuit_core::{Code, Error, Id};
use exosuit_lattice::{
    Bus, CallOptions, Calls, Connection, Hosts, ProviderLattice, SharedState, State, StreamLimits,
};
use futures_util::TryFutureExt;
use rustler::{Atom, Encoder, Env, NifMap, Resource, ResourceArc, Term};

use crate::host::Host;
use crate::reply::{To, answer};
use crate::runtime::Reaped;
use crate::secret::SecretHandle;
use crate::term::{failure, id, text_atom};
use settings::ConnectionSettings;

/// The lattice of one host. Its connections close when Elixir releases it.
pub(crate) struct Lattice(Reaped<Arc<Joined>>);

/// The connections of one host, and what works over them. Requests that run hold it, so it outlives its handle until
/// they have ended.
pub(crate) struct Joined {
    /// Commands, events, the shared state. Events name it `control`.
    control: Connection,
    /// Calls between hosts, messages of providers. Events name it `rpc`.
    rpc: Connection,
    /// Messages over `control`.
    bus: Bus,
    /// Buckets and objects, over `control`.
    state: SharedState,
    /// Authenticated calls, over `rpc`.
    calls: Calls,
}

#[rustler::resource_impl]
impl Resource for Lattice {}

impl Lattice {
    /// The connections. A task holds them while it runs.
    fn joined(&self) -> Arc<Joined> {
        Arc::clone(&self.0)
    }

    /// Runs `work` on Tokio with the connections of this lattice, and sends its result to `to`.
    fn answer<T, F>(&self, env: Env<'_>, to: To<'_>, work: impl FnOnce(Arc<Joined>) -> F) -> Atom
    where
        T: Encoder + Send + 'static,
        F: Future<Output = Result<T, exosuit_lattice::Error>> + Send + 'static,
    {
        answer(env, to, work(self.joined()).map_err(Error::from))
    }
}

/// The name of the lattice, the keys of this host, and the settings of its connections.
#[derive(NifMap)]
struct LatticeSettings {
    /// The name is a part of every subject and bucket.
    lattice: String,
    /// `N…`: the name of this host in calls, and in the names of its connections at the servers.
    host_key: String,
    /// Signs calls to other hosts.
    cluster_seed: ResourceArc<SecretHandle>,
    /// A further seed whose calls are accepted, while a cluster changes its key.
    accepted_cluster_seed: Option<ResourceArc<SecretHandle>>,
    /// Public keys (`C…`) of clusters whose calls are accepted as well.
    cluster_issuers: Vec<String>,
    /// The domain of `JetStream` that has the shared state, if it is not that of the server.
    domain: Option<String>,
    /// On how many servers each bucket is stored.
    replicas: usize,
    /// How many bytes each bucket of the shared state may take.
    state_max_bytes: Option<u64>,
    /// Prefixes of subjects that actors may not use.
    reserved: Vec<String>,
    control: ConnectionSettings,
    rpc: ConnectionSettings,
}

impl LatticeSettings {
    /// The options for calls between hosts. An error names the setting that is wrong, and never its
    /// value.
    fn calls(&self) -> Result<CallOptions, Error> {
        let key = |text: &str, what: &str| {
            let wrong = |error: exosuit_claims::Error| {
                Error::new(Code::InvalidInput, format!("{what}: {error}"))
            };
            PublicKey::parse(text).map_err(wrong)
        };
        let cluster = |seed: &SecretHandle| {
            let expected = "expected the seed of the cluster to be that of a cluster key (SC…)";
            let wrong = |_| Error::new(Code::InvalidInput, expected);
            let key = KeyPair::from_seed(seed.secret().expose()).map_err(wrong)?;
            Ok::<_, Error>(Arc::new(key))
        };
        let issuers = self.cluster_issuers.iter();
        let issuers = issuers.map(|issuer| key(issuer, "an issuer of the cluster"));
        let mut options = CallOptions::new(
            id(&self.lattice)?,
            key(&self.host_key, "the key of the host")?,
            cluster(&self.cluster_seed)?,
        );
        let accepted = self.accepted_cluster_seed.iter();
        let accepted = accepted.map(|seed| cluster(seed));
        options.further_seeds = accepted.collect::<Result<_, _>>()?;
        options.issuers = issuers.collect::<Result<_, _>>()?;
        Ok(options)
    }
}

impl Joined {
    /// Opens both connections, and gives the host the calls and messages of the lattice.
    ///
    /// The order matters: refusals and clock differences are forwarded before calls can arrive, and the
    /// router announces its actors and providers when it gets the other hosts. Providers that run
    /// already keep the lattice that they started with.
    async fn join(host: &Host, settings: LatticeSettings) -> Result<Self, Error> {
        let options = settings.calls()?;
        let lattice: Id = options.lattice.clone();
        let name = |side| format!("exosuit-{}-{side}", settings.host_key);
        let control = Connection::open(&settings.control.options(name("control"))?).await?;
        let rpc = Connection::open(&settings.rpc.options(name("rpc"))?).await?;
        let observe = &host.state().notices;
        notices::forward(&control, "control", observe);
        notices::forward(&rpc, "rpc", observe);
        let calls = Calls::start(rpc.clone(), options).await?;
        notices::forward_refusals(&calls, observe);
        notices::forward_skews(&calls, observe);
        let others = Hosts::start(calls.clone(), host.router().here());
        host.router().set_elsewhere(Arc::new(others));
        let bus = Bus::start(control.clone()).await?;
        let messages = Bus::start(rpc.clone()).await?;
        let domain = settings.domain.clone();
        let providers = ProviderLattice::new(messages, bus.clone(), lattice.clone(), domain);
        let providers = providers
            .replicated(settings.replicas)
            .reserve(settings.reserved);
        host.state().join(Arc::new(providers));
        let limits = StreamLimits {
            replicas: settings.replicas,
            max_bytes: settings.state_max_bytes,
        };
        Ok(Self {
            bus,
            state: SharedState::new(&control, lattice, settings.domain).limited(limits),
            control,
            rpc,
            calls,
        })
    }
}

/// Joins a lattice. Answers with a reference at once, even if no server answers yet: the
/// connections try again in the background. Settings that cannot be right, such as a seed of another
/// kind or a missing certificate, are errors.
#[rustler::nif]
fn lattice_open<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    settings: LatticeSettings,
    to: To<'a>,
) -> Atom {
    answer(env, to, async move {
        let joined = Joined::join(&host, settings).await?;
        Ok(ResourceArc::new(Lattice(Reaped::new(Arc::new(joined)))))
    })
}

/// The state of both connections, `{control, rpc}`: `connected`, `closed`, or `{connecting, failure
/// | nil}`. Read from memory; no server is asked.
#[rustler::nif]
fn lattice_state(env: Env<'_>, lattice: ResourceArc<Lattice>) -> Term<'_> {
    let joined = lattice.joined();
    let control = state(env, &joined.control);
    let rpc = state(env, &joined.rpc);
    (control, rpc).encode(env)
}

/// The state of one connection.
fn state<'a>(env: Env<'a>, connection: &Connection) -> Term<'a> {
    match &*connection.state().borrow() {
        State::Connected => text_atom(env, "connected"),
        State::Closed => text_atom(env, "closed"),
        State::Connecting(None) => {
            (text_atom(env, "connecting"), rustler::types::atom::nil()).encode(env)
        }
        State::Connecting(Some(error)) => {
            let error = Error::from(error.clone());
            (text_atom(env, "connecting"), failure(env, &error)).encode(env)
        }
    }
}

/// The number of refused calls from the lattice since the start, by kind.
#[rustler::nif]
fn lattice_refused(lattice: ResourceArc<Lattice>) -> Vec<(&'static str, u64)> {
    lattice.joined().calls.refused().into_iter().collect()
}

/// Sets whether any other host accepts calls with a MAC. If none does, calls to names that were
/// not proven to accept one are signed, without a try.
#[rustler::nif]
fn lattice_take_macs(lattice: ResourceArc<Lattice>, others_do: bool) -> Atom {
    lattice.joined().calls.others_take_macs(others_do);
    rustler::types::atom::ok()
}

/// The largest message in bytes that the server of the control connection accepts.
#[rustler::nif]
fn lattice_max_payload(lattice: ResourceArc<Lattice>) -> usize {
    lattice.joined().control.max_payload()
}

/// Sends the waiting messages, and closes the connections. For a host that stops in good order, so that
/// its last event reaches the servers.
#[rustler::nif]
fn lattice_close<'a>(env: Env<'a>, lattice: ResourceArc<Lattice>, to: To<'a>) -> Atom {
    lattice.answer(env, to, |joined| async move {
        joined.rpc.close().await;
        joined.control.close().await;
        Ok(())
    })
}
