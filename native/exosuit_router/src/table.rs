//! The table of one host: its actors, providers and links.
//!
//! It holds what is known, and offers the changes that must be one step: each public function
//! leaves the table consistent. Everything that waits, sends or calls foreign code happens in the
//! files around it. They take the lock, call a function here, release the lock, and act on the
//! result. That is why several functions return values that only have to be dropped: dropping them
//! may run foreign code, and must not happen under the lock.
//!
//! | index | finds | updated by |
//! |---|---|---|
//! | `actors`, `retired` | an actor by id | `specify`, `forget`, `retire`, `end_retired` |
//! | `names` | actors by public key or alias | `publish`, `forget` |
//! | `links` | links by either end | `place`, `finish_put`, `wiring` |
//! | `providers` | a provider by id or key | `add_provider`, `wiring` |
//! | `lineages`, `withheld` | the code that links are bound to | `publish`, `lineage` |

use std::collections::HashMap;
use std::sync::Arc;

use exosuit_core::{
    Capability, Code, Contract, Deliver, Elsewhere, Error, Id, Identity, Link, LinkKey, Local,
};

use crate::actor::{Actor, Publication, Running};
use crate::bound::Withheld;
use crate::links::{Linked, Links, overlap};
use crate::names::{Names, both};
use crate::provider::Provider;
use crate::providers::Providers;
use crate::remote_claims::RemoteClaims;
use crate::{ActorLimits, ActorState, refusal};

/// The data by which routing decides. The caller holds its lock, so nothing here waits, and code of other crates is
/// neither called nor dropped.
#[derive(Default)]
pub(crate) struct Table {
    /// The actors that take calls, by id.
    pub(crate) actors: HashMap<Id, ActorEntry>,
    /// Actors that take no more calls, while their last calls finish. They may still call others.
    pub(crate) retired: HashMap<Id, ActorEntry>,
    /// The ids of actors by their public keys and call aliases.
    pub(crate) names: Names,
    /// The links, also those that wait for an end or are being deleted.
    pub(crate) links: Links,
    /// The providers that run.
    pub(crate) providers: Providers,
    /// The actors of other hosts.
    pub(crate) remote_claims: RemoteClaims,
    /// The way to other hosts, for calls that find no target here.
    pub(crate) elsewhere: Option<Arc<dyn Elsewhere>>,
    /// The capabilities that need no link, by contract.
    pub(crate) builtins: HashMap<String, Builtin>,
    /// The lineage of the code that runs, or ran last, under the id of an actor.
    pub(crate) lineages: HashMap<Id, Arc<str>>,
    /// The bindings of links that a missing configuration keeps out of `links`.
    pub(crate) withheld: Withheld,
    /// Counts publications, to tell them apart.
    generation: u64,
}

/// An actor with the identity of its last publication.
///
/// The identity is `None` until the first publication, and stays when the process ends. So the
/// claims of an actor that restarts are known, and its names stay taken.
pub(crate) struct ActorEntry {
    pub(crate) actor: Arc<Actor>,
    pub(crate) identity: Option<Arc<Identity>>,
}

/// A capability that needs a claim and no link.
pub(crate) struct Builtin {
    pub(crate) contract: Contract,
    pub(crate) capability: Arc<dyn Capability>,
}

/// The result of a publication.
///
pub(crate) struct Published {
    pub(crate) publication: Publication,
    /// The former publication. The caller drops it outside of the lock.
    pub(crate) before: Option<Arc<Running>>,
    pub(crate) refused_alias: Option<(String, Error)>,
    pub(crate) refused_links: Vec<(Arc<Link>, Error)>,
}

/// A link that is being put, and what remains to be done for it.
///
/// `replaces` and `fresh` exclude each other. If neither holds, the same link is handed to its
/// provider again.
pub(crate) struct Placed {
    pub(crate) linked: Arc<Linked>,
    /// The links that it replaces once the provider has taken it.
    pub(crate) replaces: Vec<Arc<Linked>>,
    /// It was inserted by this put, and is removed again if the provider refuses it.
    pub(crate) fresh: bool,
    /// The provider that has to take it.
    pub(crate) provider: Option<Arc<Provider>>,
}

