//! The links of a host, found from either end.
//!
//! # The state of a link
//!
//! `Linked` is shared between the table, the running puts and the deletions. Its fields change
//! without the lock of the table, by atomics: a call reads them once, and a change never waits for
//! a call.
//!
//! - `revoked` goes from false to true, once. It is set before the provider releases the link.
//! - `taken_by` is the number of the provider that serves it. A number and not a reference, so
//!   that a link keeps no provider alive.
//! - `refusal` is why the provider does not. It is cleared when a provider takes the link.
//! - `warned` holds the texts that were reported. It lives as long as the link, so each is reported
//!   once per version of the link.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use exosuit_core::{Error, Id, Link, LinkKey};
use parking_lot::Mutex;

use crate::bound::Bound;
use crate::provider::Provider;

/// A link with its state.
pub(crate) struct Linked {
    /// The link as it was put. It never changes: other settings are another `Linked`.
    pub(crate) link: Arc<Link>,
    /// The link is being deleted: no call goes through it.
    revoked: AtomicBool,
    /// The number of the provider that took it, or 0. A replaced provider has another number than
    /// its successor.
    taken_by: AtomicU64,
    /// The lineages that the link was made for.
    pub(crate) bound: Bound,
    /// Why the provider has not taken it.
    refusal: Mutex<Option<Error>>,
    /// The warnings about it, each of which is reported once.
    warned: Mutex<BTreeSet<String>>,
}

impl Linked {
    /// A link that no provider has taken, bound to nothing.
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

    /// Marks the link as being deleted. Returns false if it was so before.
    fn revoke(&self) -> bool {
        !self.revoked.swap(true, Ordering::AcqRel)
    }

    /// Whether the link is being deleted. Calls and new puts do not see such a link.
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    /// Sets the provider that has taken it.
    ///
    /// `None` stands for a link between actors, or for one whose provider is gone.
    pub(crate) fn set_taken(&self, provider: Option<&Provider>) {
        let number = provider.map_or(0, |provider| provider.number);
        self.taken_by.store(number, Ordering::Release);
        *self.refusal.lock() = None;
    }

    /// Notes that this provider is gone. Returns whether it had taken the link.
    ///
    /// The refusal is cleared, because it was this provider's. If another provider has taken the
    /// link by now, nothing changes.
    pub(crate) fn leave(&self, provider: &Provider) -> bool {
        let was_taken = self.is_taken_by(provider);
        if was_taken || self.taken_by.load(Ordering::Acquire) == 0 {
            self.set_taken(None);
        }
        was_taken
    }

    /// Stores why its provider has not taken it.
    pub(crate) fn set_refused(&self, error: &Error) {
        *self.refusal.lock() = Some(error.clone());
    }

    /// Why the provider has not taken it, if it refused.
    pub(crate) fn refusal(&self) -> Option<Error> {
        self.refusal.lock().clone()
    }

    /// Whether this registration serves it. One acquire load: each call to a provider asks it.
    pub(crate) fn is_taken_by(&self, provider: &Provider) -> bool {
        self.taken_by.load(Ordering::Acquire) == provider.number
    }

    /// Whether this warning was not reported before.
    ///
    /// The texts depend on the link and its provider only, so the set stays as small as the link.
    pub(crate) fn is_news(&self, warning: &str) -> bool {
        self.warned.lock().insert(warning.to_owned())
    }

    /// The order of the lists. The links of one key are neighbours.
    fn rank(&self) -> [&str; 3] {
        let link = &self.link;
        [
            link.contract.as_str(),
            link.name.as_str(),
            link.source.as_str(),
        ]
    }
}

/// All links, under the names that they give their ends: ids or public keys. Each link is in a
/// sorted list at its source and in one at its target. A call is looked up by borrowed texts in
/// logarithmic time, even if one end has ten thousand links.
///
/// Each end has a digest of its links, without those that are being deleted. Two ends are compared
/// in constant time.
#[derive(Default)]
pub(crate) struct Links {
    /// An end without links has no entry.
    ends: HashMap<Id, End>,
    /// Its keys are secret, so that nobody can create two links with the same digest.
    hasher: RandomState,
}

