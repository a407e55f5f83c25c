//! Resolves host names. A lookup occupies a thread, possibly longer than its caller waits, so the number of lookups is
//! bounded, in total and per actor. Only addresses that the request may reach are used.
//!
//! Addresses are checked after the resolution and before the connection, so a name that changes its
//! address between two look-ups gains nothing: what was checked is what is connected to.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use hyper_util::client::legacy::connect::dns::Name;
use tokio::task::spawn_blocking;
use tower_service::Service;

use super::mark::Mark;
use super::reach::out_of_reach;
use super::turns::Turns;

/// The number of look-ups at a time. The threads are shared with everything that reads files.
const LOOK_UPS: usize = 16;

/// The number of look-ups at a time for one actor. A name that no server answers for takes many
/// seconds.
const LOOK_UPS_OF_ACTOR: usize = 4;

type Failure = Box<dyn StdError + Send + Sync>;

/// The operating system's resolver.
#[derive(Clone)]
pub(crate) struct Resolver(Turns);

/// The resolver for requests of one mark: it returns only addresses within their reach.
#[derive(Clone)]
pub(crate) struct Within {
    resolver: Resolver,
    mark: Mark,
}

impl Resolver {
    /// No look-up runs.
    pub(crate) fn new() -> Self {
        Self(Turns::new(LOOK_UPS, LOOK_UPS_OF_ACTOR))
    }

    /// Gives the addresses within the reach of this mark only.
    pub(crate) fn within(&self, mark: Mark) -> Within {
        let resolver = self.clone();
        Within { resolver, mark }
    }

    /// Asks the operating system on a blocking thread. The turn lasts as long as the thread, even
    /// if the caller has given up.
    async fn look_up(self, name: Name, caller: &str) -> io::Result<Vec<SocketAddr>> {
        let turn = self.0.take(caller).await.map_err(io::Error::other)?;
        let look_up = spawn_blocking(move || {
            // The thread holds the turn, even if the caller has given up.
            let _turn = turn;
            (name.as_str(), 0).to_socket_addrs()
        });
        Ok(look_up.await.map_err(io::Error::other)??.collect())
    }
}

impl Service<Name> for Within {
    type Response = IntoIter<SocketAddr>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { resolver, mark } = self.clone();
        Box::pin(async move {
            let host = name.to_string();
            let found = resolver.look_up(name, &mark.caller).await?;
            let (near, far): (Vec<_>, Vec<_>) = found
                .into_iter()
                .partition(|found| mark.reach.allows(found.ip()));
            match far.first() {
                Some(far) if near.is_empty() => Err(out_of_reach(&host, far.ip()).into()),
                _ => Ok(near.into_iter()),
            }
        })
    }
}
