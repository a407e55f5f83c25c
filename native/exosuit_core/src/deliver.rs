//! The traits where the crates meet.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::{Contract, Error, Invocation, Link, Reply};

/// What comes of something that takes its time. Nothing happens before it is polled.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// The answer to an invocation, once it is there. Dropping it gives the call up.
pub type Answer = Pending<Reply>;

/// Something that ends, well or not.
pub type Done = Pending<()>;

/// Hands an invocation to its target. The router, an actor and the lattice are one each.
pub trait Deliver: Send + Sync {
    /// Starts the call: nothing happens before the answer is polled.
    fn deliver(&self, invocation: Invocation) -> Answer;

    /// Whether the calls that it makes may name a link. Those of a component always go by links of
    /// the default name.
    fn names_links(&self) -> bool {
        true
    }
}

/// An invocation of a provider, with the link that allowed it.
#[derive(Debug)]
pub struct CapabilityCall {
    /// Who calls, which operation, with what.
    pub invocation: Invocation,
    /// The link that allowed it; none for builtins, which need none.
    pub link: Option<Arc<Link>>,
}

/// A link that its provider is ready to serve, and does not serve yet.
///
/// Dropped, nothing has changed: what served the link before goes on.
#[must_use = "a link that is prepared and not switched to is given up"]
pub struct Prepared(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Prepared {
    /// The rest of a change, which cannot fail and waits for no client, guest or server. What was
    /// taken for the change is given back by the drop of what `switch` owns.
    pub fn new(switch: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(switch))
    }

    /// The change of a provider that keeps nothing for its links.
    pub fn nothing() -> Self {
        Self::new(std::future::ready(()))
    }

    /// Serves the link from now on, in the place of what served it before.
    pub async fn switch(self) {
        self.0.await;
    }
}

/// A built-in provider.
///
/// It is called concurrently. A link is prepared and switched to before the first call through it,
/// and again when its settings change; `unlink` ends it.
pub trait Capability: Send + Sync {
    /// What it implements.
    fn contracts(&self) -> &[Contract];

    /// Answers a call. The router has checked it.
    fn invoke(&self, call: CapabilityCall) -> Answer;

    /// Where it can be reached from outside, for people to read: `http://127.0.0.1:8080 → counter`.
    fn endpoints(&self) -> Vec<String> {
        Vec::new()
    }

    /// Does all of a link, or of its changed settings, that can fail: reads the settings, binds the
    /// address, subscribes. An error, or dropping the result, leaves everything as it was: a link
    /// that was served before is served as before.
    fn prepare(&self, _link: Arc<Link>) -> Pending<Prepared> {
        Box::pin(async { Ok(Prepared::nothing()) })
    }

    /// Whether the link would be taken now. By default it is prepared and given up.
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

    /// What of a link has no effect although [`prepare`](Self::prepare) takes it, a text each for people
    /// to read: a setting that it does not know, a list that allows nothing.
    fn warnings(&self, _link: &Link) -> Vec<String> {
        Vec::new()
    }

    /// Forgets a link; ends without error where there is none. Takes nothing new for it from then on,
    /// and does not wait for what runs.
    fn unlink(&self, _link: Arc<Link>) -> Done {
        Box::pin(async { Ok(()) })
    }

    /// Whether it can do its work: its store answers, its listeners accept, its connection is there.
    /// It is asked at intervals. `unavailable` says that what it stands on is away, and that it goes on
    /// by itself when that is back; after any other error it is stopped and started again.
    fn health(&self) -> Done {
        Box::pin(async { Ok(()) })
    }

    /// Takes nothing new from outside and ends when what it took has been answered. Calls of
    /// actors are still served: those that run may need them to finish.
    fn drain(&self) -> Done {
        Box::pin(async { Ok(()) })
    }

    /// Takes nothing new, and lets go of sockets and files. Does not wait for clients: what it took
    /// from outside finishes within its own time limits.
    fn stop(&self) -> Done {
        Box::pin(async { Ok(()) })
    }
}
