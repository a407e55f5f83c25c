//! What is known of the actors of other hosts: their claims, and by which alias they are called.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use exosuit_core::{Id, Identity};

use crate::names::Names;

/// As many as are remembered, some 30 MB of them: a lattice has fewer, unless somebody floods it.
const MAX_KNOWN: usize = 65_536;

/// The claims of actors elsewhere, by their names there. Past the bound the oldest is forgotten.
#[derive(Default)]
pub(crate) struct Known {
    entries: HashMap<Id, Entry>,
    /// By when they were last heard of.
    order: BTreeMap<u64, Id>,
    names: Names,
    heard: u64,
}

struct Entry {
    heard: u64,
    identity: Arc<Identity>,
}

impl Known {
    pub(crate) fn get(&self, name: &str) -> Option<&Identity> {
        self.entries.get(name).map(|entry| entry.identity.as_ref())
    }

    /// Who is called by this alias.
    pub(crate) fn by_alias(&self, alias: &str) -> Option<&Id> {
        self.names.aliased(alias).first()
    }

    pub(crate) fn put(&mut self, name: Id, identity: Identity) {
        let before = self.entries.remove(&name);
        if let Some(before) = &before {
            self.order.remove(&before.heard);
        } else if self.entries.len() == MAX_KNOWN {
            self.forget_oldest();
        }
        let old = before.as_ref().map(|entry| entry.identity.as_ref());
        self.names.change(&name, old, &identity);
        self.heard += 1;
        let heard = self.heard;
        self.order.insert(heard, name.clone());
        let identity = Arc::new(identity);
        self.entries.insert(name, Entry { heard, identity });
    }

    pub(crate) fn forget(&mut self, name: &Id) {
        if let Some(entry) = self.entries.remove(name) {
            self.order.remove(&entry.heard);
            self.names.forget(name, &entry.identity);
        }
    }

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
        let mut known = Known::default();
        for number in 0..MAX_KNOWN {
            known.put(
                id(&format!("M{number}")),
                called(&format!("alias-{number}")),
            );
        }
        known.put(id("M0"), called("alias-0"));
        known.put(id("M-new"), called("new"));

        assert!(known.get("M0").is_some() && known.get("M-new").is_some());
        assert!(known.get("M1").is_none() && known.by_alias("alias-1").is_none());
        assert_eq!(known.entries.len(), MAX_KNOWN);
        assert_eq!(known.order.len(), MAX_KNOWN);
    }

    #[test]
    fn an_alias_is_the_firsts_until_it_is_forgotten() {
        let mut known = Known::default();
        known.put(id("one"), called("name"));
        known.put(id("two"), called("name"));
        assert_eq!(known.by_alias("name"), Some(&id("one")));

        known.put(id("one"), called("other"));
        assert_eq!(known.by_alias("name"), Some(&id("two")));
        assert_eq!(known.by_alias("other"), Some(&id("one")));

        known.forget(&id("two"));
        assert_eq!(known.by_alias("name"), None);
    }
}
