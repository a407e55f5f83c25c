//! The providers that run, found by id or by key. Part of the table, under its lock.

use std::collections::HashMap;
use std::sync::Arc;

use exosuit_core::Id;

use crate::provider::Provider;

/// No id of one is the key of another, and no two have the same key.
#[derive(Default)]
pub(crate) struct Providers {
    by_id: HashMap<Id, Arc<Provider>>,
    ids_by_key: HashMap<Id, Id>,
}

impl Providers {
    /// The provider of this id.
    pub(crate) fn get(&self, id: &Id) -> Option<&Arc<Provider>> {
        self.by_id.get(id)
    }

    /// The provider of this name, an id or a key.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Provider>> {
        let keyed = || self.by_id.get(self.ids_by_key.get(name)?);
        self.by_id.get(name).or_else(keyed)
    }

    /// All of them, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.by_id.values()
    }

    /// Puts in one whose names are free.
    pub(crate) fn insert(&mut self, provider: &Arc<Provider>) {
        let id = &provider.id;
        if let Some(key) = &provider.key {
            self.ids_by_key.insert(key.clone(), id.clone());
        }
        self.by_id.insert(id.clone(), Arc::clone(provider));
    }

    /// Takes one out, with its key.
    pub(crate) fn remove(&mut self, id: &Id) -> Option<Arc<Provider>> {
        let provider = self.by_id.remove(id)?;
        if let Some(key) = &provider.key {
            self.ids_by_key.remove(key);
        }
        Some(provider)
    }
}