impl ActorEntry {
    /// The names that links may use for the actor.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        both(&self.actor.id, self.public_key())
    }

    /// The `M…` of its token. `None` if it is not signed or was never published.
    pub(crate) fn public_key(&self) -> Option<&str> {
        self.identity.as_ref()?.public_key.as_deref()
    }

    /// The settings that the guest sees, once it was published.
    pub(crate) fn settings(&self) -> Option<&str> {
        self.identity
            .as_ref()
            .map(|identity| identity.settings.as_str())
    }

    /// The announcement for other hosts. An actor is announced once it was published, unless it was
    /// given up.
    fn local(&self) -> Option<Local> {
        let served = self.identity.is_some() && !self.actor.is_given_up();
        served.then(|| Local {
            id: self.actor.id.clone(),
            key: other_key(&self.actor.id, self.public_key()),
            contracts: None,
        })
    }
}

/// The key of an actor or provider, if it is not its id.
pub(crate) fn other_key(id: &Id, key: Option<&str>) -> Option<Id> {
    let key = key.filter(|key| *key != id.as_str())?;
    Id::parse(key).ok()
}

impl Table {
    /// Creates an entry, or changes its limits.
    ///
    /// # Errors
    ///
    /// `conflict` if a provider has the id as its id or key.
    pub(crate) fn specify(&mut self, id: Id, limits: ActorLimits) -> Result<(), Error> {
        if let Some(entry) = self.actors.get(&id) {
            entry.actor.change(limits);
            return Ok(());
        }
        if let Some(provider) = self.providers.find(id.as_str()) {
            let whose = &provider.id;
            return Err(taken(format!(
                "{id} is the id or the key of provider {whose}"
            )));
        }
        let actor = Arc::new(Actor::new(id.clone(), limits));
        let identity = None;
        self.actors.insert(id, ActorEntry { actor, identity });
        Ok(())
    }

    /// Removes an actor with its names. The caller drops the entry and ends its calls outside of
    /// the lock.
    ///
    /// The lineage goes, too: the next actor of this id is bound to nothing. Links that were bound
    /// before stay bound.
    pub(crate) fn forget(&mut self, id: &Id) -> Option<ActorEntry> {
        let entry = self.actors.remove(id)?;
        self.lineages.remove(id);
        if let Some(identity) = &entry.identity {
            self.names.forget(id, identity);
        }
        Some(entry)
    }

    /// Moves an actor to the retired ones: it has no names, and its calls may finish. The second
    /// value is an actor that was retired under the same id before, to be dropped outside of the
    /// lock.
    ///
    /// A retired actor keeps its identity, by which its own calls are decided.
    pub(crate) fn retire(&mut self, id: &Id) -> Option<(Arc<Actor>, Option<ActorEntry>)> {
        let entry = self.forget(id)?;
        let actor = Arc::clone(&entry.actor);
        Some((actor, self.retired.insert(id.clone(), entry)))
    }

    /// Removes a retired actor, unless another one was retired under its id.
    pub(crate) fn end_retired(&mut self, actor: &Arc<Actor>) -> Option<ActorEntry> {
        let found = self.retired.get(&actor.id)?;
        let same = Arc::ptr_eq(&found.actor, actor);
        if same {
            self.retired.remove(&actor.id)
        } else {
            None
        }
    }

    /// Opens an entry to calls.
    ///
    /// The names are checked before anything changes. The lineage is set last, so a refused
    /// publication makes no link an orphan.
    ///
    /// # Errors
    ///
    /// `unknown_target` if the actor is not specified, and those of `check_names`.
    pub(crate) fn publish(
        &mut self,
        id: &Id,
        lineage: Option<&str>,
        identity: Identity,
        target: &Arc<dyn Deliver>,
    ) -> Result<Published, Error> {
        self.check_names(id, &identity)?;
        let entry = self
            .actors
            .get_mut(id)
            .ok_or_else(|| refusal::unknown_actor(id.as_str()))?;
        let identity = Arc::new(identity);
        let before = entry.identity.replace(Arc::clone(&identity));
        self.names.change(id, before.as_deref(), &identity);
        self.generation += 1;
        let (publication, before) = entry.actor.publish(self.generation, Arc::clone(target));
        if let Some(lineage) = lineage {
            self.set_lineage(id, lineage);
        }
        Ok(Published {
            publication,
            before,
            refused_alias: self.refused_alias(id, &identity),
            refused_links: self.refused_links(id),
        })
    }

