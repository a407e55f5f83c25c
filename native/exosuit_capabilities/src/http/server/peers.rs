//! A share of the connections for each client address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// How many connections each client has. A client is an IPv4 address, or the 64 bits of an IPv6
/// network: one customer is given all addresses in that.
#[derive(Default)]
pub(crate) struct Peers(Mutex<HashMap<IpAddr, usize>>);

/// One connection of a client.
pub(crate) struct Connected {
    peers: Arc<Peers>,
    client: IpAddr,
}

impl Peers {
    /// One more connection of this address, unless it has as many as it may.
    pub(crate) fn connect(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Connected> {
        let client = client(address);
        let mut peers = self.0.lock();
        let count = peers.entry(client).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Connected {
            peers: Arc::clone(self),
            client,
        })
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut peers = self.peers.0.lock();
        if let Some(count) = peers.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&self.client);
            }
        }
    }
}

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
    use super::*;

    #[test]
    fn a_client_has_its_share_and_leaves_nothing_behind() {
        let peers = Arc::<Peers>::default();
        let connect = |address: &str| peers.connect(address.parse().expect("an address"), 1);
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
            assert!(peers.0.lock().is_empty());
        }
    }
}
