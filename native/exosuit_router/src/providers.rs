//! The providers that run, found by id or by key. Part of the table, under its lock.

use std::collections::HashMap;
use std::sync::Arc;

use exosuit_core::Id;

use crate::provider::Provider;

/// The id of a provider is never the key of another one, and all keys are different.
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

    /// All providers, in no particular order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.by_id.values()
    }

    /// Adds a provider whose names are free.
    pub(crate) fn insert(&mut self, provider: &Arc<Provider>) {
        let id = &provider.id;
        if let Some(key) = &provider.key {
            self.ids_by_key.insert(key.clone(), id.clone());
        }
        self.by_id.insert(id.clone(), Arc::clone(provider));
    }

    /// Removes a provider, with its key.
    pub(crate) fn remove(&mut self, id: &Id) -> Option<Arc<Provider>> {
        let provider = self.by_id.remove(id)?;
        if let Some(key) = &provider.key {
            self.ids_by_key.remove(key);
        }
        Some(provider)
    }
}