/// The links at one end.
#[derive(Default)]
struct End {
    /// Sorted by `Linked::rank`.
    list: Vec<Arc<Linked>>,
    /// The wrapping sum of the digests of its links that are not being deleted, in any order.
    digest: u64,
}

impl Links {
    /// The links that have an end of this name.
    ///
    /// Those that are being deleted are among them.
    pub(crate) fn at(&self, end: &str) -> &[Arc<Linked>] {
        self.ends.get(end).map_or(&[], |end| &end.list)
    }

    /// Whether two ends have the same links except for their own names. Links that are being
    /// deleted do not count.
    ///
    /// Sixty-four bits of a keyed hash: two ends that differ are taken for alike with a chance of
    /// 2⁻⁶⁴, which nobody outside can raise.
    pub(crate) fn are_alike(&self, one: &str, other: &str) -> bool {
        let digest = |end: &str| self.ends.get(end).map_or(0, |end| end.digest);
        digest(one) == digest(other)
    }

    /// The digest of a link as one of its ends sees it, without the name of that end.
    ///
    /// It contains the direction, the other end, and all that a call or a provider can see of the
    /// link. Sums are compared, so the order of the links does not matter.
    fn digest(&self, link: &Link, end: &Id) -> u64 {
        let seen = (link.source == *end, link.seen_from(end).1);
        let covered = (&link.contract, &link.name, &link.interfaces);
        let settings = (&link.source_config, &link.target_config);
        self.hasher.hash_one((seen, covered, settings))
    }

    /// Stops calls through a link.
    ///
    /// A second call changes nothing, and neither does one for a link that is not in the lists.
    /// Otherwise the digest would lose a link twice.
    pub(crate) fn revoke(&mut self, linked: &Linked) {
        if !linked.revoke() {
            return;
        }
        for name in ends(&linked.link) {
            let digest = self.digest(&linked.link, name);
            let end = self.ends.get_mut(name);
            if let Some(end) = end.filter(|end| end.index(linked).is_some()) {
                end.digest = end.digest.wrapping_sub(digest);
            }
        }
    }

    /// The links of one source, contract and name in the list of one end.
    ///
    /// Two binary searches over borrowed text. Several links of one key differ in their interfaces.
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

    /// The links of a key, including those that are being deleted.
    ///
    pub(crate) fn of(&self, key: &LinkKey) -> &[Arc<Linked>] {
        let (contract, name) = (key.contract.as_str(), key.name.as_str());
        let source = key.source.as_str();
        self.group(source, contract, name, source)
    }

    /// Every link once.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Linked>> {
        self.ends.iter().flat_map(|(name, end)| {
            let links = end.list.iter();
            links.filter(move |linked| linked.link.source == *name)
        })
    }

    /// Inserts a link. One that is being deleted is found, but its digest does not count.
    ///
    /// Links of one key stay in the order of their insertion. It takes linear time in the links of
    /// an end, as the list moves; changes are rare and calls are not.
    pub(crate) fn insert(&mut self, linked: &Arc<Linked>) {
        for name in ends(&linked.link) {
            let counts = !linked.is_revoked();
            let digest = if counts {
                self.digest(&linked.link, name)
            } else {
                0
            };
            let end = self.ends.entry(name.clone()).or_default();
            end.digest = end.digest.wrapping_add(digest);
            let index = end
                .list
                .partition_point(|other| other.rank() <= linked.rank());
            end.list.insert(index, Arc::clone(linked));
        }
    }

    /// Removes a link. Returns whether it was there.
    pub(crate) fn remove(&mut self, linked: &Arc<Linked>) -> bool {
        let mut found = false;
        for name in ends(&linked.link) {
            let counts = !linked.is_revoked();
            let digest = if counts {
                self.digest(&linked.link, name)
            } else {
                0
            };
            let Some(end) = self.ends.get_mut(name) else {
                continue;
            };
            if end.remove(linked) {
                end.digest = end.digest.wrapping_sub(digest);
                found = true;
            }
            if end.list.is_empty() {
                self.ends.remove(name);
            }
        }
        found
    }
}

