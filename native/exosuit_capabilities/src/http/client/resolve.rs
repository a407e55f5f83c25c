//! Names to addresses, few at a time: a look-up holds a thread, and for longer than its caller may
//! wait.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tower_service::Service;

/// How many names are looked up at a time. The threads are shared with all that reads files.
const LOOK_UPS: usize = 16;

/// The operating system's resolver.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<Semaphore>);

impl Resolver {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(LOOK_UPS)))
    }
}

impl Service<Name> for Resolver {
    type Response = IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let turns = self.0.clone();
        Box::pin(async move {
            let turn = turns.acquire_owned().await.map_err(io::Error::other)?;
            let look_up = spawn_blocking(move || {
                // Kept by the thread, whoever has given up.
                let _turn = turn;
                (name.as_str(), 0).to_socket_addrs()
            });
            look_up.await.map_err(io::Error::other)?
        })
    }
}
