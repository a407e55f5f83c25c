//! The claims of actors on other hosts, and the aliases that they are called by.
//!
//! Every claim that a host of the lattice publishes arrives here, so the number is bounded. A call
//! looks up at most two names in constant time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use exosuit_core::{Id, Identity};

use crate::names::Names;

/// How many claims are kept, about 30 MB. A real lattice has fewer; the bound is for a flood.
const MAX_CLAIMS: usize = 65_536;

/// The claims by the names that the actors have in the lattice. If there are too many, the oldest
/// is removed.
///
/// `entries` and `order` always have the same keys. "Oldest" counts from the last time that a claim
/// was heard, so actors that are announced again and again stay.
#[derive(Default)]
pub(crate) struct RemoteClaims {
    entries: HashMap<Id, RemoteClaim>,
    /// The names, ordered by when their claims came last.
    order: BTreeMap<u64, Id>,
    names: Names,
    /// Counts the claims, to order them.
    heard: u64,
}

/// The claims of one actor.
struct RemoteClaim {
    heard: u64,
    /// What the other host says about the actor: key, issuer, alias, grants and expiry.
    identity: Arc<Identity>,
}

impl RemoteClaims {
    /// The claims of an actor.
    pub(crate) fn get(&self, name: &str) -> Option<&Identity> {
        self.entries.get(name).map(|entry| entry.identity.as_ref())
    }

    /// The actor that has this alias. The first one that claimed it keeps it.
    ///
    /// If it is forgotten, the next one that claimed the alias gets it.
    pub(crate) fn by_alias(&self, alias: &str) -> Option<&Id> {
        self.names.aliased(alias).first()
    }

    /// Stores the claims of an actor in place of earlier ones.
    ///
    /// A claim that was heard before moves to the end of the order. It keeps its place as the owner
    /// of its alias.
    pub(crate) fn put(&mut self, name: Id, identity: Identity) {
        let before = self.entries.remove(&name);
        if let Some(before) = &before {
            self.order.remove(&before.heard);
        } else if self.entries.len() == MAX_CLAIMS {
            self.forget_oldest();
        }
        let old = before.as_ref().map(|entry| entry.identity.as_ref());
        self.names.change(&name, old, &identity);
        self.heard += 1;
        let heard = self.heard;
        self.order.insert(heard, name.clone());
        let identity = Arc::new(identity);
        self.entries.insert(name, RemoteClaim { heard, identity });
    }

    /// Removes the claims of an actor.
    pub(crate) fn forget(&mut self, name: &Id) {
        if let Some(entry) = self.entries.remove(name) {
            self.order.remove(&entry.heard);
            self.names.forget(name, &entry.identity);
        }
    }

    /// Removes the claims that came first.
    fn forget_oldest(&mut self) {
        if let Some(name) = self.order.first_key_value().map(|(_, name)| name.clone()) {
            self.forget(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use exosuit_core::Grants;

    use super::*;

    fn id(text: &str) -> Id {
        Id::parse(text).expect("an id")
    }

    fn called(alias: &str) -> Identity {
        Identity {
            public_key: None,
            issuer: None,
            call_alias: Some(alias.to_owned()),
            grants: Grants::Links,
            expires_at: None,
            settings: String::new(),
        }
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut claims = RemoteClaims::default();
        for number in 0..MAX_CLAIMS {
            claims.put(
                id(&format!("M{number}")),
                called(&format!("alias-{number}")),
            );
        }
        claims.put(id("M0"), called("alias-0"));
        claims.put(id("M-new"), called("new"));

        assert!(claims.get("M0").is_some() && claims.get("M-new").is_some());
        assert!(claims.get("M1").is_none() && claims.by_alias("alias-1").is_none());
        assert_eq!(claims.entries.len(), MAX_CLAIMS);
        assert_eq!(claims.order.len(), MAX_CLAIMS);
    }

    #[test]
    fn an_alias_is_the_firsts_until_it_is_forgotten() {
        let mut claims = RemoteClaims::default();
        claims.put(id("one"), called("name"));
        claims.put(id("two"), called("name"));
        assert_eq!(claims.by_alias("name"), Some(&id("one")));

        claims.put(id("one"), called("other"));
        assert_eq!(claims.by_alias("name"), Some(&id("two")));
        assert_eq!(claims.by_alias("other"), Some(&id("one")));

        claims.forget(&id("two"));
        assert_eq!(claims.by_alias("name"), None);
    }
}