impl End {
    /// The index of this link.
    ///
    /// By address: two links may be equal while one is being deleted and the other is new.
    fn index(&self, linked: &Linked) -> Option<usize> {
        let rank = linked.rank();
        let start = self.list.partition_point(|other| other.rank() < rank);
        let same = |other: &Arc<Linked>| std::ptr::eq(Arc::as_ptr(other), linked);
        let index = self.list[start..].iter().position(same);
        index.map(|index| start + index)
    }

    /// Removes a link. Returns whether it was there.
    fn remove(&mut self, linked: &Linked) -> bool {
        let index = self.index(linked);
        if let Some(index) = index {
            self.list.remove(index);
        }
        index.is_some()
    }
}

/// The ends of a link; one if they are the same.
///
/// An actor may be linked to itself.
fn ends(link: &Link) -> impl Iterator<Item = &Id> {
    let target = Some(&link.target).filter(|target| **target != link.source);
    std::iter::once(&link.source).chain(target)
}

/// Whether a link that is limited to interfaces covers an operation, `ns:pkg/iface@version#function`.
///
/// A link without interfaces covers every operation. An operation of the OTP era, such as
/// `HttpServer.HandleRequest`, has no interface, and only such a link covers it.
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
///
/// If one has no interfaces it covers everything, and so overlaps with any other.
pub(crate) fn overlap(one: &Link, other: &Link) -> bool {
    one.interfaces.is_empty()
        || other.interfaces.is_empty()
        || one
            .interfaces
            .iter()
            .any(|name| other.interfaces.contains(name))
}

#[cfg(test)]
mod tests {
    use exosuit_core::{Configuration, Contract, LinkName};

    use super::*;

    fn linked(source: &str, target: &str, setting: &str) -> Arc<Linked> {
        let id = |text| Id::parse(text).expect("an id");
        let settings = [("bucket".to_owned(), setting.to_owned())];
        Arc::new(Linked::new(Arc::new(Link {
            source: id(source),
            target: id(target),
            name: LinkName::default(),
            contract: Contract::parse("wasmcloud:keyvalue").expect("a contract"),
            interfaces: Vec::new(),
            source_config: Configuration::new(),
            target_config: settings.into(),
        })))
    }

    #[test]
    fn two_ends_are_alike_by_their_links_whatever_their_order() {
        let mut links = Links::default();
        assert!(links.are_alike("one", "two"));
        for (end, settings) in [("one", ["a", "b"]), ("two", ["b", "a"])] {
            for setting in settings {
                links.insert(&linked(end, "kv", setting));
                let is_last = end == "two" && setting == "a";
                assert_eq!(links.are_alike("one", "two"), is_last, "{end} {setting}");
            }
        }
        // Neither the direction nor the other end is the same.
        for other in [linked("kv", "two", "c"), linked("two", "kw", "c")] {
            links.insert(&linked("one", "kv", "c"));
            links.insert(&other);
            assert!(!links.are_alike("one", "two"));
            let added = links.at("one").last().cloned().expect("a link");
            assert!(links.remove(&added) && links.remove(&other));
            assert!(links.are_alike("one", "two"));
        }
    }

    #[test]
    fn a_link_that_is_being_deleted_makes_no_difference() {
        let mut links = Links::default();
        let deleted = linked("one", "kv", "a");
        links.insert(&deleted);
        assert!(!links.are_alike("one", "two"));
        for _ in 0..2 {
            links.revoke(&deleted);
            assert!(links.are_alike("one", "two"));
        }
        links.insert(&linked("one", "kv", "b"));
        links.insert(&linked("two", "kv", "b"));
        assert!(links.remove(&deleted) && links.are_alike("one", "two"));
        // It stands nowhere any more: nothing is taken away twice.
        let gone = linked("one", "kv", "b");
        links.revoke(&gone);
        assert!(links.are_alike("one", "two"));
    }
}
