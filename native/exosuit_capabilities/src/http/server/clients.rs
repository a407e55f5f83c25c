//! The clients of an address, each with its share of the connections and of the buffered bytes.
//!
//! Without shares, one client could take all connections of an address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::budget::Budget;
use super::connection_limits::ConnectionLimits;
use super::limits::AddressLimits;

/// The connected clients. A client is an IPv4 address, or a /64 network of IPv6: providers give a customer
/// all addresses of such a network.
#[derive(Default)]
pub(crate) struct Clients(Mutex<HashMap<IpAddr, Client>>);

/// A client with at least one connection. The last one removes it, so the map is bounded by the
/// connections.
struct Client {
    connections: usize,
    share: Arc<ClientShare>,
}

/// The resources of one client, shared by all its connections.
pub(crate) struct ClientShare {
    /// Its share of the bytes, which also count in the whole.
    pub(crate) budget: Budget,
    /// Its requests over HTTP/2. Over HTTP/1.1 each connection has one, so connections bound them.
    pub(crate) streams: Arc<Semaphore>,
}

/// One connection of a client, until it is dropped.
pub(crate) struct ClientConnection {
    clients: Arc<Clients>,
    client: IpAddr,
    share: Arc<ClientShare>,
}

impl ClientShare {
    /// A share by these limits. It is made with the client's first connection, and kept until its
    /// last one ends.
    fn of(limits: &ConnectionLimits) -> Arc<Self> {
        let address = &limits.address;
        Arc::new(Self {
            budget: limits.budget.share(address.max_peer_buffered_bytes),
            streams: Arc::new(Semaphore::new(address.max_peer_streams())),
        })
    }
}

impl Clients {
    /// Admits a connection of this address, unless it has reached its limit.
    pub(crate) fn connect(
        self: &Arc<Self>,
        address: IpAddr,
        limits: &ConnectionLimits,
    ) -> Option<ClientConnection> {
        let client = client(address);
        let mut clients = self.0.lock();
        let entry = clients.entry(client).or_insert_with(|| Client {
            connections: 0,
            share: ClientShare::of(limits),
        });
        let AddressLimits {
            max_connections: all,
            max_peer_connections: most,
            ..
        } = limits.address;
        // If one client may have all connections, it waits for room like everybody else.
        if most < all && entry.connections >= most {
            return None;
        }
        entry.connections += 1;
        Some(ClientConnection {
            clients: Arc::clone(self),
            client,
            share: Arc::clone(&entry.share),
        })
    }
}

impl ClientConnection {
    /// The resources of its client.
    pub(crate) fn share(&self) -> Arc<ClientShare> {
        Arc::clone(&self.share)
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        let mut clients = self.clients.0.lock();
        if let Some(client) = clients.get_mut(&self.client) {
            client.connections -= 1;
            if client.connections == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

/// The key of a client: an IPv4 address, also if it is mapped to IPv6, or the first 64 bits of an
/// IPv6 address.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            Ipv6Addr::from(network).into()
        }
        IpAddr::V4(address) => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use exosuit_core::HTTP_SERVER;

    use super::*;
    use crate::http::server::limits::Asked;
    use crate::settings::Settings;

    #[test]
    fn a_client_has_its_share_and_leaves_nothing_behind() {
        let clients = Arc::<Clients>::default();
        let mut settings = Settings::new(&HTTP_SERVER);
        settings.put("max_connections_per_peer", "1");
        let limits = Asked::read(&settings).expect("good settings").limits(0);
        let limits = ConnectionLimits::new(limits);
        let connect =
            |address: &str| clients.connect(address.parse().expect("an address"), &limits);
        for (one, other, is_same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let held = connect(one);
            assert!(held.is_some(), "{one}");
            assert_eq!(connect(other).is_none(), is_same, "{one} {other}");
            drop(held);
            assert!(clients.0.lock().is_empty());
        }
    }
}
