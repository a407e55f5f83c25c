//! Binds links to the lineage of the code that they were made for. Code of another lineage that later runs under
//! the id of a stopped actor does not inherit its links.
//!
//! The control plane defines a lineage: issuer and public key of signed code. A link is bound when its actor is
//! stopped for good. It is freed when code of the same lineage runs under the id, or when the link is put again.
//! Until then, the link stays but has no effect.
//!
//! A link that replaces a bound link, with other settings, inherits its binding: only a put frees it. The lineage of
//! an id changes with a publication. A refused publication changes nothing.
//!
//! A withheld link is not in the table while a configuration that it names is missing. Its bindings are kept until
//! the link returns, and change as if it were in the table.
//!
//! # Example
//!
//! ```text
//! deploy "shop", signed by A     the links of "shop" are bound to nothing
//! stop "shop"                    its links are bound to A's code
//! start "shop", signed by B      the links are orphans: calls find no link,
//!                                and their status is `Refused` with the reason
//! start "shop", signed by A      the links are free again
//! or: put the link again         it serves the code of B from now on
//! ```
//!
//! Ids are names that anyone who may deploy can choose. Without the binding, the code of B would
//! get the database of A's shop, though nobody linked the two.

use exosuit_core::{Id, LinkKey};

use crate::Router;
use crate::bound::{Absent, Bound};
use crate::table::Table;

impl Table {
    /// Notes whose code is published under the id of an actor. Links that are bound to another
    /// lineage have no effect from now on.
    ///
    /// It is called under the write lock, as a part of the publication. Calls of the new code are
    /// decided after it.
    pub(crate) fn set_lineage(&mut self, id: &Id, lineage: &str) {
        for linked in self.links.at(id.as_str()) {
            linked.bound.claim(id, lineage);
        }
        for bound in self.withheld.at(id) {
            bound.claim(id, lineage);
        }
        self.lineages.insert(id.clone(), lineage.into());
    }
}

impl Router {
    /// Binds the links of these keys that have an end of this id to the lineage of the actor, which
    /// is about to be stopped for good. One that never ran binds nothing.
    ///
    /// The caller names the keys, because only the control plane knows which links belong to what
    /// is stopped. A key without links here is ignored.
    pub fn bind_links(&self, id: &Id, keys: &[LinkKey]) {
        let table = self.table.read();
        let Some(lineage) = table.lineages.get(id) else {
            return;
        };
        for linked in table.links.at(id.as_str()) {
            if keys.contains(&linked.link.key()) {
                linked.bound.bind(id, lineage);
            }
        }
        for key in keys {
            for absent in table.withheld.of(key) {
                if key.source == *id || absent.target == *id {
                    absent.bound.bind(id, lineage);
                }
            }
        }
    }

    /// Frees the links of a key from former code, so that they apply to the code that runs at their ends now.
    ///
    /// Withheld links are freed as well. Nobody else is told: the control plane calls this on each
    /// host.
    pub fn free_links(&self, key: &LinkKey) {
        let table = self.table.read();
        for linked in table.links.of(key) {
            linked.bound.free();
        }
        for absent in table.withheld.of(key) {
            absent.bound.free();
        }
    }

    /// Sets which links of a key are withheld, by target and interfaces, before they are deleted. When they are put
    /// again, they have the bindings that they would have if they had stayed. Other links of the key are no longer
    /// withheld.
    ///
    /// An empty list ends the withholding of the key.
    pub fn withhold_links(&self, key: &LinkKey, links: Vec<(Id, Vec<String>)>) {
        let mut table = self.table.write();
        let absent: Vec<_> = links
            .into_iter()
            .map(|(target, interfaces)| {
                let bound = Bound::default();
                for known in table.withheld.of(key) {
                    if known.is(&target, &interfaces) {
                        bound.inherit(&known.bound);
                    }
                }
                for linked in table.links.of(key) {
                    let link = &linked.link;
                    if link.target == target && link.interfaces == interfaces {
                        bound.inherit(&linked.bound);
                    }
                }
                Absent {
                    target,
                    interfaces,
                    bound,
                }
            })
            .collect();
        if absent.is_empty() {
            table.withheld.0.remove(key);
        } else {
            table.withheld.0.insert(key.clone(), absent);
        }
    }
}
