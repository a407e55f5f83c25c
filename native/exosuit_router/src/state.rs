//! The state of each link, for the control plane, which compares it with the wanted links.
//!
//! It is computed from the table at the moment of the question. A link stores the provider
//! that took it and the last refusal, and the rest is looked up, so a status is never out of date.

use std::sync::Arc;

use exosuit_core::{Error, Link};

use crate::links::Linked;
use crate::table::Table;
use crate::{Router, refusal};

/// A link and its status.
#[derive(Debug, Clone)]
pub struct LinkState {
    /// The link.
    pub link: Arc<Link>,
    /// Its status.
    pub status: LinkStatus,
}

/// The status of a link.
///
/// A link between actors is in force when both are specified here, whether they run or not. A link
/// to a provider is in force when the provider has taken it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkStatus {
    /// Calls go through it.
    InForce,
    /// It waits for a provider or an actor that it names and that is not on this host.
    Waiting,
    /// It has no effect, for this reason. Putting it again tries again.
    ///
    /// Besides a provider's refusal, this covers claims that do not name the contract, and a link
    /// whose actor was replaced by other code (`denied`).
    Refused(Error),
}

impl Router {
    /// Every link with its status, except for links that are being deleted.
    ///
    /// The list is a copy, in arbitrary order.
    pub fn link_states(&self) -> Vec<LinkState> {
        let table = self.table.read();
        let links = table.links.all().filter(|linked| !linked.is_revoked());
        let state = |linked: &Arc<Linked>| LinkState {
            link: Arc::clone(&linked.link),
            status: table.status(linked),
        };
        links.map(state).collect()
    }
}

impl Table {
    /// The reasons are checked from the strongest to the weakest: other code at an end, the
    /// provider's refusal, claims, then whether the ends are here.
    fn status(&self, linked: &Linked) -> LinkStatus {
        let link = &linked.link;
        if linked.bound.is_orphan() {
            return LinkStatus::Refused(refusal::orphan(link));
        }
        if let Some(error) = linked.refusal().or_else(|| self.check_link(link).err()) {
            return LinkStatus::Refused(error);
        }
        let is_there = match self.provider_of(link) {
            Some(provider) => linked.is_taken_by(provider),
            None => [&link.source, &link.target]
                .iter()
                .all(|end| !self.linked_as(end.as_str()).entries().is_empty()),
        };
        if is_there {
            LinkStatus::InForce
        } else {
            LinkStatus::Waiting
        }
    }
}
