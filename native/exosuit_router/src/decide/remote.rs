//! The decision on calls to other hosts, as far as this host can make it, and on calls from them.
//!
//! # Who checks what
//!
//! A call between two hosts is decided twice. The host of the caller checks the caller's claims,
//! and that a link exists. The host of the target checks again, by its own links and by what it
//! knows of the claims. It relies on the other host for the caller's identity only.
//!
//! A call from another host never leaves this one. Two hosts that each believe the other to have
//! the target would otherwise send it back and forth.
//!
//! | name of the target | where the call goes |
//! |---|---|
//! | an alias that another host has announced | to the public key of that actor |
//! | any other valid id | to that id; the lattice finds out whether a host serves it |
//! | not a valid id | nowhere: the caller gets its `unknown_target` |

use std::sync::Arc;

use exosuit_core::{
    Contract, Destination, Elsewhere, Error, Id, Identity, Link, LinkName, Origin, Remote, Target,
};

use super::decision::{Decision, claimed};
use crate::names::{both, is_provider_key, is_public_key};
use crate::refusal;
use crate::route::{Departure, Route};
use crate::table::{ActorEntry, other_key};

impl Decision<'_> {
    /// The route to an actor that is not on this host, by its id, public key or call alias.
    ///
    /// `None` if the call may not leave this host, or if the name cannot be an id.
    pub(super) fn to_remote_actor(&self, name: &str) -> Option<Route> {
        let elsewhere = self.elsewhere?;
        let known = self.table.remote_claims.by_alias(name).cloned();
        let to = known.or_else(|| Id::parse(name).ok())?;
        Some(self.depart(elsewhere, Destination::Actor(to)))
    }

    /// The route to the target of an actor's link, if the target is not on this host.
    ///
    /// An actor needs no claim to call actors. If this host does not know what the target is, a
    /// caller without the claim may reach it only as an actor.
    ///
    /// # Errors
    ///
    /// `missing_claim` if the target is known to be a provider, or if there is no other host.
    /// `unavailable` if the claims allow the call and there is no other host.
    pub(super) fn through_remote_link(
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
        let is_actor = is_public_key(target) || self.table.remote_claims.get(target).is_some();
        let to = match allowed {
            Err(error) if is_provider_key(target) => return Err(error),
            Ok(()) if !is_actor => Destination::Linked(Arc::clone(link)),
            _ => Destination::Actor(link.target.clone()),
        };
        Ok(self.depart(elsewhere, to))
    }

    /// The route from a provider with these names to an actor that is not on this host.
    ///
    /// The link must name the actor exactly as the provider called it: only the other host knows
    /// which key belongs to which id.
    pub(super) fn back_to_remote_actor<'n>(
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
        if let Some(identity) = self.table.remote_claims.get(name) {
            claimed(contract, &actor, identity)?;
        }
        Ok(self.depart(elsewhere, Destination::Actor(actor)))
    }

    /// The route to an actor that runs here and that the lattice may also find on other hosts. The
    /// call keeps the id if it named it, because another host's actor of that public key may have
    /// another id.
    ///
    /// `None` if this host prefers its own targets, which is the default.
    pub(super) fn actor_anywhere(&self, entry: &ActorEntry, name: &str) -> Option<Route> {
        let elsewhere = self.elsewhere.filter(|_| !self.here_first)?;
        let id = &entry.actor.id;
        let key = || other_key(id, entry.public_key()).filter(|_| name != id.as_str());
        let to = key().unwrap_or_else(|| id.clone());
        Some(self.depart(elsewhere, Destination::Actor(to)))
    }

    /// The route to a provider that runs here and that the lattice may also find on other hosts.
    ///
    /// `None` if this host prefers its own targets. The other host looks the provider up by the
    /// link.
    pub(super) fn linked_anywhere(&self, link: &Arc<Link>) -> Option<Route> {
        let elsewhere = self.elsewhere.filter(|_| !self.here_first)?;
        let to = Destination::Linked(Arc::clone(link));
        Some(self.depart(elsewhere, to))
    }

    /// Cold and boxed: in a host without a lattice, no call comes here, and the common routes stay
    /// small.
    #[cold]
    fn depart(&self, elsewhere: &Arc<dyn Elsewhere>, to: Destination) -> Route {
        Route::Elsewhere(Box::new(Departure {
            elsewhere: Arc::clone(elsewhere),
            origin_key: self.origin_key(),
            to,
        }))
    }

    /// The public key of the caller, if it has one besides its id.
    ///
    /// Other hosts may know the caller by its key only, as that is what their links name.
    fn origin_key(&self) -> Option<Id> {
        match &self.call.origin {
            Origin::Actor(id) => other_key(id, self.identity_of(id)?.public_key.as_deref()),
            Origin::Provider { id, .. } => self.table.providers.get(id)?.key.clone(),
            Origin::Host | Origin::Elsewhere(_) => None,
        }
    }

    /// The decision on a call from another host. That host vouches only for the caller's identity.
    /// The links here decide what it may call, and its claims if they are known.
    ///
    /// `through` is set for a call of a remote provider, and names the contract and the link that
    /// it uses. Such a call may reach the actors that a link here joins to the provider, and
    /// nothing else.
    ///
    /// Calls to providers need a link, so a provider that is called like an actor is refused.
    pub(super) fn by_remote(&self, remote: &Remote) -> Result<Route, Error> {
        let key = remote.key.as_ref().map(Id::as_str);
        let names = both(&remote.id, key);
        if let Some((contract, link)) = &remote.through {
            let name = self.called_name();
            let called = self.table.called(name);
            return self.back_to(&called, name, &names, contract, link);
        }
        let identity = names
            .clone()
            .find_map(|name| self.table.remote_claims.get(name));
        if let Some(identity) = identity {
            self.unexpired(remote.id.as_str(), identity)?;
        }
        match &self.call.target {
            Target::Actor(name) if self.is_provider(name) => Err(refusal::no_actor(name)),
            Target::Actor(name) => self.to_named(name),
            Target::Import { namespace, link } => self.by_import(names, identity, namespace, link),
            // The links of this host decide which provider the call reaches.
            Target::Provider { contract, link, .. } => {
                self.by_import(names, identity, contract.as_str(), link.as_str())
            }
        }
    }

    /// Whether a provider on this host has this id or key.
    fn is_provider(&self, name: &str) -> bool {
        self.table.providers.find(name).is_some()
    }
}
