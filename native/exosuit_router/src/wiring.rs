//! Links and providers come and go, in any order, and each provider is told of its links.
//!
//! What is done here may wait for a provider, and should run to its end: dropped half-way, it
//! leaves at worst a link that no call passes until it is put again.

use std::sync::Arc;

use exosuit_core::{Capability, Error, Id, Link, LinkKey, Notice};

use crate::Router;
use crate::lane::Lane;
use crate::links::Linked;
use crate::provider::Provider;

/// A link that a provider did not get, or did not take.
#[derive(Debug, Clone)]
pub struct RefusedLink {
    /// The link. It stays, without effect; putting it again tries again.
    pub link: Arc<Link>,
    /// Why.
    pub error: Error,
}

impl Router {
    /// Makes a link, or changes the settings of one. Its ends need not be there yet. On an error
    /// all is as it was before.
    pub async fn put_link(&self, link: Link) -> Result<(), Error> {
        let link = Arc::new(link);
        let result = self.try_put_link(&link).await;
        if let Err(error) = &result {
            self.observe_refused_link(&link, error);
        }
        result
    }

    /// Deletes the links of a key, for all calls that are decided from now on, and waits until
    /// their providers have let go of them. There may be none.
    pub async fn delete_link(&self, key: &LinkKey) -> Result<(), Error> {
        let links = self.table.read().links.of(key).to_vec();
        for linked in &links {
            linked.revoke();
        }
        let mut result = Ok(());
        for linked in &links {
            let _lane = self.link_lane(&linked.link).await;
            result = result.and(self.remove_link(linked).await);
        }
        result
    }

    /// Registers a provider, in the place of one of the same id, and gives it its links, which may
    /// name it by id or by its `key`, `V…`. Those it does not take are returned; they do not keep it
    /// from serving the others.
    pub async fn put_provider(
        &self,
        id: Id,
        key: Option<Id>,
        capability: Arc<dyn Capability>,
    ) -> Result<Vec<RefusedLink>, Error> {
        let _lane = self.provider_lane(&id, key.as_ref()).await;
        // What a predecessor fails at when it stops, dead as it may be, is no reason to stay without.
        let _ = self.remove_provider(&id).await;
        let timeout = self.options.provider_timeout;
        let provider = Provider::new(id, key, self.next_number(), capability, timeout);
        let provider = Arc::new(provider);
        let links = self.table.write().add_provider(&provider)?;
        let mut refused = Vec::new();
        for linked in links {
            if let Err(error) = self.hand_over(&linked, &provider).await {
                self.observe_refused_link(&linked.link, &error);
                let link = Arc::clone(&linked.link);
                refused.push(RefusedLink { link, error });
            }
        }
        self.announce(&provider.id);
        Ok(refused)
    }

    /// Removes a provider: no call reaches it from now on; it lets go of its links and stops. Its
    /// links stay, and wait for its return.
    pub async fn delete_provider(&self, id: &Id) -> Result<(), Error> {
        if let Some(provider) = self.table.read().providers.get(id) {
            provider.revoke();
        }
        self.announce(id);
        let _lane = self.provider_lane(id, None).await;
        self.remove_provider(id).await
    }

    /// Removes this very provider, and no other that has its id by now.
    pub async fn end_provider(
        &self,
        id: &Id,
        capability: &Arc<dyn Capability>,
    ) -> Result<(), Error> {
        if let Some(provider) = self.registration(id, capability) {
            provider.revoke();
        }
        self.announce(id);
        let _lane = self.provider_lane(id, None).await;
        match self.registration(id, capability) {
            Some(_provider) => self.remove_provider(id).await,
            None => Ok(()),
        }
    }

    fn registration(&self, id: &Id, capability: &Arc<dyn Capability>) -> Option<Arc<Provider>> {
        let table = self.table.read();
        let provider = table.providers.get(id)?;
        Arc::ptr_eq(&provider.capability, capability).then(|| Arc::clone(provider))
    }

    async fn try_put_link(&self, link: &Arc<Link>) -> Result<(), Error> {
        let _lane = self.link_lane(link).await;
        // One that is being deleted must be gone from the provider before its successor comes.
        let revoked = self.table.read().revoked(&link.key());
        for linked in revoked
            .iter()
            .filter(|linked| linked.link.target == link.target)
        {
            self.remove_link(linked).await?;
        }
        let Some(placed) = self.table.write().place(link)? else {
            return Ok(());
        };
        let result = match &placed.provider {
            Some(provider) => provider.link(link).await,
            None => Ok(()),
        };
        self.table.write().settle(&placed, result.is_ok());
        result
    }

    async fn hand_over(&self, linked: &Linked, provider: &Provider) -> Result<(), Error> {
        let allowed = {
            let table = self.table.read();
            let actor = table.check_ends(&linked.link)?;
            actor.map_or(Ok(()), |actor| table.check_claims(&linked.link, actor))
        };
        provider.link(&linked.link).await?;
        linked.set_taken(Some(provider));
        // Told, but no obstacle: each call is checked, and a listener that says no beats none.
        allowed
    }

    /// The lanes of both ends by their names in the link, and of the provider, which comes and goes
    /// in the lanes of both its names.
    async fn link_lane(&self, link: &Link) -> Lane<'_> {
        let provider_of = || {
            let table = self.table.read();
            table.provider_of(link).map(|provider| provider.id.clone())
        };
        loop {
            let provider = provider_of();
            let id = provider.as_ref().unwrap_or(&link.target);
            let lane = self.lanes.enter([&link.source, &link.target, id]).await;
            if provider_of() == provider {
                return lane;
            }
        }
    }

    /// The lanes of a provider's names: of this id, and of the key that it has or gets.
    async fn provider_lane(&self, id: &Id, key: Option<&Id>) -> Lane<'_> {
        let key_of = || self.table.read().providers.get(id)?.key.clone();
        loop {
            let current = key_of();
            let old = current.as_ref().unwrap_or(id);
            let lane = self.lanes.enter([id, old, key.unwrap_or(id)]).await;
            if key_of() == current {
                return lane;
            }
        }
    }

    /// In the lane of both ends.
    async fn remove_link(&self, linked: &Arc<Linked>) -> Result<(), Error> {
        let provider = {
            let mut table = self.table.write();
            if !table.links.remove(linked) {
                return Ok(());
            }
            table.taker_of(linked).cloned()
        };
        match provider {
            Some(provider) => provider.unlink(&linked.link).await,
            None => Ok(()),
        }
    }

    /// In the lane of the provider.
    async fn remove_provider(&self, id: &Id) -> Result<(), Error> {
        let (provider, links) = {
            let mut table = self.table.write();
            let Some(provider) = table.providers.remove(id) else {
                return Ok(());
            };
            let links = provider.names().flat_map(|name| table.links.at(name));
            let links: Vec<_> = links.cloned().collect();
            (provider, links)
        };
        self.announce(id);
        let mut result = Ok(());
        for linked in links.iter().filter(|linked| linked.is_taken_by(&provider)) {
            linked.set_taken(None);
            result = result.and(provider.unlink(&linked.link).await);
        }
        result.and(provider.stop().await)
    }

    pub(crate) fn observe_refused_link(&self, link: &Link, error: &Error) {
        self.observe.observe(Notice::LinkRefused {
            source: link.source.clone(),
            target: link.target.clone(),
            contract: link.contract.clone(),
            name: link.name.clone(),
            error: error.clone(),
        });
    }
}
