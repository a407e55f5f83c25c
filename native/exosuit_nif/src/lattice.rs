//! The lattice of one host: its two connections, and what Elixir does over them.
//!
//! - `settings`: what is said of a connection. `notices`: what happens to one.
//! - `bus`: messages. `store`: what the hosts share. `inlet`: what comes in by itself, one at a time.

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
use rustler::{Atom, Encoder, Env, NifMap, Resource, ResourceArc, Term};

use crate::host::Host;
use crate::reply::{To, answer};
use crate::runtime::Reaped;
use crate::secret::SecretHandle;
use crate::term::{failure, id, text_atom};
use settings::ConnectionSettings;

/// The lattice of one host, for as long as Elixir holds it; then its connections close.
pub(crate) struct Lattice(Reaped<Arc<Joined>>);

/// What the hosts of a lattice share, as one of them reaches it.
pub(crate) struct Joined {
    control: Connection,
    rpc: Connection,
    bus: Bus,
    state: SharedState,
    calls: Calls,
}

#[rustler::resource_impl]
impl Resource for Lattice {}

impl Lattice {
    fn joined(&self) -> Arc<Joined> {
        Arc::clone(&self.0)
    }
}

/// Which lattice, as whom, and over what.
#[derive(NifMap)]
struct Settings {
    lattice: String,
    host_key: String,
    cluster_seed: ResourceArc<SecretHandle>,
    accepted_cluster_seed: Option<ResourceArc<SecretHandle>>,
    cluster_issuers: Vec<String>,
    domain: Option<String>,
    /// On how many servers the buckets are kept.
    replicas: usize,
    /// How many bytes each bucket of the shared state may take.
    state_max_bytes: Option<u64>,
    /// What begins the subjects that are kept from actors.
    reserved: Vec<String>,
    control: ConnectionSettings,
    rpc: ConnectionSettings,
}

impl Settings {
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
    async fn join(host: &Host, settings: Settings) -> Result<Self, Error> {
        let options = settings.calls()?;
        let lattice: Id = options.lattice.clone();
        let name = |side| format!("exosuit-{}-{side}", settings.host_key);
        let control = Connection::open(&settings.control.options(name("control"))?).await?;
        let rpc = Connection::open(&settings.rpc.options(name("rpc"))?).await?;
        let observe = &host.inner().notices;
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
        host.inner().join(Arc::new(providers));
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

/// Joins a lattice, in the background from then on. Answers with a reference at once: that no server
/// answers is a state, and no error.
#[rustler::nif]
fn lattice_open<'a>(env: Env<'a>, host: ResourceArc<Host>, settings: Settings, to: To<'a>) -> Atom {
    answer(env, to, async move {
        let joined = Joined::join(&host, settings).await?;
        Ok(ResourceArc::new(Lattice(Reaped::new(Arc::new(joined)))))
    })
}

/// How the connections are: `connected`, `closed`, or `{connecting, failure | nil}`.
#[rustler::nif]
fn lattice_state(env: Env<'_>, lattice: ResourceArc<Lattice>) -> Term<'_> {
    let joined = lattice.joined();
    let control = state(env, &joined.control);
    let rpc = state(env, &joined.rpc);
    (control, rpc).encode(env)
}

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

/// How many calls from the lattice were refused, by kind.
#[rustler::nif]
fn lattice_refused(lattice: ResourceArc<Lattice>) -> Vec<(&'static str, u64)> {
    lattice.joined().calls.refused().into_iter().collect()
}

/// Says whether any other host takes calls with a MAC.
#[rustler::nif]
fn lattice_take_macs(lattice: ResourceArc<Lattice>, others_do: bool) -> Atom {
    lattice.joined().calls.others_take_macs(others_do);
    rustler::types::atom::ok()
}

/// How many bytes a message to the server of commands and events may have.
#[rustler::nif]
fn lattice_max_payload(lattice: ResourceArc<Lattice>) -> usize {
    lattice.joined().control.max_payload()
}

/// Sends what waits to be sent, and closes the connections.
#[rustler::nif]
fn lattice_close<'a>(env: Env<'a>, lattice: ResourceArc<Lattice>, to: To<'a>) -> Atom {
    let joined = lattice.joined();
    answer(env, to, async move {
        joined.rpc.close().await;
        joined.control.close().await;
        Ok(())
    })
}
