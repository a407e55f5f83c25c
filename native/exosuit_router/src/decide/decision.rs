//! A decision: the call, and the data by which it is decided.
//!
//! It is a struct and not a list of arguments, because nearly every step needs all of it. It
//! borrows the table, so a decision cannot outlive the lock.

use std::sync::Arc;

use exosuit_core::{Contract, Elsewhere, Error, Id, Identity, Invocation};

use crate::table::Table;
use crate::{Clock, refusal};

/// The data that a decision reads.
pub(super) struct Decision<'a> {
    pub(super) table: &'a Table,
    pub(super) call: &'a Invocation,
    /// The other hosts, for a call that may leave.
    pub(super) elsewhere: Option<&'a Arc<dyn Elsewhere>>,
    /// Whether a target on this host is preferred to the choice of the lattice.
    pub(super) here_first: bool,
    /// The time that claims expire by. Read only for claims that expire.
    pub(super) clock: &'a Clock,
}

/// Checks that the claims of an actor name a contract.
///
/// Which contracts a set of claims allows is decided by `Grants`: a signed list, or everything that
/// a link joins.
pub(super) fn claimed(contract: &Contract, actor: &Id, identity: &Identity) -> Result<(), Error> {
    if identity.grants.allow(contract) {
        Ok(())
    } else {
        Err(refusal::missing_claim(contract.as_str(), actor))
    }
}
