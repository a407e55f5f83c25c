//! The pieces of answers on HTTP/2 that the client has not taken yet.
//!
//! hyper hands pieces to h2, which keeps them until the client opens a window, even after the task of the request
//! has ended. Only the connection can notice a client that never does. So each piece counts in the window of time
//! in which it last made progress, and the connection looks whether any piece is left in an old window.
//!
//! ```text
//! window      0   1   2   3   0   1 …      one per body_timeout
//! counts      .   2   .   5                pieces by their last progress
//!                 ▲ still there two windows later: the client is stuck
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::{Buf, Bytes};
use tokio::time::sleep;

use super::pace::Tempo;

/// The number of windows that are told apart. A piece may be two whole windows late before the
/// connection ends. A request that still runs is ended earlier, after one window, by itself.
const WINDOWS: usize = 4;

/// A piece of an answer.
#[derive(Debug)]
pub(crate) struct Piece {
    /// The bytes that h2 has not written yet.
    data: Bytes,
    /// `None` on HTTP/1.1, where the socket itself is watched.
    owed: Option<Owed>,
}

/// The pieces of a connection that its client has not taken.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// The length of a window, and the bytes that count as progress in it.
    tempo: Tempo,
    /// The number of the current window. It only grows.
    window: AtomicUsize,
    /// The number of pieces that last made progress in each of the latest windows.
    counts: [AtomicUsize; WINDOWS],
}

/// One piece in its window, until it is dropped.
#[derive(Debug)]
struct Owed {
    pieces: Arc<Pieces>,
    window: usize,
    /// Bytes that were taken in this window.
    taken: u64,
}

impl Pieces {
    /// No pieces.
    pub(crate) fn new(tempo: Tempo) -> Arc<Self> {
        Arc::new(Self {
            tempo,
            window: AtomicUsize::new(0),
            counts: Default::default(),
        })
    }

    /// Ends when the client has been too slow to take one of the pieces.
    pub(crate) async fn stuck(&self) {
        loop {
            sleep(self.tempo.window()).await;
            let window = self.window.fetch_add(1, Relaxed) + 1;
            // The oldest of those that are told apart.
            if self.counts[(window + 1) % WINDOWS].load(Relaxed) > 0 {
                return;
            }
        }
    }

    /// Counts a piece in the current window.
    fn owe(self: &Arc<Self>) -> Owed {
        let window = self.window.load(Relaxed) % WINDOWS;
        self.counts[window].fetch_add(1, Relaxed);
        Owed {
            pieces: Arc::clone(self),
            window,
            taken: 0,
        }
    }
}

impl Owed {
    /// Notes that the client took bytes. Enough of them move the piece to the current window.
    fn take(&mut self, bytes: usize) {
        self.taken += bytes as u64;
        if self.taken >= self.pieces.tempo.least() {
            *self = self.pieces.owe();
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.pieces.counts[self.window].fetch_sub(1, Relaxed);
    }
}

impl Piece {
    /// Makes a piece. It is counted among `pieces`, those of its connection, on HTTP/2.
    pub(crate) fn new(data: Bytes, pieces: Option<&Arc<Pieces>>) -> Self {
        Self {
            data,
            owed: pieces.map(Pieces::owe),
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        &self.data
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
        if let Some(owed) = &mut self.owed {
            owed.take(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const WINDOW: Duration = Duration::from_millis(10);

    #[tokio::test]
    async fn a_piece_that_does_not_progress_is_found() {
        let pieces = Pieces::new(Tempo::new(WINDOW, 200));
        let piece = Piece::new(Bytes::from_static(b"piece"), Some(&pieces));
        pieces.stuck().await;
        drop(piece);
        assert!(timeout(10 * WINDOW, pieces.stuck()).await.is_err());
    }

    #[test]
    fn a_piece_moves_on_with_each_share_of_the_rate() {
        // Two bytes in each window.
        let pieces = Pieces::new(Tempo::new(WINDOW, 200));
        let mut piece = Piece::new(Bytes::from_static(b"piece"), Some(&pieces));
        pieces.window.store(1, Relaxed);
        let counted = |window: usize| pieces.counts[window].load(Relaxed);
        piece.advance(1);
        assert_eq!((counted(0), counted(1)), (1, 0));
        piece.advance(1);
        assert_eq!((counted(0), counted(1)), (0, 1));
        drop(piece);
        assert_eq!(counted(1), 0);
    }
}
