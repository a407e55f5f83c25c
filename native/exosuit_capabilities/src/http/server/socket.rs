//! A connection as a byte stream, with or without TLS. It enforces the minimum rate at which the client reads.
//!
//! The pace is enforced where bytes enter the operating system, below TLS and HTTP. A client that
//! acknowledges nothing for too long fails the write, and with it the connection.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::pace::{Pace, Tempo};

/// The start of an HTTP/2 connection. No HTTP/1.1 request begins with these bytes (RFC 9113, 3.4).
const PREFACE: &[u8; 3] = b"PRI";

/// A TCP connection whose client must read at the minimum rate.
pub(crate) struct Socket {
    stream: TcpStream,
    /// Bytes that were read to recognise the protocol, and not yet by the protocol itself.
    ahead: Ahead,
    pace: Pace,
}

/// The first bytes, which were read before the protocol was known.
#[derive(Default)]
struct Ahead {
    bytes: [u8; PREFACE.len()],
    length: usize,
    taken: usize,
}

impl Socket {
    /// A connection that is watched at this tempo.
    pub(crate) fn new(stream: TcpStream, tempo: Tempo) -> Self {
        Self {
            stream,
            ahead: Ahead::default(),
            pace: Pace::new(tempo),
        }
    }

    /// Whether the client begins with HTTP/2. Reads at most three bytes, and keeps them for the
    /// protocol.
    pub(crate) async fn begins_with_http2(&mut self) -> Result<bool> {
        let ahead = &mut self.ahead;
        loop {
            let found = &ahead.bytes[..ahead.length];
            if found != &PREFACE[..ahead.length] || ahead.length == PREFACE.len() {
                return Ok(found == PREFACE);
            }
            match self.stream.read(&mut ahead.bytes[ahead.length..]).await? {
                0 => return Ok(false),
                count => ahead.length += count,
            }
        }
    }

    /// Counts a write, or fails it if the client has been too slow.
    fn written(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<Result<usize>>,
    ) -> Poll<Result<usize>> {
        match polled {
            Poll::Ready(Ok(count)) => self.pace.passed(count),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                if self.pace.poll_slow(context).is_ready() {
                    return Poll::Ready(Err(too_slow()));
                }
            }
        }
        polled
    }
}

/// The error that ends the connection.
fn too_slow() -> Error {
    Error::new(ErrorKind::TimedOut, "the client reads too slowly")
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = &mut *self;
        let Ahead {
            bytes,
            length,
            taken,
        } = &mut this.ahead;
        if taken < length {
            let end = (*taken + buffer.remaining()).min(*length);
            buffer.put_slice(&bytes[*taken..end]);
            *taken = end;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.written(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A connection, with TLS or without.
pub(crate) enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl Transport {
    /// Resets the connection, so that the client does not take a broken answer for a whole one.
    pub(crate) fn reset(self) {
        let socket = match &self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        };
        let _ = socket.stream.set_zero_linger();
    }
}

/// Does the same with either stream.
macro_rules! either {
    ($transport:expr, $stream:ident => $done:expr) => {
        match $transport.get_mut() {
            Transport::Plain(stream) => {
                let $stream = Pin::new(stream);
                $done
            }
            Transport::Tls(stream) => {
                let $stream = Pin::new(stream);
                $done
            }
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        either!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        either!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        either!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        either!(self, stream => stream.poll_shutdown(context))
    }
}
