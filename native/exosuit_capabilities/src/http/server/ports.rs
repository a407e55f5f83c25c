//! The addresses that the HTTP servers of one host listen on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use exosuit_core::Error;
use tokio::sync::Mutex;

use super::listener::Listener;
use super::routes::Route;

/// The addresses that the HTTP servers of one host listen on: several servers, each of another
/// application, may serve on one address by host and path.
///
/// An address is bound with its first route and freed with its last.
#[derive(Default)]
pub struct HttpPorts {
    /// Which port of this machine stands for which of the links: several hosts on one machine, say.
    instead: BTreeMap<u16, u16>,
    /// Locked while an address is bound or freed: neither may overtake the other.
    open: Mutex<Open>,
}

type Open = BTreeMap<SocketAddr, Weak<Listener>>;

/// A route that is served. Dropped, it is not; closed, what runs may finish.
pub(crate) struct Placed {
    listener: Arc<Listener>,
    route: Arc<Route>,
    asked: SocketAddr,
}

impl Placed {
    /// The address that it has.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.bound()
    }

    pub(crate) fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Whether its address is one where connections are accepted.
    pub(crate) fn is_served(&self) -> bool {
        self.listener.accepts()
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.listener.remove(&self.route);
    }
}

impl HttpPorts {
    /// With other ports in place of some that links name.
    pub fn with_instead(instead: BTreeMap<u16, u16>) -> Self {
        Self {
            instead,
            ..Self::default()
        }
    }

    /// Serves a route at an address, in the place of the one that its link had. On an error neither
    /// is served.
    pub(crate) async fn serve(
        &self,
        mut address: SocketAddr,
        route: Arc<Route>,
        old: Option<Placed>,
    ) -> Result<Placed, Error> {
        if let Some(port) = self.instead.get(&address.port()) {
            address.set_port(*port);
        }
        let mut open = self.open.lock().await;
        match old {
            Some(old) if old.asked == address => {
                let replaced = old.listener.put(&route, Some(&old.route));
                if let Err(error) = replaced {
                    finish_later(retire(&mut open, old).await);
                    return Err(error);
                }
                let listener = old.listener.clone();
                return Ok(Placed {
                    listener,
                    route,
                    asked: address,
                });
            }
            // Before another address is bound, which may be the old one in another spelling.
            Some(old) => finish_later(retire(&mut open, old).await),
            None => {}
        }
        let listener = match open.get(&address).and_then(Weak::upgrade) {
            Some(listener) if listener.is_open() => {
                listener.put(&route, None)?;
                listener
            }
            _ => bind(&mut open, address, &route)?,
        };
        Ok(Placed {
            listener,
            route,
            asked: address,
        })
    }

    /// Takes nothing new for a route, and ends when what runs has finished or its time is up.
    pub(crate) async fn close(&self, placed: Placed) {
        let retired = retire(&mut *self.open.lock().await, placed).await;
        retired.finish().await;
    }

    /// Takes nothing new for a route; what runs may finish.
    pub(crate) async fn end(&self, placed: Placed) {
        finish_later(retire(&mut *self.open.lock().await, placed).await);
    }
}

fn bind(open: &mut Open, address: SocketAddr, route: &Arc<Route>) -> Result<Arc<Listener>, Error> {
    let listener = Listener::bind(address, route)?;
    open.retain(|_, listener| listener.strong_count() > 0);
    open.insert(listener.bound(), Arc::downgrade(&listener));
    Ok(listener)
}

/// A route that takes nothing new.
struct Retired {
    placed: Placed,
    /// It was the last of its address, which is free by now.
    last: bool,
}

async fn retire(open: &mut Open, placed: Placed) -> Retired {
    let last = placed.listener.retire(&placed.route);
    if last {
        let bound = placed.listener.bound();
        let this = |open: &Weak<Listener>| open.as_ptr() == Arc::as_ptr(&placed.listener);
        if open.get(&bound).is_some_and(this) {
            open.remove(&bound);
        }
        placed.listener.stop_accepting().await;
    }
    Retired { placed, last }
}

impl Retired {
    async fn finish(self) {
        let Placed {
            listener, route, ..
        } = &self.placed;
        if self.last {
            listener.finish().await;
        } else {
            route.finish(listener.body_timeout()).await;
        }
    }
}

fn finish_later(retired: Retired) {
    tokio::spawn(retired.finish());
}
