//! The decision on a call: is there such a target, does a link join the two, do the claims allow
//! it?
//!
//! It reads the table under one lock and changes nothing, so everything that it reads belongs
//! together. A call never waits here. `remote` holds the part about other hosts.
//!
//! | the caller | may call |
//! |---|---|
//! | the host | each actor, and capabilities without a link |
//! | an actor | each actor by name; providers through a link, if its claims name the contract |
//! | a provider | the actors that a link joins it to, for the contract of the link |
//! | a remote actor or provider | the same, by the links of this host |
//!
//! # Order
//!
//! Each row of the table is a function: `by_host`, `by_actor`, `by_provider` and `by_remote`. For
//! an import of an actor, the steps are in this order, and the first that applies decides:
//!
//! 1. A built-in capability of this contract. The claims must name it.
//! 2. A link of the caller that covers the operation. Its target is an actor or a provider.
//! 3. An actor with the imported namespace as its name, here or on another host.
//! 4. Otherwise the error `missing_link`, which names the caller, the contract and the link.
//!
//! The claims are checked after the link is found, so the error says the first thing that is
//! missing. Expiry is checked for the caller and for the actor that is called.
//!
//! Links that are being deleted, and links that are bound to other code (see `bound`), are skipped
//! as if they were not there.

mod decision;
mod remote;

use std::sync::Arc;

use exosuit_core::{Contract, Error, Id, Identity, Invocation, LinkName, Origin, Target};

use crate::links::{Linked, covers};
use crate::names::both;
use crate::naming::Called;
use crate::provider::Provider;
use crate::route::{Reach, Route};
use crate::table::{ActorEntry, Builtin, Table};
use crate::{Clock, refusal};
use decision::{Decision, claimed};

impl Table {
    /// Decides on a call.
    ///
    /// The caller holds the read lock. The result owns all that it names (`Arc`s), so the lock is
    /// released before the call is delivered.
    ///
    /// # Errors
    ///
    /// `unknown_target`, `missing_link`, `missing_claim`, `expired_claims`, or `unavailable` for a
    /// link whose provider is not there or has not taken it.
    pub(crate) fn decide(
        &self,
        call: &Invocation,
        reach: Reach,
        clock: &Clock,
    ) -> Result<Route, Error> {
        let elsewhere = self.elsewhere.as_ref();
        let decision = Decision {
            table: self,
            call,
            elsewhere: elsewhere.filter(|_| reach != Reach::Here),
            here_first: reach != Reach::Anywhere,
            clock,
        };
        match &call.origin {
            Origin::Host => decision.by_host(),
            Origin::Actor(id) => decision.by_actor(id),
            Origin::Provider { id, contract, link } => decision.by_provider(id, contract, link),
            Origin::Elsewhere(remote) => decision.by_remote(remote),
        }
    }
}

impl<'a> Decision<'a> {
    /// The host may call every actor.
    ///
    /// Host calls need no link: `Exosuit.call/4` and the control plane are trusted. It has no links
    /// either, so a provider is out of its reach.
    fn by_host(&self) -> Result<Route, Error> {
        match &self.call.target {
            Target::Actor(name) => self.to_named(name),
            Target::Provider { contract, .. } => Err(refusal::no_capability(contract.as_str())),
            Target::Import { namespace, .. } => {
                if let Some(builtin) = self.table.builtins.get(namespace) {
                    return Ok(Route::Builtin(Arc::clone(&builtin.capability)));
                }
                self.to_named_or(namespace, || refusal::no_capability(namespace))
            }
        }
    }

    /// An actor may call actors by name or link, and capabilities as its claims and links allow.
    ///
    /// Its claims are those of the last publication under its id, also while it restarts or is
    /// retired.
    fn by_actor(&self, caller: &Id) -> Result<Route, Error> {
        let identity = self.caller(caller)?;
        let (namespace, link) = match &self.call.target {
            Target::Actor(name) => return self.to_named(name),
            Target::Provider { contract, .. } => {
                return Err(refusal::no_capability(contract.as_str()));
            }
            Target::Import { namespace, link } => (namespace, link),
        };
        if let Some(builtin) = self.table.builtins.get(namespace) {
            return to_builtin(builtin, caller, identity);
        }
        let names = both(caller, identity.public_key.as_deref());
        self.by_import(names, Some(identity), namespace, link)
    }

