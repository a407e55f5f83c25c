//! A lattice over a nats-server of the test's own.

#[path = "../../../exosuit_lattice/tests/common/nats.rs"]
pub(crate) mod nats;

use std::future::Future;
use std::time::Duration;

use exosuit_core::Id;
use exosuit_lattice::{Bus, ProviderLattice};
use nats::NatsServer;

/// As long as anything in a test may take, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something, and fails with its name when it does not come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let value = tokio::time::timeout(PATIENCE, future).await;
    value.unwrap_or_else(|late| panic!("{what} did not come within {PATIENCE:?}: {late}"))
}

/// A server that takes the values of every test.
pub(crate) async fn server() -> NatsServer {
    NatsServer::start_with("max_payload: 32MB\nmax_pending: 128MB").await
}

/// The lattice of providers on a host that joins the lattice `default` on this server.
pub(crate) async fn join(server: &NatsServer) -> ProviderLattice {
    join_as(server, "default").await
}

/// The same for a lattice of another name.
pub(crate) async fn join_as(server: &NatsServer, lattice: &str) -> ProviderLattice {
    let bus = || async {
        let connection = server.connect().await;
        Bus::start(connection).await.expect("a bus")
    };
    let lattice = Id::parse(lattice).expect("an id");
    ProviderLattice::new(bus().await, bus().await, lattice, None)
}
