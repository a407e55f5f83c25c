//! The data plane of one host: its router, and what its actors and providers share.
//!
//! `Exosuit.Instance` holds the handle; the supervision tree of a host makes one at its start. Several
//! hosts of a VM have a data plane each, and share the engine and the runtime. When the last process that
//! holds the handle is gone, the data plane is dropped on Tokio, with its sockets and files.
//!
//! The table survives every process of the host but the topmost: a restarted actor or provider finds its
//! entry and its links as they were.
//!
//! ```text
//! Host (resource) ─► HostState ─┬─► Router ─► actors, providers, links
//!                               ├─► Notices ─► one task ─► Exosuit.Edge
//!                               ├─► LogGate, HttpPorts, Lattice
//!                               └─► providers that run
//! ```
//!
//! Actors and providers reach the router by a weak reference ([`HostState::deliver`]), since the router holds them. A
//! call of theirs after the host's end fails with `dropped`.
//!
//! Locks: each field locks itself, for a look-up or a change. None is held while another one is taken, or across an
//! await.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use exosuit_capabilities::{HttpPorts, LocalLattice, Logging, NumberGen};
use exosuit_core::{Capability, Contract, Deliver, Error, Id, Lattice, LogGate, Observe};
use exosuit_engine::Simulation;
use exosuit_router::{Options, Router};
use parking_lot::Mutex;
use rustler::types::atom::ok;
use rustler::{Atom, Encoder, Env, LocalPid, Resource, ResourceArc, Term};
use tokio::task::JoinSet;

use crate::notices::Notices;
use crate::reply::{To, answer};
use crate::runtime::Reaped;

/// How many lines an actor may log in the long run, and how many at once. A guest can log in
/// a loop, and the log of the host is one for all actors.
pub(crate) const LOG_LINES_PER_SECOND: u32 = 100;
pub(crate) const LOG_BURST: u32 = 1_000;

/// The data plane of one host, for as long as Elixir holds it.
pub(crate) struct Host(Reaped<Arc<HostState>>);

/// The state that the entries of a host share.
pub(crate) struct HostState {
    /// The table of actors, providers and links.
    pub(crate) router: Arc<Router>,
    /// The way of events to Elixir.
    pub(crate) notices: Arc<Notices>,
    /// The bound on log lines, with a bucket for each actor.
    pub(crate) log: Arc<LogGate>,
    /// The ports that its HTTP servers listen on. Shared, so that links of several providers to one
    /// address meet in one listener, or conflict with an error.
    pub(crate) ports: Arc<HttpPorts>,
    /// The messaging between hosts that its providers use: local, until it joins a lattice. A provider
    /// keeps the one that it started with.
    lattice: Mutex<Arc<dyn Lattice>>,
    /// The providers that run. `drain` asks them to stop.
    pub(crate) providers: Mutex<HashMap<Id, Arc<dyn Capability>>>,
    /// The time and the random numbers of a test.
    simulation: Mutex<Simulation>,
}

#[rustler::resource_impl]
impl Resource for Host {}

impl Host {
    /// The shared state.
    pub(crate) fn state(&self) -> &Arc<HostState> {
        &self.0
    }

    /// The router.
    pub(crate) fn router(&self) -> &Arc<Router> {
        &self.state().router
    }
}

impl HostState {
    /// An empty host with the two providers that every host has: logging and random numbers. They need no start and no
    /// link, and cannot be stopped.
    fn new(options: Options, ports: HttpPorts) -> Self {
        let notices = Arc::new(Notices::new());
        let observe: Arc<dyn Observe> = notices.clone();
        let log = Arc::new(LogGate::new(
            Arc::clone(&observe),
            LOG_LINES_PER_SECOND,
            LOG_BURST,
        ));
        let router = Router::new(options, observe);
        for builtin in [
            Arc::new(Logging::new(Arc::clone(&log))) as Arc<dyn Capability>,
            Arc::new(NumberGen::new()),
        ] {
            let contracts: Vec<Contract> = builtin.contracts().to_vec();
            for contract in contracts {
                router.set_builtin(contract, Arc::clone(&builtin));
            }
        }
        Self {
            router,
            notices,
            log,
            ports: Arc::new(ports),
            lattice: Mutex::new(LocalLattice::new()),
            providers: Mutex::default(),
            simulation: Mutex::default(),
        }
    }

