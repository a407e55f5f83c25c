//! The output of guests: each line of stdout and stderr becomes a line of the log.
//!
//! WASI writes bytes in pieces of any size; a log has lines. So the last, unfinished line is kept until its end
//! comes, or the call ends: what a warm instance prints in its next call must not continue it. A line longer than
//! [`LogGate::MAX_LINE`] is passed on in pieces, so that a guest without line ends holds 4 KiB here and no more.
//! The gate drops lines beyond the rate of the actor. A guest never waits for the log.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use exosuit_core::{LogGate, LogLevel};
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::actor_shared::ActorShared;

/// The bytes that a guest may write at once; it writes again for the rest. Even if each line has one byte,
/// so many lines take less than a millisecond.
const PERMIT: usize = 8 << 10;

/// Splits bytes into lines and logs them. An unfinished line is logged when the call ends, or on drop.
struct Lines {
    actor: Arc<ActorShared>,
    level: LogLevel,
    /// The unfinished line. A lock, because WASI may hold several handles of one stream.
    partial: Mutex<Vec<u8>>,
}

impl Lines {
    /// Passes on the lines that these bytes finish, and keeps the rest. Empty lines are passed on as well. Takes time
    /// in proportion to the bytes, of which a guest may write [`PERMIT`] at once in WASI 0.2.
    fn append(&self, mut bytes: &[u8]) {
        let mut partial = self.partial.lock();
        while !bytes.is_empty() {
            let room = LogGate::MAX_LINE - partial.len();
            let chunk = &bytes[..bytes.len().min(room)];
            let end = chunk.iter().position(|byte| *byte == b'\n');
            partial.extend_from_slice(&chunk[..end.unwrap_or(chunk.len())]);
            bytes = &bytes[end.map_or(chunk.len(), |end| end + 1)..];
            if end.is_some() || partial.len() == LogGate::MAX_LINE {
                self.pass_on(&partial);
                partial.clear();
            }
        }
    }

    /// Logs the unfinished line.
    fn end(&self) {
        let partial = std::mem::take(&mut *self.partial.lock());
        if !partial.is_empty() {
            self.pass_on(&partial);
        }
    }

    /// Logs a line. Bytes that are not UTF-8 are replaced, and the carriage return of Windows is removed.
    fn pass_on(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\r');
        self.actor.log.write(&self.actor.id, self.level, text);
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end();
    }
}

/// One of a guest's two output streams. Clones share the unfinished line: WASI makes one for each handle that the
/// guest asks for.
#[derive(Clone)]
pub(crate) struct Output(Arc<Lines>);

impl Output {
    /// A stream whose lines have this level: info for stdout, warning for stderr.
    pub(crate) fn new(actor: Arc<ActorShared>, level: LogLevel) -> Self {
        Self(Arc::new(Lines {
            actor,
            level,
            partial: Mutex::default(),
        }))
    }

    /// Logs the unfinished line, if there is one.
    pub(crate) fn end_line(&self) {
        self.0.end();
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

/// WASI 0.2. Every write is done when it returns, so flushing and waiting have nothing to do. A write never fails: the
/// guest does not learn that the gate has dropped a line.
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.append(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

/// WASI preview 1.
impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.append(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
