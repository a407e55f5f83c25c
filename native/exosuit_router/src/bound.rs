//! The lineages that a link is bound to. `lineage` describes when a link is bound and freed.
//!
//! A link is the permission of an actor that was there when it was made. If the actor is stopped and other code
//! starts under its id, the link must not serve that code: it is an *orphan*. Calls do not find it, and get
//! `missing_link`; its status says why. Every call reads one atomic flag for this; the list of ends is locked only
//! by changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use exosuit_core::{Id, Link, LinkKey};
use parking_lot::Mutex;

/// The lineages that a link is bound to.
///
/// Empty for most links: only a stop of an actor for good binds its links.
#[derive(Default)]
pub(crate) struct Bound {
    /// At most one entry for each end, so at most two in practice.
    ends: Mutex<Vec<End>>,
    /// Whether other code runs at one end. Every call reads it.
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
    /// Whether calls through the link are refused, because other code runs at one of its ends.
    ///
    /// An acquire load, paired with the stores below, which happen under the lock of `ends`.
    pub(crate) fn is_orphan(&self) -> bool {
        self.is_orphan.load(Ordering::Acquire)
    }

    /// Binds one end to the code that ran there last. A second binding of the same end changes nothing: the first
    /// one is the code that the link was made for.
    pub(crate) fn bind(&self, actor: &Id, lineage: &Arc<str>) {
        let mut ends = self.ends.lock();
        if ends.iter().all(|end| end.actor != *actor) {
            ends.push(End {
                actor: actor.clone(),
                lineage: Arc::clone(lineage),
                is_taken: false,
            });
        }
    }

    /// Code of this lineage is about to run under the id. If it is the code that the end is bound to, the end is free
    /// again; otherwise the link becomes an orphan.
    pub(crate) fn claim(&self, actor: &Id, lineage: &str) {
        let mut ends = self.ends.lock();
        ends.retain(|end| end.actor != *actor || *end.lineage != *lineage);
        for end in ends.iter_mut().filter(|end| end.actor == *actor) {
            end.is_taken = true;
        }
        let is_orphan = ends.iter().any(|end| end.is_taken);
        self.is_orphan.store(is_orphan, Ordering::Release);
    }

    /// Gives this link the bindings of the link that it replaces.
    ///
    /// The former link's bindings of ends that are bound here already are ignored. The list is
    /// copied before the second lock is taken, so two links that inherit from each other cannot
    /// deadlock.
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

    /// Removes all bindings, because the link was put again, for the code that runs at its ends now.
    pub(crate) fn free(&self) {
        self.ends.lock().clear();
        self.is_orphan.store(false, Ordering::Release);
    }
}

/// The bindings of withheld links, by key.
///
/// It is bounded by what the control plane withholds: it replaces the list of a key as a whole.
#[derive(Default)]
pub(crate) struct Withheld(pub(crate) HashMap<LinkKey, Vec<Absent>>);

/// A withheld link.
///
/// The table does not have it, because a configuration that it names is missing. Its bindings are kept here.
pub(crate) struct Absent {
    pub(crate) target: Id,
    pub(crate) interfaces: Vec<String>,
    pub(crate) bound: Bound,
}

impl Absent {
    /// Whether this is the withheld link with this target and these interfaces. With the key, they
    /// name one link.
    pub(crate) fn is(&self, target: &Id, interfaces: &[String]) -> bool {
        self.target == *target && self.interfaces == interfaces
    }
}

impl Withheld {
    /// Gives a link that is put again the bindings of the withheld one.
    ///
    /// The withheld entry stays until `end`, because the put may still be refused.
    pub(crate) fn bequeath(&self, link: &Link, to: &Bound) {
        let absent = self.0.get(&link.key()).into_iter().flatten();
        for withheld in absent.filter(|withheld| withheld.is(&link.target, &link.interfaces)) {
            to.inherit(&withheld.bound);
        }
    }

    /// Removes the entry of a link that is in the table again.
    ///
    pub(crate) fn end(&mut self, link: &Link) {
        let key = link.key();
        if let Some(absent) = self.0.get_mut(&key) {
            absent.retain(|withheld| !withheld.is(&link.target, &link.interfaces));
            if absent.is_empty() {
                self.0.remove(&key);
            }
        }
    }

    /// The withheld links of a key.
    pub(crate) fn of(&self, key: &LinkKey) -> &[Absent] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// The bindings of all withheld links with this end, by id. It reads every entry: publications
    /// and stops are rare, and few links are withheld.
    pub(crate) fn at<'a>(&'a self, end: &'a Id) -> impl Iterator<Item = &'a Bound> {
        let absent = self
            .0
            .iter()
            .flat_map(|(key, absent)| absent.iter().map(move |withheld| (key, withheld)));
        absent
            .filter(move |(key, withheld)| key.source == *end || withheld.target == *end)
            .map(|(_key, withheld)| &withheld.bound)
    }
}
