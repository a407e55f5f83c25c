//! The decision on a call: is there such a target, does a link join the two, do the claims allow it?
//!
//! It reads the table and nothing else, and is made under one lock: what it saw belongs together.

use std::sync::Arc;

use exosuit_core::{
    Capability, Contract, Error, Id, Identity, Invocation, Link, LinkName, Origin, Target,
};

use crate::actor::{Actor, Running};
use crate::links::{Linked, covers};
use crate::provider::Provider;
use crate::table::{Builtin, Entry, Table};
use crate::{Clock, refusal};

/// Where an allowed call goes.
pub(crate) enum Route {
    /// To an actor, by what runs there: nothing while it restarts.
    Actor(Arc<Actor>, Option<Arc<Running>>),
    /// To a provider, by this link.
    Provider(Arc<Provider>, Arc<Link>),
    /// To a capability that needs no link.
    Builtin(Arc<dyn Capability>),
}

impl Table {
    /// Decides on a call.
    pub(crate) fn decide(&self, call: &Invocation, clock: &Clock) -> Result<Route, Error> {
        let decision = Decision {
            table: self,
            call,
            clock,
        };
        match &call.origin {
            Origin::Host => decision.by_host(),
            Origin::Actor(id) => decision.by_actor(id),
            Origin::Provider { id, contract, link } => decision.by_provider(id, contract, link),
            Origin::Elsewhere(remote) => Err(refusal::unknown_caller(&remote.id)),
        }
    }
}

struct Decision<'a> {
    table: &'a Table,
    call: &'a Invocation,
    clock: &'a Clock,
}

impl<'a> Decision<'a> {
    /// The host may call whom it likes.
    fn by_host(&self) -> Result<Route, Error> {
        match &self.call.target {
            Target::Actor(name) => self.to_actor(self.named(name)?),
            Target::Import { namespace, .. } => {
                if let Some(builtin) = self.table.builtins.get(namespace) {
                    return Ok(Route::Builtin(Arc::clone(&builtin.capability)));
                }
                let entry = self.table.find(namespace);
                self.to_actor(entry.ok_or_else(|| refusal::no_capability(namespace))?)
            }
        }
    }

    /// An actor may call actors, by name or by link, and capabilities as its claims and links allow.
    fn by_actor(&self, caller: &Id) -> Result<Route, Error> {
        let identity = self.caller(caller)?;
        let (namespace, link) = match &self.call.target {
            Target::Actor(name) => return self.to_actor(self.named(name)?),
            Target::Import { namespace, link } => (namespace, link),
        };
        if let Some(builtin) = self.table.builtins.get(namespace) {
            return to_builtin(builtin, caller, identity);
        }
        if let Some(linked) = self.link_from(caller, caller, namespace, link) {
            return self.through(linked, identity);
        }
        // A contract has a colon and names of actors have none, so that no alias catches its calls.
        match self.table.find(namespace) {
            Some(entry) => self.to_actor(entry),
            None => Err(refusal::missing_link(
                namespace,
                link,
                &whose(caller, identity, namespace),
            )),
        }
    }

    /// A provider may call the actors that its links join it to, for the contract of the link.
    fn by_provider(&self, id: &Id, contract: &Contract, link: &LinkName) -> Result<Route, Error> {
        let (Target::Actor(name)
        | Target::Import {
            namespace: name, ..
        }) = &self.call.target;
        let entry = self.named(name)?;
        let actor = &entry.actor.id;
        let joined = [id, actor].into_iter().any(|source| {
            self.link_from(actor, source, contract.as_str(), link.as_str())
                .is_some_and(|linked| linked.link.joins(id, actor))
        });
        if !joined {
            let whose = format!("provider {id} and actor {actor}");
            return Err(refusal::missing_link(
                contract.as_str(),
                link.as_str(),
                &whose,
            ));
        }
        // Where nothing is known of the claims nothing runs: the call waits, and is decided again
        // by the claims that then hold.
        if let Some(identity) = &entry.identity {
            claimed(contract, actor, identity)?;
        }
        self.to_actor(entry)
    }

    /// The target of an actor's link.
    fn through(&self, linked: &'a Linked, identity: &Identity) -> Result<Route, Error> {
        let link = &linked.link;
        if let Some(entry) = self.table.actors.get(&link.target) {
            return self.to_actor(entry);
        }
        claimed(&link.contract, &link.source, identity)?;
        let provider = self.table.providers.get(&link.target);
        let provider = provider
            .filter(|provider| !provider.is_revoked())
            .ok_or_else(|| refusal::no_provider(link))?;
        if !linked.is_taken_by(provider) {
            return Err(refusal::not_taken(link));
        }
        Ok(Route::Provider(Arc::clone(provider), Arc::clone(link)))
    }

    fn to_actor(&self, entry: &Entry) -> Result<Route, Error> {
        let actor = &entry.actor;
        if let Some(identity) = &entry.identity {
            self.unexpired(&actor.id, identity)?;
        }
        Ok(Route::Actor(Arc::clone(actor), actor.running()))
    }

    fn named(&self, name: &str) -> Result<&'a Entry, Error> {
        let entry = self.table.find(name);
        entry.ok_or_else(|| refusal::unknown_actor(name))
    }

    /// What holds for an actor that calls. One that never ran here cannot call.
    fn caller(&self, id: &Id) -> Result<&'a Identity, Error> {
        let identity = [&self.table.actors, &self.table.retired]
            .into_iter()
            .find_map(|actors| actors.get(id)?.identity.as_deref())
            .ok_or_else(|| refusal::unknown_caller(id))?;
        self.unexpired(id, identity)?;
        Ok(identity)
    }

    fn unexpired(&self, id: &Id, identity: &Identity) -> Result<(), Error> {
        match identity.expires_at {
            Some(end) if end <= self.clock.unix() => Err(refusal::expired(id)),
            _ => Ok(()),
        }
    }

    /// The link from this source that covers the operation, as it stands at one of its ends.
    fn link_from(&self, end: &Id, source: &Id, contract: &str, name: &str) -> Option<&'a Linked> {
        let group = self.table.links.group(end, contract, name, source);
        let mut group = group.iter().map(Arc::as_ref);
        group.find(|linked| !linked.is_revoked() && covers(&linked.link, &self.call.operation))
    }
}

fn to_builtin(builtin: &Builtin, caller: &Id, identity: &Identity) -> Result<Route, Error> {
    claimed(&builtin.contract, caller, identity)?;
    Ok(Route::Builtin(Arc::clone(&builtin.capability)))
}

fn claimed(contract: &Contract, actor: &Id, identity: &Identity) -> Result<(), Error> {
    if identity.grants.allow(contract) {
        Ok(())
    } else {
        Err(refusal::missing_claim(contract.as_str(), actor))
    }
}

/// Who misses a link, and whether a link alone would help.
fn whose(caller: &Id, identity: &Identity, namespace: &str) -> String {
    match Contract::parse(namespace) {
        Ok(contract) if !identity.grants.allow(&contract) => {
            format!("actor {caller}, whose claims do not name it either")
        }
        _ => format!("actor {caller}"),
    }
}
