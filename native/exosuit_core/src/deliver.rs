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
}

/// An invocation of a provider, with the link that allowed it.
#[derive(Debug)]
pub struct CapabilityCall {
    /// Who calls, which operation, with what.
    pub invocation: Invocation,
    /// The link that allowed it; none for builtins, which need none.
    pub link: Option<Arc<Link>>,
}

/// A built-in provider.
///
/// It is called concurrently. `link` comes before the first call through that link, again when
/// the link's settings change, and is answered by `unlink`.
pub trait Capability: Send + Sync {
    /// What it implements.
    fn contracts(&self) -> &[Contract];

    /// Answers a call. The router has checked it.
    fn invoke(&self, call: CapabilityCall) -> Answer;

    /// Where it can be reached from outside, for people to read: `http://127.0.0.1:8080 → counter`.
    fn endpoints(&self) -> Vec<String> {
        Vec::new()
    }

    /// Takes a link, or its changed settings. An error leaves the link without effect here.
    fn link(&self, _link: Arc<Link>) -> Done {
        Box::pin(async { Ok(()) })
    }

    /// Forgets a link; ends without error where there is none.
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

    /// Takes nothing new, ends what runs, and lets go of sockets and files.
    fn stop(&self) -> Done {
        Box::pin(async { Ok(()) })
    }
}
