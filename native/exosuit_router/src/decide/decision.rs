//! A decision: the call, and the data by which it is decided.

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
    pub(super) here_first: bool,
    pub(super) clock: &'a Clock,
}

/// Checks that the claims of an actor name a contract.
pub(super) fn claimed(contract: &Contract, actor: &Id, identity: &Identity) -> Result<(), Error> {
    if identity.grants.allow(contract) {
        Ok(())
    } else {
        Err(refusal::missing_claim(contract.as_str(), actor))
    }
}
