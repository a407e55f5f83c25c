//! Makes connections to servers: a bounded number, each within a timeout, and ended when the server stops reading.
//!
//! # The life of a connection
//!
//! 1. A slot is taken: one of the actor's own, and one of all. Without a free one, an idle
//!    connection is asked to close.
//! 2. The name is resolved, TCP and TLS are set up, both within `connect_timeout_ms`, as is the
//!    wait for the slot.
//! 3. The pool gives it to requests with the same mark.
//! 4. It ends when its server closes it, after `idle_timeout_ms`, when another connection needs its
//!    slot, or when the server stops reading for `body_timeout_ms`.
//!
//! The slot is a field of the connection, so it is free only when the socket is closed.

use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use exosuit_core::{Code, Error};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tower_service::Service;

use super::failure::{chain, own};
use super::idle::{Connections, Open};
use super::mark::Mark;
use super::reach::out_of_reach;
use super::resolve::{Resolver, Within};
use super::settings::ClientLimits;
use super::turns::{Turn, Turns};

/// A connector with TLS for targets that ask for it.
type Https = HttpsConnector<HttpConnector<Within>>;
/// A TCP connection, with TLS or without.
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Makes connections: the connector of the pool. Clones share slots and resolver.
#[derive(Clone)]
pub(crate) struct Connect {
    tls: Arc<rustls::ClientConfig>,
    resolver: Resolver,
    /// One turn for each open connection.
    slots: Turns,
    /// The open connections, for those that need a slot.
    connections: Arc<Connections>,
    limits: ClientLimits,
}

/// An open connection. It holds its slot until it is dropped.
pub(crate) struct Kept {
    stream: TokioIo<Pin<Box<TimeoutStream<TokioIo<Stream>>>>>,
    /// Counts its requests and responses.
    open: Open,
    /// Whether the next byte that is written begins a request: something was read since the last
    /// write, or nothing was written yet.
    has_read: bool,
    _slot: Turn,
}

impl Connect {
    /// No connection is open.
    pub(crate) fn new(tls: rustls::ClientConfig, limits: ClientLimits) -> Self {
        Self {
            tls: Arc::new(tls),
            resolver: Resolver::new(),
            slots: Turns::new(limits.max_connections, limits.max_of_actor),
            connections: Arc::default(),
            limits,
        }
    }

    /// A connector that reaches only the addresses that this mark allows.
    fn https(&self, mark: Mark) -> Https {
        let mut tcp = HttpConnector::new_with_resolver(self.resolver.within(mark));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        HttpsConnector::from((tcp, Arc::clone(&self.tls)))
    }

    /// Makes a connection to a marked target.
    ///
    /// # Errors
    ///
    /// `denied`, `overloaded` without a slot in time, `unavailable` without a connection in time,
    /// `provider` if TLS fails.
    async fn open(self, to: Uri) -> Result<Kept, Error> {
        let target = to.to_string();
        let (mark, to) = Mark::take(&to).ok_or_else(unmarked)?;
        // An address needs no resolver.
        if let Some(address) = address_of(&to)
            && !mark.reach.allows(address)
        {
            return Err(out_of_reach(&address.to_string(), address));
        }
        let time = self.limits.connect_timeout;
        let server = to.authority().map_or("", |authority| authority.as_str());
        let free = |caller| self.connections.make_room(caller, &target);
        let slot = self.slots.take_or_free(&mark.caller, free);
        let Ok(Ok(slot)) = timeout(time, slot).await else {
            return Err(self.no_slot(server));
        };
        let open = self.connections.open(&mark.caller, &target);
        let https = self.https(mark);
        match timeout(time, connect(https, to.clone())).await {
            Ok(Ok(stream)) => {
                let mut stream = TimeoutStream::new(TokioIo::new(stream));
                stream.set_write_timeout(Some(self.limits.body_timeout));
                let stream = TokioIo::new(Box::pin(stream));
                Ok(Kept {
                    stream,
                    open,
                    has_read: true,
                    _slot: slot,
                })
            }
            Ok(Err(error)) => Err(refused(server, error.as_ref())),
            Err(_) => {
                let detail = format!("cannot connect to {server}: no connection within {time:?}");
                Err(Error::new(Code::Unavailable, detail))
            }
        }
    }

    /// The error without a slot, with both settings that bound them.
    fn no_slot(&self, server: &str) -> Error {
        let ClientLimits {
            max_connections,
            max_of_actor,
            connect_timeout,
            ..
        } = self.limits;
        let detail = format!(
            "no connection to {server} could be made: {max_connections} are open, as many as \
             max_connections allows, or {max_of_actor} of this actor, as many as \
             max_connections_per_actor allows, and none became free or idle within \
             {connect_timeout:?}"
        );
        Error::new(Code::Overloaded, detail)
    }
}

/// Waits for the connector, and then for the connection.
async fn connect(mut https: Https, to: Uri) -> Result<Stream, Box<dyn StdError + Send + Sync>> {
    poll_fn(|context| https.poll_ready(context)).await?;
    https.call(to).await
}

/// The address in a target, if it is not a name.
fn address_of(target: &Uri) -> Option<IpAddr> {
    target.host()?.trim_matches(['[', ']']).parse().ok()
}

/// A fault of ours: each target gets its mark before it is sent.
fn unmarked() -> Error {
    Error::new(Code::Internal, "a request came without its mark")
}

/// The error of a failed connection. TLS is the server's fault (`provider`); a server that is not
/// there may come later (`unavailable`).
fn refused(server: &str, error: &(dyn StdError + Send + Sync + 'static)) -> Error {
    if let Some(error) = own(error) {
        return error;
    }
    // TLS fails with this error, and the steps before it with errors of the connector.
    if error.is::<io::Error>() {
        let detail = format!("no TLS connection to {server}: {}", chain(error));
        Error::new(Code::Provider, detail)
    } else {
        let detail = format!("cannot connect to {server}: {}", chain(error));
        Error::new(Code::Unavailable, detail)
    }
}

impl Service<Uri> for Connect {
    type Response = Kept;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Kept, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(self.clone().open(to))
    }
}

impl Kept {
    /// Counts a request, if this write begins one.
    fn writes(&mut self) {
        if std::mem::take(&mut self.has_read) {
            self.open.asks();
        }
    }
}

impl Connection for Kept {
    fn connected(&self) -> Connected {
        let connected = self.stream.inner().get_ref().inner().connected();
        connected.extra(self.open.usage())
    }
}

impl Read for Kept {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.open.is_over(context) {
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.has_read |= polled.is_ready();
        polled
    }
}

impl Write for Kept {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes();
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}
