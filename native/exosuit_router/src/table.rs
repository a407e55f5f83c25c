//! The table of one host: what is specified, what runs, and what is linked.

use std::collections::HashMap;
use std::sync::Arc;

use exosuit_core::{
    Capability, Code, Contract, Deliver, Elsewhere, Error, Id, Identity, Link, LinkKey, Local,
};

use crate::actor::{Actor, Publication, Running};
use crate::bound::Withheld;
use crate::known::Known;
use crate::links::{Linked, Links, overlap};
use crate::names::{Names, both};
use crate::provider::Provider;
use crate::providers::Providers;
use crate::{ActorLimits, ActorState, refusal};

/// All that routing stands on. Whoever calls it holds the lock: nothing here waits, and nothing
/// foreign is called or dropped.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) actors: HashMap<Id, Entry>,
    /// Those that take no more calls, while what runs in them ends: they may still call others.
    pub(crate) retired: HashMap<Id, Entry>,
    pub(crate) names: Names,
    pub(crate) links: Links,
    pub(crate) providers: Providers,
    /// The actors of other hosts.
    pub(crate) known: Known,
    /// Where calls go that find no target here.
    pub(crate) elsewhere: Option<Arc<dyn Elsewhere>>,
    pub(crate) builtins: HashMap<String, Builtin>,
    /// Whose code runs, or ran last, under the id of an actor.
    pub(crate) lineages: HashMap<Id, Arc<str>>,
    pub(crate) withheld: Withheld,
    generation: u64,
}

/// An actor, and what its last publication said about it.
pub(crate) struct Entry {
    pub(crate) actor: Arc<Actor>,
    pub(crate) identity: Option<Arc<Identity>>,
}

/// A capability that needs a claim and no link.
pub(crate) struct Builtin {
    pub(crate) contract: Contract,
    pub(crate) capability: Arc<dyn Capability>,
}

/// What came of a publication, beside itself.
pub(crate) struct Published {
    pub(crate) publication: Publication,
    /// To be dropped outside of the lock.
    pub(crate) before: Option<Arc<Running>>,
    pub(crate) refused_alias: Option<(String, Error)>,
    pub(crate) refused_links: Vec<(Arc<Link>, Error)>,
}

/// A link that may be made, and what there is to do for it.
pub(crate) struct Placed {
    pub(crate) linked: Arc<Linked>,
    /// The links that it takes the place of, once the provider has taken it.
    pub(crate) replaces: Vec<Arc<Linked>>,
    /// It was put in just now, and is taken out again if the provider does not take it.
    pub(crate) fresh: bool,
    /// The provider that has to take it.
    pub(crate) provider: Option<Arc<Provider>>,
}

impl Entry {
    /// By what links may know it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        both(&self.actor.id, self.public_key())
    }

    pub(crate) fn public_key(&self) -> Option<&str> {
        self.identity.as_ref()?.public_key.as_deref()
    }

    /// What its guest is told of its configuration, once it was published.
    pub(crate) fn settings(&self) -> Option<&str> {
        self.identity.as_ref().map(|it| it.settings.as_str())
    }

    /// What other hosts may call: it was published, and comes back if it does not run.
    fn local(&self) -> Option<Local> {
        let served = self.identity.is_some() && !self.actor.is_given_up();
        served.then(|| Local {
            id: self.actor.id.clone(),
            key: other_key(&self.actor.id, self.public_key()),
            contracts: None,
        })
    }
}

/// The key of what has one besides its id.
pub(crate) fn other_key(id: &Id, key: Option<&str>) -> Option<Id> {
    let key = key.filter(|key| *key != id.as_str())?;
    Id::parse(key).ok()
}