    /// Gives actors that start from now on the time and the random numbers of a test. A seed replaces the random
    /// numbers of the built-in provider at once, also for actors that run.
    pub(crate) fn simulate(&self, simulation: Simulation) {
        if let Some(seed) = simulation.seed {
            let numbers = Arc::new(NumberGen::seeded(seed));
            for contract in numbers.contracts() {
                let capability: Arc<dyn Capability> = numbers.clone();
                self.router.set_builtin(contract.clone(), capability);
            }
        }
        *self.simulation.lock() = simulation;
    }

    /// The time and the random numbers for an actor that starts now.
    pub(crate) fn simulation(&self) -> Simulation {
        self.simulation.lock().clone()
    }

    /// The lattice for a provider that starts now.
    pub(crate) fn lattice(&self) -> Arc<dyn Lattice> {
        Arc::clone(&self.lattice.lock())
    }

    /// Sets the lattice for providers that start from now on.
    pub(crate) fn join(&self, lattice: Arc<dyn Lattice>) {
        *self.lattice.lock() = lattice;
    }

    /// The way for calls of actors and providers. It is weak, as the router holds them.
    pub(crate) fn deliver(&self) -> Weak<dyn Deliver> {
        let router: Weak<Router> = Arc::downgrade(&self.router);
        router
    }

    /// Stops new calls and lets running calls finish. First come the sources of calls from outside,
    /// such as HTTP servers and other hosts, then new calls from Elixir. All providers drain at the
    /// same time, so that one that waits for a slow client does not leave the others open.
    ///
    /// Calls that guests make continue throughout: a running request may still need its store. After
    /// `timeout` the router drains in any case, and calls that still run are left to the end of their
    /// actors. Draining cannot be undone.
    async fn drain(&self, timeout: Duration) -> Result<(), Error> {
        let providers: Vec<_> = self.providers.lock().values().cloned().collect();
        self.router.withdraw();
        let finishing = async {
            let drain = |provider: Arc<dyn Capability>| async move { provider.drain().await };
            let mut draining: JoinSet<_> = providers.into_iter().map(drain).collect();
            // A provider that fails to stop must not hold up the others.
            while draining.join_next().await.is_some() {}
            self.router.drain();
            self.router.idle().await;
        };
        let _late = tokio::time::timeout(timeout, finishing).await;
        self.router.drain();
        Ok(())
    }
}

/// A data plane with an empty table.
///
/// - `max_depth`: how deeply calls may be nested. Two actors that call each other end by it.
/// - `restart_wait_ms`: how long calls wait for an actor that restarts, at most a day.
/// - `local_first`: whether actors on this host are preferred to those on others.
/// - `ports`: the port to listen on, for each port that a link names. For several hosts on one machine
///   that run the same application.
///
/// The table starts with the two capabilities that need no link: logging and random numbers.
#[rustler::nif]
fn host_new(
    env: Env<'_>,
    max_depth: u8,
    restart_wait_ms: u64,
    local_first: bool,
    ports: HashMap<u16, u16>,
) -> Term<'_> {
    let options = Options {
        max_depth,
        // `Instant` overflows for huge timeouts; a day is long enough.
        restart_wait: Duration::from_millis(restart_wait_ms).min(Duration::from_hours(24)),
        local_first,
        ..Options::default()
    };
    let ports = HttpPorts::with_instead(ports.into_iter().collect());
    ResourceArc::new(Host(Reaped::new(Arc::new(HostState::new(options, ports))))).encode(env)
}

/// Sets the process that gets the host's notices, in place of a former one. Notices that were not sent
/// yet go to the new process.
#[rustler::nif]
fn host_observe(host: ResourceArc<Host>, pid: LocalPid) -> Atom {
    host.state().notices.read_by(pid);
    ok()
}

/// Takes no new calls. Answers `:ok` when the running calls have finished, or after the timeout. The
/// answer does not say which: `Exosuit.Drain` stops the host next in either case.
#[rustler::nif]
fn host_drain<'a>(env: Env<'a>, host: ResourceArc<Host>, timeout_ms: u64, to: To<'a>) -> Atom {
    let state = Arc::clone(host.state());
    answer(env, to, async move {
        state.drain(Duration::from_millis(timeout_ms)).await
    })
}
