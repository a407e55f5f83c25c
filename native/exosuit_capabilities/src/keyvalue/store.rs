//! The parts that all backends have in common: memory, a file, and a bucket of the lattice.

use std::future::Future;
use std::pin::Pin;

use exosuit_core::{Code, Done, Error};

use super::operation::Outcome;
use super::work::Work;

/// An operation that runs.
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

/// The error of a store that takes no more work.
pub(crate) fn stopped() -> Error {
    Error::new(Code::Unavailable, "the key-value store is stopped")
}
