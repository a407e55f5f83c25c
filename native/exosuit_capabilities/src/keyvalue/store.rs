//! Where records are kept: what memory, a file and a lattice have in common.

use std::future::Future;
use std::pin::Pin;

use exosuit_core::{Code, Done, Error};

use super::operation::Outcome;
use super::work::Work;

/// Work that is under way.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>>;

/// Where records are kept.
pub(crate) trait Store: Send + Sync {
    /// Does the work: whole, or not at all.
    fn run(&self, work: Work) -> Running;

    /// Why it does not take writes now, if it does not. It goes on by itself.
    fn impaired(&self) -> Option<Error> {
        None
    }

    /// Ends what was asked for, and lets go of the file.
    fn stop(&self) -> Done;
}

/// The error of a store that takes no more work.
pub(crate) fn stopped() -> Error {
    Error::new(Code::Unavailable, "the key-value store is stopped")
}
