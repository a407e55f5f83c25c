//! The traits where the crates meet: [`Deliver`] for calls, and [`Capability`] for built-in
//! providers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::{Contract, Error, Invocation, Link, Reply};

/// The result of work that takes time. The work starts when it is polled.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// The answer to an invocation. Dropping it gives up the call.
pub type Answer = Pending<Reply>;

/// Work without a result.
pub type Done = Pending<()>;

/// Delivers an invocation to its target. The router, an actor and the lattice implement it.
pub trait Deliver: Send + Sync {
    /// Starts the call when the answer is polled.
    fn deliver(&self, invocation: Invocation) -> Answer;

    /// Says how many calls it gets at a time. An actor keeps no more instances than that for callers with resources.
    fn set_instances(&self, _instances: u32) {}

    /// Whether its calls may name a link. Components always use links with the default name.
    fn names_links(&self) -> bool {
        true
    }
}

/// An invocation of a provider, with the link that allowed it.
#[derive(Debug)]
pub struct CapabilityCall {
    /// The call.
    pub invocation: Invocation,
    /// The link that allowed the call. `None` for providers that need no link.
    pub link: Option<Arc<Link>>,
}

/// A link that its provider is ready to serve, but does not serve yet.
///
/// Dropping it changes nothing: the provider still serves the former link.
#[must_use = "a link that is prepared and not switched to is given up"]
pub struct Prepared(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Prepared {
    /// The second phase of a change. `switch` cannot fail, and waits for no client, guest or
    /// server. Dropping it releases what was acquired for the change.
    pub fn new(switch: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(switch))
    }

    /// The change of a provider that stores nothing for its links.
    pub fn nothing() -> Self {
        Self::new(std::future::ready(()))
    }

    /// Serves the link from now on, in place of the former one.
    pub async fn switch(self) {
        self.0.await;
    }
}

/// A built-in provider.
///
/// Its functions are called concurrently. A link is prepared and switched to before the first call
/// through it, and again when its settings change; `unlink` ends it.
pub trait Capability: Send + Sync {
    /// The contracts that it implements.
    fn contracts(&self) -> &[Contract];

    /// Answers a call. The router has checked it.
    fn invoke(&self, call: CapabilityCall) -> Answer;

    /// Its addresses for clients outside, for people: `http://127.0.0.1:8080 → counter`.
    fn endpoints(&self) -> Vec<String> {
        Vec::new()
    }

    /// The first phase of a change: everything that can fail. It reads the settings, binds the
    /// address, subscribes. An error, or dropping the result, changes nothing.
    fn prepare(&self, _link: Arc<Link>) -> Pending<Prepared> {
        Box::pin(async { Ok(Prepared::nothing()) })
    }

    /// Checks whether the link would be accepted now. By default it is prepared and dropped.
    fn check(&self, link: Arc<Link>) -> Done {
        let prepared = self.prepare(link);
        Box::pin(async move { prepared.await.map(drop) })
    }

    /// Prepares a link and switches to it.
    fn link(&self, link: Arc<Link>) -> Done {
        let prepared = self.prepare(link);
        Box::pin(async move {
            prepared.await?.switch().await;
            Ok(())
        })
    }

    /// Parts of a link without effect that [`prepare`](Self::prepare) accepts, as texts for people:
    /// an unknown setting, a list that allows nothing.
    fn warnings(&self, _link: &Link) -> Vec<String> {
        Vec::new()
    }

    /// Removes a link. A missing link is not an error. Takes no new calls for it, and does not wait
    /// for running ones.
    fn unlink(&self, _link: Arc<Link>) -> Done {
        Box::pin(async { Ok(()) })
    }

    /// Checks whether the provider works: its store answers, its listeners accept, its connection
    /// is there. It is called at intervals. `unavailable` means that something it depends on is
    /// away, and that it continues by itself later. After any other error it is stopped and started
    /// again.
    fn health(&self) -> Done {
        Box::pin(async { Ok(()) })
    }

    /// Takes nothing new from outside, and ends when everything it took has been answered. Calls of
    /// actors are still served, as running calls may need them.
    fn drain(&self) -> Done {
        Box::pin(async { Ok(()) })
    }

    /// Takes nothing new, and closes sockets and files. Does not wait for clients: their running
    /// requests have their own time limits.
    fn stop(&self) -> Done {
        Box::pin(async { Ok(()) })
    }
}
