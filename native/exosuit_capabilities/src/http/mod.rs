//! The HTTP server: a port per link, each request an invocation of the actor at its other end.
//!
//! [`HttpServer`] keeps a [`Listener`] per link; a listener accepts connections and drains them;
//! an [`Endpoint`] turns a request into an invocation and its answer into a response. `contract`
//! holds the forms of the messages, `refusal` the status of each failure.

mod contract;
mod endpoint;
mod listener;
mod refusal;
mod settings;

use std::collections::BTreeMap;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use exosuit_core::{
    Answer, Capability, CapabilityCall, Code, Configuration, Contract, Deliver, Done, Error, Id,
    Link, LinkKey, Observe,
};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::message;
use endpoint::Endpoint;
use listener::Listener;
use settings::Limits;

/// The provider of `wasmcloud:httpserver`: every linked actor answers on an address of its own.
///
/// # Settings
///
/// Of a link, or of the provider for all its links; keys in any case, sizes with `k`, `m`, `g`.
///
/// | key | default | |
/// |---|---|---|
/// | `address` | `127.0.0.1:8080` | port 0 takes a free one; `port` alone means loopback |
/// | `timeout_ms` | 30000 | the deadline of a request, once it has been read |
/// | `header_timeout_ms` | 30000 | for a request's header, and for the next request of a connection |
/// | `body_timeout_ms` | 60000 | for a whole request body; the longest pause of a client that reads an answer |
/// | `max_header_bytes` | 64k | more is answered with 431 |
/// | `max_body_bytes` | 16m | more is answered with 413 (`max_content_len` means the same) |
/// | `max_buffered_bytes` | 256m | the request bodies of all connections; past it, 503 |
/// | `max_connections` | 1024 | further ones wait in the backlog of the operating system |
///
/// `config_json` and `config_b64` hold the same as a JSON object, as the old host's provider
/// takes them. TLS is not offered, and asking for it is an error.
pub struct HttpServer {
    contracts: [Contract; 1],
    shared: Arc<Shared>,
}

struct Shared {
    id: Id,
    configuration: Configuration,
    deliver: Weak<dyn Deliver>,
    observe: Arc<dyn Observe>,
    open: Mutex<Open>,
    /// One change of links at a time: binding and closing wait, and must not overtake each other.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Open {
    listeners: BTreeMap<Key, Listener>,
    stopped: bool,
}

/// The actor as well as the link's key: that of a link from a provider does not name its target.
type Key = (LinkKey, Id);

impl HttpServer {
    /// A server without a link yet. Fails on settings that no link could be served with.
    pub fn new(
        id: Id,
        configuration: &Configuration,
        deliver: Weak<dyn Deliver>,
        observe: Arc<dyn Observe>,
    ) -> Result<Arc<Self>, Error> {
        settings::read(configuration, &Configuration::new())?;
        Ok(Arc::new(Self {
            contracts: [message::contract("wasmcloud:httpserver")],
            shared: Arc::new(Shared {
                id,
                configuration: configuration.clone(),
                deliver,
                observe,
                open: Mutex::default(),
                changing: tokio::sync::Mutex::default(),
            }),
        }))
    }

    /// Who listens where, with the port that was taken where 0 was asked for.
    pub fn addresses(&self) -> Vec<(Id, SocketAddr)> {
        let open = self.shared.open.lock();
        let address = |((_, actor), listener): (&Key, &Listener)| (actor.clone(), listener.bound());
        open.listeners.iter().map(address).collect()
    }
}

impl Capability for HttpServer {
    fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    fn invoke(&self, call: CapabilityCall) -> Answer {
        let operation = &call.invocation.operation;
        let error = message::unknown_operation(&self.contracts[0], operation);
        Box::pin(ready(Err(error)))
    }

    fn endpoints(&self) -> Vec<String> {
        self.addresses()
            .into_iter()
            .map(|(actor, address)| format!("http://{address} → {actor}"))
            .collect()
    }

    fn link(&self, link: Arc<Link>) -> Done {
        let (shared, contract) = (self.shared.clone(), self.contracts[0].clone());
        Box::pin(async move {
            if link.contract != contract {
                let detail = format!("the HTTP server offers {contract}, not {}", link.contract);
                return Err(Error::new(Code::InvalidLink, detail));
            }
            shared.link(&link).await
        })
    }

    fn unlink(&self, link: Arc<Link>) -> Done {
        let shared = self.shared.clone();
        Box::pin(async move {
            shared.unlink(&link).await;
            Ok(())
        })
    }

    fn drain(&self) -> Done {
        let shared = self.shared.clone();
        Box::pin(async move {
            shared.close_all().await;
            Ok(())
        })
    }

    fn stop(&self) -> Done {
        self.drain()
    }
}

impl Shared {
    async fn link(&self, link: &Link) -> Result<(), Error> {
        let _changing = self.changing.lock().await;
        let (configuration, actor) = link.seen_from(&self.id);
        let key = (link.key(), actor.clone());
        let settings = settings::read(&self.configuration, configuration);

        if let Ok((address, limits)) = &settings
            && self.adjust(&key, *address, limits)
        {
            return Ok(());
        }
        // Before the new address is bound, which may be the old one in another spelling.
        if let Some(old) = self.take(&key) {
            old.stop_accepting().await;
            tokio::spawn(old.close());
        }
        let (address, limits) = settings?;
        self.open(key, link, address, limits)
    }

    /// Gives a listener that stays where it is its new limits.
    fn adjust(&self, key: &Key, address: SocketAddr, limits: &Limits) -> bool {
        match self.open.lock().listeners.get(key) {
            Some(listener) if listener.asked() == address => {
                listener.adjust(limits);
                true
            }
            _ => false,
        }
    }

    fn open(
        &self,
        key: Key,
        link: &Link,
        address: SocketAddr,
        limits: Limits,
    ) -> Result<(), Error> {
        let mut open = self.open.lock();
        if open.stopped {
            return Err(Error::new(Code::Unavailable, "the HTTP server is stopped"));
        }
        if let Some(taken) = open.taken(address) {
            let detail = format!(
                "address {address} already serves the actor {taken}: give each link an address of its own"
            );
            return Err(Error::new(Code::Conflict, detail));
        }
        let endpoint = Endpoint {
            provider: self.id.clone(),
            actor: key.1.clone(),
            contract: link.contract.clone(),
            link: link.name.clone(),
            deliver: self.deliver.clone(),
            observe: self.observe.clone(),
        };
        let listener = Listener::bind(address, limits, endpoint)?;
        open.listeners.insert(key, listener);
        Ok(())
    }

    async fn unlink(&self, link: &Link) {
        let _changing = self.changing.lock().await;
        let (_, actor) = link.seen_from(&self.id);
        if let Some(listener) = self.take(&(link.key(), actor.clone())) {
            listener.close().await;
        }
    }

    async fn close_all(&self) {
        let _changing = self.changing.lock().await;
        let listeners = {
            let mut open = self.open.lock();
            open.stopped = true;
            std::mem::take(&mut open.listeners)
        };
        let closing: JoinSet<()> = listeners.into_values().map(Listener::close).collect();
        closing.join_all().await;
    }

    fn take(&self, key: &Key) -> Option<Listener> {
        self.open.lock().listeners.remove(key)
    }
}

impl Open {
    fn taken(&self, address: SocketAddr) -> Option<&Id> {
        let mut listeners = self.listeners.iter();
        listeners
            .find(|(_, listener)| listener.bound() == address)
            .map(|((_, actor), _)| actor)
    }
}
