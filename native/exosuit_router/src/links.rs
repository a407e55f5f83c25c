//! The links, found from either end.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use exosuit_core::{Error, Id, Link, LinkKey};
use parking_lot::Mutex;

use crate::lineage::Bound;
use crate::provider::Provider;

/// A link, and how far it has got.
pub(crate) struct Linked {
    pub(crate) link: Arc<Link>,
    /// It is being deleted: no call goes through it any more.
    revoked: AtomicBool,
    /// The number of the provider that took it, 0 while none has. One that is replaced has another
    /// number than its successor.
    taken_by: AtomicU64,
    /// The lineages that the link was made for.
    pub(crate) bound: Bound,
    /// Why the provider that is there has not taken it.
    refusal: Mutex<Option<Error>>,
    /// What was said of its parts without effect, each once.
    warned: Mutex<BTreeSet<String>>,
}

impl Linked {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            revoked: AtomicBool::new(false),
            taken_by: AtomicU64::new(0),
            bound: Bound::default(),
            refusal: Mutex::default(),
            warned: Mutex::default(),
        }
    }

    pub(crate) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    /// Notes that this provider has taken it, or none.
    pub(crate) fn set_taken(&self, provider: Option<&Provider>) {
        let number = provider.map_or(0, |provider| provider.number);
        self.taken_by.store(number, Ordering::Release);
        *self.refusal.lock() = None;
    }

    /// Notes that this provider is gone; whether it had taken the link.
    pub(crate) fn leave(&self, provider: &Provider) -> bool {
        let was_taken = self.is_taken_by(provider);
        if was_taken || self.taken_by.load(Ordering::Acquire) == 0 {
            self.set_taken(None);
        }
        was_taken
    }

    /// Notes that its provider has not taken it, and why.
    pub(crate) fn set_refused(&self, error: &Error) {
        *self.refusal.lock() = Some(error.clone());
    }

    pub(crate) fn refusal(&self) -> Option<Error> {
        self.refusal.lock().clone()
    }

    pub(crate) fn is_taken_by(&self, provider: &Provider) -> bool {
        self.taken_by.load(Ordering::Acquire) == provider.number
    }

    /// Whether this was not said of it before.
    pub(crate) fn is_news(&self, warning: &str) -> bool {
        self.warned.lock().insert(warning.to_owned())
    }

    /// What it is sorted by, so that all links of one key are neighbours.
    fn rank(&self) -> [&str; 3] {
        let link = &self.link;
        [
            link.contract.as_str(),
            link.name.as_str(),
            link.source.as_str(),
        ]
    }
}

/// All links, under the names that they give their ends, ids or public keys. Each stands in a sorted
/// list at its source and at its target: a call is looked up by borrowed texts, in logarithmic time
/// even where one end has ten thousand links.
#[derive(Default)]
pub(crate) struct Links {
    ends: HashMap<Id, Vec<Arc<Linked>>>,
}

impl Links {
    /// The links that have an end of this name.
    pub(crate) fn at(&self, end: &str) -> &[Arc<Linked>] {
        self.ends.get(end).map_or(&[], Vec::as_slice)
    }

    /// The links of one source, contract and name that have an end of this name.
    pub(crate) fn group(
        &self,
        end: &str,
        contract: &str,
        name: &str,
        source: &str,
    ) -> &[Arc<Linked>] {
        let rank = [contract, name, source];
        let list = self.at(end);
        let start = list.partition_point(|linked| linked.rank() < rank);
        let length = list[start..].partition_point(|linked| linked.rank() == rank);
        &list[start..start + length]
    }

    /// The links of a key, revoked ones among them.
    pub(crate) fn of(&self, key: &LinkKey) -> &[Arc<Linked>] {
        let (contract, name) = (key.contract.as_str(), key.name.as_str());
        let source = key.source.as_str();
        self.group(source, contract, name, source)
    }

    /// Every link once.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Linked>> {
        self.ends
            .iter()
            .flat_map(|(end, list)| list.iter().filter(move |linked| linked.link.source == *end))
    }

    pub(crate) fn insert(&mut self, linked: &Arc<Linked>) {
        for end in ends(&linked.link) {
            let list = self.ends.entry(end.clone()).or_default();
            let place = list.partition_point(|other| other.rank() <= linked.rank());
            list.insert(place, Arc::clone(linked));
        }
    }

    /// Whether it stood here.
    pub(crate) fn remove(&mut self, linked: &Arc<Linked>) -> bool {
        let mut found = false;
        for end in ends(&linked.link) {
            if let Some(list) = self.ends.get_mut(end) {
                let start = list.partition_point(|other| other.rank() < linked.rank());
                let place = list[start..]
                    .iter()
                    .position(|other| Arc::ptr_eq(other, linked));
                if let Some(place) = place {
                    list.remove(start + place);
                    found = true;
                }
                if list.is_empty() {
                    self.ends.remove(end);
                }
            }
        }
        found
    }
}

/// Its ends, once if they are the same.
fn ends(link: &Link) -> impl Iterator<Item = &Id> {
    let target = Some(&link.target).filter(|target| **target != link.source);
    std::iter::once(&link.source).chain(target)
}

/// Whether a link that is limited to interfaces covers an operation, `ns:pkg/iface@version#function`.
pub(crate) fn covers(link: &Link, operation: &str) -> bool {
    let interface = || {
        let rest = operation
            .strip_prefix(link.contract.as_str())?
            .strip_prefix('/')?;
        rest.split(['@', '#']).next()
    };
    link.interfaces.is_empty()
        || interface().is_some_and(|name| link.interfaces.iter().any(|listed| listed == name))
}

/// Whether two links of one key cover something in common.
pub(crate) fn overlap(one: &Link, other: &Link) -> bool {
    one.interfaces.is_empty()
        || other.interfaces.is_empty()
        || one
            .interfaces
            .iter()
            .any(|name| other.interfaces.contains(name))
}