impl Table {
    pub(crate) fn specify(&mut self, id: Id, limits: ActorLimits) -> Result<(), Error> {
        if let Some(entry) = self.actors.get(&id) {
            entry.actor.admission.change(limits);
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
        self.actors.insert(id, Entry { actor, identity });
        Ok(())
    }

    /// The entry is to be dropped, and its calls ended, outside of the lock.
    pub(crate) fn forget(&mut self, id: &Id) -> Option<Entry> {
        let entry = self.actors.remove(id)?;
        self.lineages.remove(id);
        if let Some(identity) = &entry.identity {
            self.names.forget(id, identity);
        }
        Some(entry)
    }

    /// Takes an actor's names away, and keeps what holds for the calls that it still makes. The
    /// second is one that was retired under the same id, to be dropped outside of the lock.
    pub(crate) fn retire(&mut self, id: &Id) -> Option<(Arc<Actor>, Option<Entry>)> {
        let entry = self.forget(id)?;
        let actor = Arc::clone(&entry.actor);
        Some((actor, self.retired.insert(id.clone(), entry)))
    }

    /// The end of a retired actor, unless another one was retired under its id.
    pub(crate) fn end_retired(&mut self, actor: &Arc<Actor>) -> Option<Entry> {
        let found = self.retired.get(&actor.id)?;
        let same = Arc::ptr_eq(&found.actor, actor);
        if same {
            self.retired.remove(&actor.id)
        } else {
            None
        }
    }

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

    fn refused_links(&self, id: &Id) -> Vec<(Arc<Link>, Error)> {
        let names = self.actors.get(id).into_iter().flat_map(Entry::names);
        self.links_at(names)
            .filter_map(|linked| {
                let error = self.check_link(&linked.link).err()?;
                Some((Arc::clone(&linked.link), error))
            })
            .collect()
    }

    /// The links in force, or on their way to it, that have an end of one of these names.
    pub(crate) fn links_at<'a>(
        &'a self,
        names: impl Iterator<Item = &'a str>,
    ) -> impl Iterator<Item = &'a Arc<Linked>> {
        let links = names.flat_map(|name| self.links.at(name));
        links.filter(|linked| !linked.is_revoked())
    }

    /// What other hosts may call by this id.
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
    pub(crate) fn provider_of(&self, link: &Link) -> Option<&Arc<Provider>> {
        let provider = |end: &Id| self.providers.find(end.as_str());
        provider(&link.target).or_else(|| provider(&link.source))
    }

    /// The provider that took a link and still runs.
    pub(crate) fn taker_of(&self, linked: &Linked) -> Option<&Arc<Provider>> {
        let ends = [&linked.link.target, &linked.link.source];
        let mut providers = ends
            .into_iter()
            .filter_map(|end| self.providers.find(end.as_str()));
        providers.find(|provider| linked.is_taken_by(provider))
    }

    /// Whether what is known of its ends allows a link. What is unknown is checked when it comes.
    pub(crate) fn check_link(&self, link: &Link) -> Result<(), Error> {
        match self.check_ends(link)? {
            Some(actor) => self.check_claims(link, actor),
            None => Ok(()),
        }
    }

    /// Whether the provider at one end implements the contract. Gives the other end.
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

    /// Whether the claims of the actor name the contract, if they are known.
    pub(crate) fn check_claims(&self, link: &Link, actor: &Id) -> Result<(), Error> {
        let called = self.linked_as(actor.as_str());
        let identities = called
            .entries()
            .iter()
            .filter_map(|it| it.identity.as_ref());
        let mut refused = identities.filter(|identity| !identity.grants.allow(&link.contract));
        match refused.next() {
            Some(_) => Err(refusal::missing_claim(link.contract.as_str(), actor)),
            None => Ok(()),
        }
    }

    /// Whether a link has a place, and which provider has to take it.
    pub(crate) fn check_place(&self, link: &Link) -> Result<Option<Arc<Provider>>, Error> {
        self.check_link(link)?;
        let rivals = self.rivals(link);
        match rivals.iter().find(|rival| rival.link.target != link.target) {
            Some(rival) => Err(refusal::conflict(link, &rival.link)),
            None => Ok(self.provider_of(link).cloned()),
        }
    }

    /// Finds a place for a link; nothing if it stands there already and is in force. A new one is
    /// put in at once, as its provider may call as soon as it has taken it.
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

    /// What came of it: on success it is in force in the place of what it replaces, otherwise all
    /// is as it was, and one that stood there already says why its provider has not taken it.
    pub(crate) fn settle(&mut self, placed: &Placed, result: &Result<(), Error>) {
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

    /// The links of its key that cover something of what it covers.
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

    /// Registers a provider, and tells which links wait for it.
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

    pub(crate) fn inventory(&self) -> Vec<ActorState> {
        let entries = self.actors.values();
        entries
            .map(|entry| entry.actor.state(entry.identity.clone()))
            .collect()
    }
}

fn taken(detail: String) -> Error {
    Error::new(Code::Conflict, detail)
}
