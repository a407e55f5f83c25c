//! Random numbers for guests, filled in pieces: WASI's own functions fill a buffer of any size in one go, and nothing
//! interrupts them.
//!
//! `preview1` and `component::imports` use these instead of WASI's. All bytes come from the operating system,
//! those that WASI calls insecure as well, unless a test gave a seed.
//!
//! | asked for | where it is filled |
//! |---|---|
//! | up to 64 KiB | at once, also on a scheduler of the BEAM |
//! | more | in a task, in pieces of 64 KiB, between which other tasks run |
//! | more than 64 MiB, by a component | nowhere: a trap |
//! | more than its memory, by a module | as far as its memory goes; then the error `fault` of WASI |

use tokio::task::yield_now;

use crate::simulation::SeededRandom;
use crate::slice::leave_scheduler;

/// How much is filled at once: a fraction of a millisecond.
const PIECE: usize = 64 << 10;

/// The most that a component is given at once; WASI's own bound.
const MAX_BYTES: u64 = 64 << 20;

/// Returns this number of random bytes. More than [`MAX_BYTES`] is a trap, as in `wasmtime_wasi`.
pub(crate) async fn bytes(count: u64, seeded: Option<SeededRandom>) -> wasmtime::Result<Vec<u8>> {
    if count > MAX_BYTES {
        wasmtime::bail!("the guest asked for {count} random bytes, {MAX_BYTES} at most are given");
    }
    let mut bytes = vec![0; usize::try_from(count)?];
    let mut pieces = Pieces::of(bytes.len());
    while let Some(piece) = pieces.next().await {
        fill(&mut bytes[piece], seeded.as_ref())?;
    }
    Ok(bytes)
}

/// Fills the bytes: from the operating system, or with the numbers of a test.
pub(crate) fn fill(bytes: &mut [u8], seeded: Option<&SeededRandom>) -> wasmtime::Result<()> {
    match seeded {
        None => getrandom::fill(bytes)?,
        Some(seeded) => seeded.fill(bytes),
    }
    Ok(())
}

/// The pieces of a buffer. Between two of them others have their turn, and from the second on the call runs on no
/// scheduler. It knows sizes alone, as the memory of a guest cannot be borrowed across an await.
pub(crate) struct Pieces {
    /// Where the next piece starts.
    next: usize,
    /// The size of the buffer.
    end: usize,
}

impl Pieces {
    /// The pieces of a buffer of this size, in bytes.
    pub(crate) fn of(size: usize) -> Self {
        Self { next: 0, end: size }
    }

    /// The range of the next piece, after others have had their turn. None at the end.
    pub(crate) async fn next(&mut self) -> Option<std::ops::Range<usize>> {
        match self.next {
            0 if self.end > PIECE => leave_scheduler().await,
            0 => {}
            next if next < self.end => yield_now().await,
            _ => return None,
        }
        let piece = self.next..self.end.min(self.next + PIECE);
        self.next = piece.end;
        (!piece.is_empty()).then_some(piece)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// How often it waits, and what comes of it.
    fn run<T>(future: impl Future<Output = T>) -> (usize, T) {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        let mut polls = (0..).map(|poll| (poll, future.as_mut().poll(&mut context)));
        let ready = polls.find_map(|(poll, polled)| match polled {
            Poll::Ready(value) => Some((poll, value)),
            Poll::Pending => None,
        });
        ready.expect("it ends")
    }

    #[tokio::test]
    async fn a_piece_is_filled_at_once_and_more_is_filled_in_turns() {
        let (waits, few) = run(bytes(64 << 10, None));
        let few = few.expect("few");
        assert_eq!((waits, few.len()), (0, 64 << 10));
        assert!(few.iter().any(|byte| *byte != 0));

        // Off the scheduler, and once between two pieces.
        let (waits, many) = run(bytes((1 << 20) + 1, None));
        let many = many.expect("many");
        assert_eq!((waits, many.len()), (17, (1 << 20) + 1));
        assert!(many[1 << 20..].len() == 1 && many[(1 << 20) - 64..].iter().any(|byte| *byte != 0));

        assert!(run(bytes(u64::MAX, None)).1.is_err());
        assert_eq!(run(bytes(0, None)).1.expect("none").len(), 0);
    }
}
