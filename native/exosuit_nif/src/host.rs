//! The data plane of one host.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use exosuit_capabilities::{HttpPorts, LocalLattice, Logging, NumberGen};
use exosuit_core::{Capability, Contract, Deliver, Error, Id, Lattice, LogGate, Observe};
use exosuit_router::{Options, Router};
use parking_lot::Mutex;
use rustler::types::atom::ok;
use rustler::{Atom, Encoder, Env, LocalPid, Resource, ResourceArc, Term};
use tokio::task::JoinSet;

use crate::notices::Notices;
use crate::reply::{To, answer};
use crate::runtime::Reaped;

/// What an actor may log: a line every ten milliseconds, and a page at once.
pub(crate) const LOG_LINES_PER_SECOND: u32 = 100;
pub(crate) const LOG_BURST: u32 = 1_000;

/// The data plane of one host, for as long as Elixir holds it.
pub(crate) struct Host(Reaped<Arc<Inner>>);

/// What a host's entries share.
pub(crate) struct Inner {
    pub(crate) router: Arc<Router>,
    pub(crate) notices: Arc<Notices>,
    pub(crate) log: Arc<LogGate>,
    /// Where its HTTP servers listen.
    pub(crate) ports: Arc<HttpPorts>,
    /// What its providers have of the lattice.
    lattice: Mutex<Arc<dyn Lattice>>,
    /// The providers that run, for `drain`.
    pub(crate) providers: Mutex<HashMap<Id, Arc<dyn Capability>>>,
}

#[rustler::resource_impl]
impl Resource for Host {}

impl Host {
    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    pub(crate) fn router(&self) -> &Arc<Router> {
        &self.inner().router
    }
}

impl Inner {
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
        }
    }

    /// The lattice for a provider that starts now.
    pub(crate) fn lattice(&self) -> Arc<dyn Lattice> {
        Arc::clone(&self.lattice.lock())
    }

    /// From now on it is in this lattice.
    pub(crate) fn join(&self, lattice: Arc<dyn Lattice>) {
        *self.lattice.lock() = lattice;
    }

    /// Where what is held by the router sends its own calls.
    pub(crate) fn deliver(&self) -> Weak<dyn Deliver> {
        let router: Weak<Router> = Arc::downgrade(&self.router);
        router
    }

    /// First those who bring calls, other hosts among them, then new calls from Elixir; then what runs may finish. All at
    /// once: while one waits for a slow client, the others take nothing new either.
    async fn drain(&self, timeout: Duration) -> Result<(), Error> {
        let providers: Vec<_> = self.providers.lock().values().cloned().collect();
        self.router.withdraw();
        let finishing = async {
            let drain = |provider: Arc<dyn Capability>| async move { provider.drain().await };
            let mut draining: JoinSet<_> = providers.into_iter().map(drain).collect();
            // One that fails to end holds nothing up.
            while draining.join_next().await.is_some() {}
            self.router.drain();
            self.router.idle().await;
        };
        let _late = tokio::time::timeout(timeout, finishing).await;
        self.router.drain();
        Ok(())
    }
}

/// An empty table: how deeply calls may be nested, how long they wait for an actor that restarts,
/// whether what runs here goes before what runs elsewhere, and which ports HTTP servers take in place
/// of those that links name.
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
        // A time beyond the clock's reach is as good as a day.
        restart_wait: Duration::from_millis(restart_wait_ms).min(Duration::from_hours(24)),
        local_first,
        ..Options::default()
    };
    let ports = HttpPorts::with_instead(ports.into_iter().collect());
    ResourceArc::new(Host(Reaped::new(Arc::new(Inner::new(options, ports))))).encode(env)
}

/// Names the process that gets the host's notices.
#[rustler::nif]
fn host_observe(host: ResourceArc<Host>, pid: LocalPid) -> Atom {
    host.inner().notices.read_by(pid);
    ok()
}

/// Takes no new calls; answers when those that run have finished, or after the timeout.
#[rustler::nif]
fn host_drain<'a>(env: Env<'a>, host: ResourceArc<Host>, timeout_ms: u64, to: To<'a>) -> Atom {
    let inner = Arc::clone(host.inner());
    answer(env, to, async move {
        inner.drain(Duration::from_millis(timeout_ms)).await
    })
}