    /// The links of an actor that its claims do not allow.
    fn refused_links(&self, id: &Id) -> Vec<(Arc<Link>, Error)> {
        let names = self.actors.get(id).into_iter().flat_map(ActorEntry::names);
        self.links_at(names)
            .filter_map(|linked| {
                let error = self.check_link(&linked.link).err()?;
                Some((Arc::clone(&linked.link), error))
            })
            .collect()
    }

    /// The links at these names, without those that are being deleted.
    pub(crate) fn links_at<'a>(
        &'a self,
        names: impl Iterator<Item = &'a str>,
    ) -> impl Iterator<Item = &'a Arc<Linked>> {
        let links = names.flat_map(|name| self.links.at(name));
        links.filter(|linked| !linked.is_revoked())
    }

    /// The announcement of an id for other hosts.
    ///
    /// `None` if other hosts may not call it: it is not here, was never published, was given up, or
    /// is being deleted.
    pub(crate) fn local(&self, id: &Id) -> Option<Local> {
        if let Some(entry) = self.actors.get(id) {
            return entry.local();
        }
        let provider = self.providers.get(id)?;
        (!provider.is_revoked()).then(|| Local {
            id: id.clone(),
            key: provider.key.clone(),
            contracts: Some(provider.contracts.clone()),
        })
    }

    /// The provider at an end of a link.
    ///
    /// The target comes first. A link cannot have providers at both ends.
    pub(crate) fn provider_of(&self, link: &Link) -> Option<&Arc<Provider>> {
        let provider = |end: &Id| self.providers.find(end.as_str());
        provider(&link.target).or_else(|| provider(&link.source))
    }

    /// The provider that took a link and still runs.
    ///
    /// A provider that was replaced since has another number, and is not asked to release what it
    /// never took.
    pub(crate) fn taker_of(&self, linked: &Linked) -> Option<&Arc<Provider>> {
        let ends = [&linked.link.target, &linked.link.source];
        let mut providers = ends
            .into_iter()
            .filter_map(|end| self.providers.find(end.as_str()));
        providers.find(|provider| linked.is_taken_by(provider))
    }

    /// Checks whether the known ends of a link allow it. Unknown ends are checked when they appear.
    ///
    /// # Errors
    ///
    /// `invalid_link` from `check_ends`, `missing_claim` from `check_claims`.
    pub(crate) fn check_link(&self, link: &Link) -> Result<(), Error> {
        match self.check_ends(link)? {
            Some(actor) => self.check_claims(link, actor),
            None => Ok(()),
        }
    }

    /// Checks whether the provider at one end implements the contract. Returns the other end.
    ///
    /// `None` if no end is a provider here: a link between actors needs no check, and the provider
    /// may still come.
    ///
    /// # Errors
    ///
    /// `invalid_link` if both ends are providers, or if the provider does not implement the
    /// contract.
    pub(crate) fn check_ends<'a>(&self, link: &'a Link) -> Result<Option<&'a Id>, Error> {
        let (source, target) = (&link.source, &link.target);
        let provider = |end: &Id| self.providers.find(end.as_str());
        let (provider, other) = match (provider(source), provider(target)) {
            (Some(_), Some(_)) => return Err(refusal::two_providers(link)),
            (Some(provider), None) => (provider, target),
            (None, Some(provider)) => (provider, source),
            (None, None) => return Ok(None),
        };
        if !provider.contracts.contains(&link.contract) {
            let has = &provider.contracts;
            return Err(refusal::not_implemented(&provider.id, &link.contract, has));
        }
        Ok(Some(other))
    }

    /// Checks whether the claims of the actor name the contract, if they are known.
    ///
    /// If several actors have the name, all of them must have the claim.
    pub(crate) fn check_claims(&self, link: &Link, actor: &Id) -> Result<(), Error> {
        let called = self.linked_as(actor.as_str());
        let identities = called
            .entries()
            .iter()
            .filter_map(|entry| entry.identity.as_ref());
        let mut refused = identities.filter(|identity| !identity.grants.allow(&link.contract));
        match refused.next() {
            Some(_) => Err(refusal::missing_claim(link.contract.as_str(), actor)),
            None => Ok(()),
        }
    }

    /// Checks whether a link may be put, and returns the provider that has to take it.
    ///
    /// # Errors
    ///
    /// Those of `check_link`, and `conflict` if another link of the key covers the same with
    /// another target.
    pub(crate) fn check_place(&self, link: &Link) -> Result<Option<Arc<Provider>>, Error> {
        self.check_link(link)?;
        let rivals = self.rivals(link);
        match rivals.iter().find(|rival| rival.link.target != link.target) {
            Some(rival) => Err(refusal::conflict(link, &rival.link)),
            None => Ok(self.provider_of(link).cloned()),
        }
    }

    /// Starts a put of a link. Returns `None` if the same link is in force already. A new link is
    /// inserted at once, because its provider may call as soon as it has taken it.
    ///
    /// A link that replaces others is not inserted yet. Calls go through the former ones until the
    /// provider has switched.
    pub(crate) fn place(&mut self, link: &Arc<Link>) -> Result<Option<Placed>, Error> {
        let provider = self.check_place(link)?;
        let rivals = self.rivals(link);
        if let [same] = &rivals[..]
            && same.link == *link
        {
            let in_force = provider
                .as_ref()
                .is_none_or(|provider| same.is_taken_by(provider));
            return Ok((!in_force).then(|| Placed {
                linked: Arc::clone(same),
                replaces: Vec::new(),
                fresh: false,
                provider,
            }));
        }
        let linked = Arc::new(Linked::new(Arc::clone(link)));
        self.withheld.bequeath(link, &linked.bound);
        let fresh = rivals.is_empty();
        if fresh {
            self.links.insert(&linked);
        }
        Ok(Some(Placed {
            linked,
            replaces: rivals,
            fresh,
            provider,
        }))
    }

    /// Completes a put. On success, the link is in force in place of those that it replaces. On an
    /// error the table is as before; a link that was there already keeps the provider's reason.
    ///
    /// The swap of old and new links is one step, so no call finds neither. The new link inherits
    /// the bindings of the old ones: other settings are not a new permission.
    pub(crate) fn finish_put(&mut self, placed: &Placed, result: &Result<(), Error>) {
        let Placed {
            linked, replaces, ..
        } = placed;
        if let Err(error) = result {
            if placed.fresh {
                self.links.remove(linked);
            } else if replaces.is_empty() {
                linked.set_refused(error);
            }
        } else {
            linked.set_taken(placed.provider.as_deref());
            self.withheld.end(&linked.link);
            for replaced in replaces {
                linked.bound.inherit(&replaced.bound);
                self.links.remove(replaced);
            }
            if !replaces.is_empty() {
                self.links.insert(linked);
            }
        }
    }

    /// The links of the same key that cover some of the same interfaces.
    ///
    /// The link itself is among them if it is put again.
    fn rivals(&self, link: &Link) -> Vec<Arc<Linked>> {
        let group = self.links.of(&link.key()).iter();
        group
            .filter(|other| !other.is_revoked() && overlap(&other.link, link))
            .cloned()
            .collect()
    }

    /// The links of a key that are being deleted.
    pub(crate) fn revoked(&self, key: &LinkKey) -> Vec<Arc<Linked>> {
        let group = self.links.of(key).iter();
        group
            .filter(|linked| linked.is_revoked())
            .cloned()
            .collect()
    }

    /// Inserts a provider, and returns the links that wait for it.
    ///
    /// # Errors
    ///
    /// `conflict` if one of its names belongs to an actor or to another provider.
    pub(crate) fn add_provider(
        &mut self,
        provider: &Arc<Provider>,
    ) -> Result<Vec<Arc<Linked>>, Error> {
        for name in provider.names() {
            if !self.linked_as(name).entries().is_empty() {
                let detail = format!("{name} is the id or the public key of an actor");
                return Err(taken(detail));
            }
            if let Some(other) = self.providers.find(name) {
                let detail = format!("{name} is the id or the key of provider {}", other.id);
                return Err(taken(detail));
            }
        }
        self.providers.insert(provider);
        Ok(self.links_at(provider.names()).cloned().collect())
    }

    /// The state of each actor.
    pub(crate) fn inventory(&self) -> Vec<ActorState> {
        let entries = self.actors.values();
        entries
            .map(|entry| entry.actor.state(entry.identity.clone()))
            .collect()
    }
}

/// A name that something else on this host has.
fn taken(detail: String) -> Error {
    Error::new(Code::Conflict, detail)
}
