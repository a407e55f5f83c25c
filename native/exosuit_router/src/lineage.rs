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
//! A withheld link is not in the table for now, as a configuration that it names is missing, and comes back with
//! it. What it is bound to is kept until then, and changes as if it stood there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use exosuit_core::{Id, Link, LinkKey};
use parking_lot::Mutex;

use crate::Router;
use crate::table::Table;

/// The lineages that a link is bound to.
#[derive(Default)]
pub(crate) struct Bound {
    ends: Mutex<Vec<End>>,
    /// Whether other code runs at one end. Read by every call.
    is_orphan: AtomicBool,
}

/// An actor at an end of a link, which was stopped.
#[derive(Clone)]
struct End {
    actor: Id,
    lineage: Arc<str>,
    /// Code of another lineage has run under its id since.
    is_taken: bool,
}

impl Bound {
    pub(crate) fn is_orphan(&self) -> bool {
        self.is_orphan.load(Ordering::Acquire)
    }

    fn bind(&self, actor: &Id, lineage: &Arc<str>) {
        let mut ends = self.ends.lock();
        if ends.iter().all(|end| end.actor != *actor) {
            ends.push(End {
                actor: actor.clone(),
                lineage: Arc::clone(lineage),
                is_taken: false,
            });
        }
    }

    /// Code of this lineage is about to run under the id.
    fn claim(&self, actor: &Id, lineage: &str) {
        let mut ends = self.ends.lock();
        ends.retain(|end| end.actor != *actor || *end.lineage != *lineage);
        for end in ends.iter_mut().filter(|end| end.actor == *actor) {
            end.is_taken = true;
        }
        let is_orphan = ends.iter().any(|end| end.is_taken);
        self.is_orphan.store(is_orphan, Ordering::Release);
    }

    /// Binds what takes the place of another link to what that one is bound to.
    pub(crate) fn inherit(&self, other: &Self) {
        let inherited = other.ends.lock().clone();
        let mut ends = self.ends.lock();
        for end in inherited {
            if ends.iter().all(|known| known.actor != end.actor) {
                ends.push(end);
            }
        }
        let is_orphan = ends.iter().any(|end| end.is_taken);
        self.is_orphan.store(is_orphan, Ordering::Release);
    }

    fn free(&self) {
        self.ends.lock().clear();
        self.is_orphan.store(false, Ordering::Release);
    }
}

/// What the withheld links are bound to, by their key.
#[derive(Default)]
pub(crate) struct Withheld(HashMap<LinkKey, Vec<Absent>>);

/// A withheld link.
struct Absent {
    target: Id,
    interfaces: Vec<String>,
    bound: Bound,
}

impl Absent {
    fn is(&self, target: &Id, interfaces: &[String]) -> bool {
        self.target == *target && self.interfaces == interfaces
    }
}

impl Withheld {
    /// What a link inherits that is put again.
    pub(crate) fn bequeath(&self, link: &Link, to: &Bound) {
        let absent = self.0.get(&link.key()).into_iter().flatten();
        for it in absent.filter(|it| it.is(&link.target, &link.interfaces)) {
            to.inherit(&it.bound);
        }
    }

    /// The link is there again.
    pub(crate) fn end(&mut self, link: &Link) {
        let key = link.key();
        if let Some(absent) = self.0.get_mut(&key) {
            absent.retain(|it| !it.is(&link.target, &link.interfaces));
            if absent.is_empty() {
                self.0.remove(&key);
            }
        }
    }

    fn of(&self, key: &LinkKey) -> &[Absent] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    fn at<'a>(&'a self, end: &'a Id) -> impl Iterator<Item = &'a Bound> {
        let absent = self
            .0
            .iter()
            .flat_map(|(key, absent)| absent.iter().map(move |it| (key, it)));
        absent
            .filter(move |(key, it)| key.source == *end || it.target == *end)
            .map(|(_key, it)| &it.bound)
    }
}

impl Table {
    /// Notes whose code is published under the id of an actor. Links that are bound to another
    /// lineage have no effect from now on.
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

    /// Frees the links of a key, for whoever runs at their ends now.
    pub fn free_links(&self, key: &LinkKey) {
        let table = self.table.read();
        for linked in table.links.of(key) {
            linked.bound.free();
        }
        for absent in table.withheld.of(key) {
            absent.bound.free();
        }
    }

    /// Says which links of a key are withheld, by target and interfaces, before they are deleted: put again,
    /// they are bound as they would be had they stayed. Others of the key are not, from now on.
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
