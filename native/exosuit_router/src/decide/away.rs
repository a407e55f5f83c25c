//! Calls to other hosts, as far as this one can decide on them, and calls from there.

use std::sync::Arc;

use exosuit_core::{
    Contract, Destination, Elsewhere, Error, Id, Identity, Link, LinkName, Origin, Remote, Target,
};

use super::decision::{Decision, claimed};
use crate::names::{both, is_provider_key, is_public_key};
use crate::refusal;
use crate::route::{Departure, Route};
use crate::table::{Entry, other_key};

impl Decision<'_> {
    /// To an actor that is not here, by id, public key or call alias.
    pub(super) fn named_away(&self, name: &str) -> Option<Route> {
        let elsewhere = self.elsewhere?;
        let known = self.table.known.by_alias(name).cloned();
        let to = known.or_else(|| Id::parse(name).ok())?;
        Some(self.depart(elsewhere, Destination::Actor(to)))
    }

    /// To the target of an actor's link, which is not here. An actor needs no claim to call actors;
    /// of whom it is not known what it is, one without the claim reaches it as an actor only.
    pub(super) fn through_away(
        &self,
        link: &Arc<Link>,
        identity: Option<&Identity>,
    ) -> Result<Route, Error> {
        let target = link.target.as_str();
        let check = |identity| claimed(&link.contract, &link.source, identity);
        let allowed = identity.map_or(Ok(()), check);
        let Some(elsewhere) = self.elsewhere else {
            return Err(allowed.err().unwrap_or_else(|| refusal::no_provider(link)));
        };
        let is_actor = is_public_key(target) || self.table.known.get(target).is_some();
        let to = match allowed {
            Err(error) if is_provider_key(target) => return Err(error),
            Ok(()) if !is_actor => Destination::Linked(Arc::clone(link)),
            _ => Destination::Actor(link.target.clone()),
        };
        Ok(self.depart(elsewhere, to))
    }

    /// The call of a provider that goes by these names, to an actor that is not here.
    pub(super) fn back_away<'n>(
        &self,
        name: &str,
        provider: impl Iterator<Item = &'n str> + Clone,
        contract: &Contract,
        link: &LinkName,
    ) -> Result<Route, Error> {
        let (Some(elsewhere), Ok(actor)) = (self.elsewhere, Id::parse(name)) else {
            return Err(refusal::unknown_actor(name));
        };
        self.check_joined(provider, std::iter::once(name), contract, link)?;
        if let Some(identity) = self.table.known.get(name) {
            claimed(contract, &actor, identity)?;
        }
        Ok(self.depart(elsewhere, Destination::Actor(actor)))
    }

    /// To an actor that is here, and that the lattice may find elsewhere as well: by id if it was
    /// called so, as another actor may have its public key there.
    pub(super) fn actor_anywhere(&self, entry: &Entry, name: &str) -> Option<Route> {
        let elsewhere = self.elsewhere.filter(|_| !self.here_first)?;
        let id = &entry.actor.id;
        let key = || other_key(id, entry.public_key()).filter(|_| name != id.as_str());
        let to = key().unwrap_or_else(|| id.clone());
        Some(self.depart(elsewhere, Destination::Actor(to)))
    }

    /// To a provider that is here, and that the lattice may find elsewhere as well.
    pub(super) fn linked_anywhere(&self, link: &Arc<Link>) -> Option<Route> {
        let elsewhere = self.elsewhere.filter(|_| !self.here_first)?;
        let to = Destination::Linked(Arc::clone(link));
        Some(self.depart(elsewhere, to))
    }

    #[cold]
    fn depart(&self, elsewhere: &Arc<dyn Elsewhere>, to: Destination) -> Route {
        Route::Elsewhere(Box::new(Departure {
            elsewhere: Arc::clone(elsewhere),
            origin_key: self.origin_key(),
            to,
        }))
    }

    fn origin_key(&self) -> Option<Id> {
        match &self.call.origin {
            Origin::Actor(id) => other_key(id, self.identity_of(id)?.public_key.as_deref()),
            Origin::Provider { id, .. } => self.table.providers.get(id)?.key.clone(),
            Origin::Host | Origin::Elsewhere(_) => None,
        }
    }

    /// What the host of a caller vouches for is who it is. What it may do here is decided by the
    /// links, and by its claims as far as they are known.
    pub(super) fn by_remote(&self, remote: &Remote) -> Result<Route, Error> {
        let key = remote.key.as_ref().map(Id::as_str);
        let names = both(&remote.id, key);
        if let Some((contract, link)) = &remote.through {
            let name = self.called_name();
            let called = self.table.called(name);
            return self.back_to(&called, name, &names, contract, link);
        }
        let identity = names.clone().find_map(|name| self.table.known.get(name));
        if let Some(identity) = identity {
            self.unexpired(remote.id.as_str(), identity)?;
        }
        match &self.call.target {
            Target::Actor(name) if self.is_provider(name) => Err(refusal::no_actor(name)),
            Target::Actor(name) => self.to_named(name),
            Target::Import { namespace, link } => self.by_import(names, identity, namespace, link),
            // The links of this host decide which provider it is.
            Target::Provider { contract, link, .. } => {
                self.by_import(names, identity, contract.as_str(), link.as_str())
            }
        }
    }

    fn is_provider(&self, name: &str) -> bool {
        self.table.providers.find(name).is_some()
    }
}