    /// The route for an import of an actor with these names: through its link, otherwise to an
    /// actor of that name. If the claims are known, they must name the contract of a provider.
    ///
    /// `names` are the caller's id and its key; a link may use either. `identity` is `None` for a
    /// remote caller whose claims this host has not heard of. Then the links alone decide.
    fn by_import<'n>(
        &self,
        mut names: impl Iterator<Item = &'n str> + Clone,
        identity: Option<&Identity>,
        namespace: &str,
        link: &str,
    ) -> Result<Route, Error> {
        let linked = names
            .clone()
            .find_map(|name| self.link_from(name, name, namespace, link));
        if let Some(linked) = linked {
            return self.through(linked, identity);
        }
        // Contracts have a colon and names of actors have none, so an alias never catches the calls
        // of a contract.
        self.to_named_or(namespace, || {
            let caller = names.next().unwrap_or_default();
            refusal::missing_link(namespace, link, &whose(caller, identity, namespace))
        })
    }

    /// A provider may call the actors that its links join it to, for the contract of the link.
    ///
    /// This is the way of incoming requests: an HTTP server calls the actors that its links name.
    fn by_provider(&self, id: &Id, contract: &Contract, link: &LinkName) -> Result<Route, Error> {
        let key = self
            .table
            .providers
            .get(id)
            .and_then(|provider| provider.key.as_ref());
        let names = both(id, key.map(Id::as_str));
        let name = self.called_name();
        match self.table.called(name) {
            Called::Nobody => self.back_to_remote_actor(name, names, contract, link),
            called => self.back_to(&called, name, &names, contract, link),
        }
    }

    /// The route from a provider with these names to an actor on this host with this name. If
    /// several actors have the name, only those that a link joins to the provider count.
    ///
    /// If no link joins any of them, the error is about the first. One error is enough, and it
    /// names what to link.
    fn back_to<'n>(
        &self,
        called: &Called<'_>,
        name: &str,
        provider: &(impl Iterator<Item = &'n str> + Clone),
        contract: &Contract,
        link: &LinkName,
    ) -> Result<Route, Error> {
        let check =
            |entry: &ActorEntry| self.check_joined(provider.clone(), entry.names(), contract, link);
        let joined = |entry: &&ActorEntry| check(entry).is_ok();
        let joined: Vec<_> = called.entries().iter().copied().filter(joined).collect();
        if joined.is_empty() {
            called
                .entries()
                .first()
                .map_or(Ok(()), |first| check(first))?;
        }
        let entry = self.table.any_of(&joined, name)?;
        // An actor without claims does not run yet: the call waits, and is decided again by the
        // claims then.
        if let Some(identity) = &entry.identity {
            claimed(contract, &entry.actor.id, identity)?;
        }
        self.to_actor(entry, name)
    }

    /// Checks that a link joins this provider and this actor, each by one of its names.
    ///
    /// A link may have been written in either direction: the OTP era wrote "actor to HTTP server",
    /// and a 1.x manifest writes the server as the source. Both allow the server to call the actor.
    /// Each side may be named by id or by key, so up to four pairs of names are tried.
    fn check_joined<'n, 'm>(
        &self,
        mut provider: impl Iterator<Item = &'n str> + Clone,
        mut actor: impl Iterator<Item = &'m str> + Clone,
        contract: &Contract,
        link: &LinkName,
    ) -> Result<(), Error> {
        let joins = |provider: &str, actor: &str| {
            [provider, actor].into_iter().any(|source| {
                self.link_from(actor, source, contract.as_str(), link.as_str())
                    .is_some_and(|linked| linked.link.joins(provider, actor))
            })
        };
        let mut actors = actor.clone();
        if actors.any(|actor| provider.clone().any(|provider| joins(provider, actor))) {
            return Ok(());
        }
        let (provider, actor) = (provider.next(), actor.next());
        let whose = format!(
            "provider {} and actor {}",
            provider.unwrap_or_default(),
            refusal::quote(actor.unwrap_or_default())
        );
        let (contract, link) = (contract.as_str(), link.as_str());
        Err(refusal::missing_link(contract, link, &whose))
    }

    /// The route to the target of an actor's link.
    ///
    /// A target may be named by id or key, and may be an actor, a provider, or not here at all. An
    /// actor needs no claim for a link to another actor, a provider does need one.
    fn through(&self, linked: &'a Linked, identity: Option<&Identity>) -> Result<Route, Error> {
        let link = &linked.link;
        let target = link.target.as_str();
        // Ids come first, as nearly all links name them.
        if let Some(entry) = self.table.actors.get(target) {
            return self.to_actor(entry, target);
        }
        let provider = self.table.providers.find(target);
        if let Some(provider) = provider.filter(|provider| !provider.is_revoked()) {
            if let Some(identity) = identity {
                claimed(&link.contract, &link.source, identity)?;
            }
            return self.to_provider(provider, linked);
        }
        match self.table.linked_as(target) {
            Called::Nobody => self.through_remote_link(link, identity),
            called => self.to_one(&called, target),
        }
    }

    /// The route to a provider on this host. The provider must have taken the link.
    ///
    /// Until the provider has taken the link, it does not know the settings of the link. The call
    /// is refused with `unavailable` and not held back: a caller may try again, and a call that
    /// waited here would have no bound of its own.
    fn to_provider(&self, provider: &Arc<Provider>, linked: &Linked) -> Result<Route, Error> {
        let link = &linked.link;
        if let Some(route) = self.linked_anywhere(link) {
            return Ok(route);
        }
        if !linked.is_taken_by(provider) {
            return Err(refusal::not_taken(link));
        }
        Ok(Route::Provider(Arc::clone(provider), Arc::clone(link)))
    }

    /// The route to an actor on this host that was called by this name.
    ///
    /// The actor may restart at this moment. Then the route has no publication, and the call waits
    /// in `admit`.
    fn to_actor(&self, entry: &ActorEntry, name: &str) -> Result<Route, Error> {
        let actor = &entry.actor;
        if let Some(identity) = &entry.identity {
            self.unexpired(actor.id.as_str(), identity)?;
        }
        match self.actor_anywhere(entry, name) {
            Some(route) => Ok(route),
            None => Ok(Route::Actor(Arc::clone(actor), actor.running())),
        }
    }

    /// The route to the actor with this name, or `unknown_target`.
    fn to_named(&self, name: &str) -> Result<Route, Error> {
        self.to_named_or(name, || refusal::unknown_actor(name))
    }

    /// The route to the actor with this name, here or on another host. If there can be none,
    /// returns this error.
    fn to_named_or(&self, name: &str, none: impl FnOnce() -> Error) -> Result<Route, Error> {
        match self.table.called(name) {
            Called::Nobody => self.to_remote_actor(name).ok_or_else(none),
            called => self.to_one(&called, name),
        }
    }

    /// The route to one of the actors with this name. They must not differ in more than their ids.
    fn to_one(&self, called: &Called<'_>, name: &str) -> Result<Route, Error> {
        self.to_actor(self.table.any_of(called.entries(), name)?, name)
    }

    /// The name of an actor in a target that can only be an actor.
    fn called_name(&self) -> &'a str {
        match &self.call.target {
            Target::Actor(name)
            | Target::Import {
                namespace: name, ..
            } => name,
            Target::Provider { id, .. } => id.as_str(),
        }
    }

    /// The claims of the calling actor. An actor that never ran here cannot call.
    ///
    /// A retired actor still has claims here, so that its last calls can finish.
    fn caller(&self, id: &Id) -> Result<&'a Identity, Error> {
        let identity = self.identity_of(id);
        let identity = identity.ok_or_else(|| refusal::unknown_caller(id))?;
        self.unexpired(id.as_str(), identity)?;
        Ok(identity)
    }

    /// The claims of the last publication under an id. Actors that take calls come before retired
    /// ones.
    fn identity_of(&self, id: &Id) -> Option<&'a Identity> {
        [&self.table.actors, &self.table.retired]
            .into_iter()
            .find_map(|actors| actors.get(id)?.identity.as_deref())
    }

    /// Checks the expiry of the claims. It is checked at each call, as tokens expire while actors
    /// run.
    fn unexpired(&self, actor: &str, identity: &Identity) -> Result<(), Error> {
        match identity.expires_at {
            Some(end) if end <= self.clock.unix() => Err(refusal::expired(actor)),
            _ => Ok(()),
        }
    }

    /// The link of this source that covers the operation, from the list at one of its ends.
    ///
    /// `end` selects the list and `source` the caller in it, because a provider looks up links in
    /// the list of the actor. Several links of one key differ by their interfaces; the first that
    /// covers the operation is taken, and `place` in `table` made sure that there is one at most.
    fn link_from(&self, end: &str, source: &str, contract: &str, name: &str) -> Option<&'a Linked> {
        let group = self.table.links.group(end, contract, name, source);
        let group = group.iter().map(Arc::as_ref);
        let covers = |linked: &&Linked| covers(&linked.link, &self.call.operation);
        group
            .filter(covers)
            .find(|linked| !linked.is_revoked() && !linked.bound.is_orphan())
    }
}

/// The route to a capability without a link, if the claims of the caller name its contract.
fn to_builtin(builtin: &Builtin, caller: &Id, identity: &Identity) -> Result<Route, Error> {
    claimed(&builtin.contract, caller, identity)?;
    Ok(Route::Builtin(Arc::clone(&builtin.capability)))
}

/// The caller in an error about a missing link. It also says whether the link alone would suffice.
fn whose(caller: &str, identity: Option<&Identity>, namespace: &str) -> String {
    match (Contract::parse(namespace), identity) {
        (Ok(contract), Some(identity)) if !identity.grants.allow(&contract) => {
            format!("actor {caller}, whose claims do not name it either")
        }
        _ => format!("actor {caller}"),
    }
}
