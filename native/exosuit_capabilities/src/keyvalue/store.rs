//! The parts that all backends have in common: memory, a file, and a bucket of the lattice.
//!
//! | | `memory` | `file` | `lattice` |
//! |---|---|---|---|
//! | lives as long as | the provider | the file | the bucket in the lattice |
//! | an operation is one step | yes | yes | for each entry |
//! | a write is done | at once | after the commit | when the servers have it |
//! | runs | where it is polled, or on a blocking thread | on one writer, or a blocking thread | on Tokio |
//! | without disk or servers | | writes fail, reads work | each operation fails at once |

use std::future::Future;
use std::pin::Pin;

use exosuit_core::{Code, Done, Error};

use super::operation::Outcome;
use super::work::Work;

/// An operation that is under way.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>>;

/// A backend.
pub(crate) trait Store: Send + Sync {
    /// Carries out an operation: whole, or not at all. A backend in a lattice promises that for each entry by
    /// itself. The first poll may run on a scheduler of the BEAM, and must not block. Dropping the future gives up
    /// the answer, not the operation.
    fn run(&self, work: Work) -> Running;

    /// Why writes fail now, if they do. The backend recovers by itself.
    fn impaired(&self) -> Option<Error> {
        None
    }

    /// Finishes the operations that run, and closes the file. Later operations fail with `unavailable`.
    fn stop(&self) -> Done;
}

/// The error of a store that was stopped.
pub(crate) fn stopped() -> Error {
    Error::new(Code::Unavailable, "the key-value store is stopped")
}
