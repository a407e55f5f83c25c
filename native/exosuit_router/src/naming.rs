//! Decides which actor may have a name, and which actor a name refers to.
//!
//! Only the id is unique on a host. A public key or a call alias may belong to several actors of one issuer, for
//! example to one signed image under several ids. Names are not shared between issuers: an actor is refused if
//! an actor of another issuer has its key or alias, or has its id as an alias. This holds until that other actor
//! is removed, whether it runs or not.
//!
//! A call by key or alias goes to one of the actors that have it. It is refused if these actors differ in more
//! than their ids, because then the choice matters. Links that are being deleted do not count. The comparison
//! takes the same time for any number of links.
//!
//! # The order of names
//!
//! A call by name looks here, and takes the first that is found:
//!
//! | step | what the name is |
//! |---|---|
//! | 1 | the id of an actor that was published once |
//! | 2 | a public key of actors here |
//! | 3 | a call alias of actors here; only those of its owner's key count |
//! | 4 | the id of an actor that never ran, so that the call waits for it |
//! | 5 | an alias of a remote actor, if an actor here has that actor's key |
//!
//! An id that never ran comes late, so that a specification takes no name away from an actor that
//! runs.
//!
//! # Why issuers matter
//!
//! A public key belongs to whoever signed the code, and an alias is text in a token. Two issuers
//! that use the same alias are two parties that may not know each other. If calls by the alias
//! could reach either, one party could receive the calls of the other. So the second is refused,
//! with a `conflict` that names the first. Unsigned actors have the issuer `None`, which is the
//! same issuer as that of all other unsigned actors.

use exosuit_core::{Code, Error, Id, Identity};

use crate::names::{is_alias, is_public_key};
use crate::refusal;
use crate::table::{ActorEntry, Table};

/// The actors that a name refers to.
pub(crate) enum Called<'a> {
    /// No actor here has the name.
    Nobody,
    /// The usual case, which allocates nothing.
    One(&'a ActorEntry),
    /// Two or more, in the order in which they got the name.
    Several(Vec<&'a ActorEntry>),
}

impl<'a> Called<'a> {
    /// Allocates only if there are several.
    fn of(mut entries: impl Iterator<Item = &'a ActorEntry>) -> Self {
        match (entries.next(), entries.next()) {
            (None, _) => Self::Nobody,
            (Some(one), None) => Self::One(one),
            (Some(one), Some(two)) => {
                Self::Several([one, two].into_iter().chain(entries).collect())
            }
        }
    }

    /// The next step of the search, if the ones before found nobody.
    fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Nobody => other(),
            found => found,
        }
    }

    /// The actors as a slice, empty for `Nobody`.
    pub(crate) fn entries(&self) -> &[&'a ActorEntry] {
        match self {
            Self::Nobody => &[],
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Several(entries) => entries,
        }
    }
}

impl Table {
    /// The actors with this name: by id, then public key, then call alias. An alias of another
    /// host's actor refers to the actors here with its public key. An id that never ran comes last.
    pub(crate) fn called(&self, name: &str) -> Called<'_> {
        let by_id = self.actors.get(name);
        if let Some(entry) = by_id.filter(|entry| entry.identity.is_some()) {
            return Called::One(entry);
        }
        let known = || {
            let key = self.remote_claims.by_alias(name);
            key.map_or(Called::Nobody, |key| self.linked_as(key.as_str()))
        };
        let unpublished = || by_id.map_or(Called::Nobody, Called::One);
        self.entries(self.names.keyed(name))
            .or_else(|| self.aliased(name))
            .or_else(unpublished)
            .or_else(known)
    }

    /// The actors that a link refers to by this name: an id or a public key.
    ///
    /// Links never use aliases: an alias may change its owner, and a link is a permission.
    pub(crate) fn linked_as(&self, name: &str) -> Called<'_> {
        match self.actors.get(name) {
            Some(entry) => Called::One(entry),
            None => self.entries(self.names.keyed(name)),
        }
    }

    /// The entries of some ids of an index.
    fn entries(&self, ids: &[Id]) -> Called<'_> {
        Called::of(ids.iter().filter_map(|id| self.actors.get(id)))
    }

    /// The actors of an alias. The alias belongs to the public key that claimed it first.
    ///
    /// Others that claim the same alias wait: they get it when the owner's last actor is gone.
    fn aliased(&self, alias: &str) -> Called<'_> {
        let ids = self.names.aliased(alias).iter();
        let mut entries = ids.filter_map(|id| self.actors.get(id)).peekable();
        let owner = entries.peek().and_then(|entry| entry.public_key());
        Called::of(entries.filter(|entry| entry.public_key() == owner))
    }

    /// One of these actors, which have the same name. An error if they differ in more than their
    /// ids.
    ///
    /// Of several that are alike, one that runs is preferred, and of these the one with the fewest
    /// calls.
    ///
    /// # Errors
    ///
    /// `unknown_target` if there is none, or if they differ. The second text names their ids.
    pub(crate) fn any_of<'a>(
        &self,
        entries: &[&'a ActorEntry],
        name: &str,
    ) -> Result<&'a ActorEntry, Error> {
        let (first, others) = match entries {
            [] => return Err(refusal::unknown_actor(name)),
            [one] => return Ok(one),
            [first, others @ ..] => (first, others),
        };
        if !others.iter().all(|other| self.are_alike(first, other)) {
            let ids = entries.iter().map(|entry| entry.actor.id.as_str());
            return Err(refusal::ambiguous(name, ids));
        }
        let busy = |entry: &&&ActorEntry| {
            let actor = &entry.actor;
            (actor.running().is_none(), actor.admission.running())
        };
        Ok(entries.iter().min_by_key(busy).copied().unwrap_or(first))
    }

    /// Whether two actors have the same settings and, except for their ids, the same links.
    ///
    /// The links are compared by a digest, in constant time. See `Links::are_alike`.
    fn are_alike(&self, one: &ActorEntry, other: &ActorEntry) -> bool {
        let (id, other_id) = (&one.actor.id, &other.actor.id);
        one.settings() == other.settings() && self.links.are_alike(id.as_str(), other_id.as_str())
    }

    /// Checks whether an actor may be published with this identity beside the others.
    ///
    /// # Errors
    ///
    /// `invalid_claims` if the id looks like a public key and is not the actor's. `conflict` if a
    /// provider has the key, or if an actor of another issuer has the key, the alias, or this id as
    /// its alias.
    pub(crate) fn check_names(&self, id: &Id, identity: &Identity) -> Result<(), Error> {
        let key = identity.public_key.as_deref();
        check_shape(id, key)?;
        let named = |names: &'_ [Id], name: &str| {
            let namesake = self.actors.get_key_value(name).map(|(id, _)| id);
            let foreign = |other: &&Id| self.is_foreign(other, id, identity);
            names.iter().chain(namesake).find(foreign).cloned()
        };
        if let Some(key) = key {
            self.check_providers(id, key)?;
            if let Some(other) = named(self.names.keyed(key), key) {
                return Err(self.taken("public key", key, id, &other));
            }
        }
        if let Some(alias) = identity.call_alias.as_deref()
            && let Some(other) = named(self.names.aliased(alias), alias)
        {
            return Err(self.taken("call alias", alias, id, &other));
        }
        let foreign = |other: &&Id| self.is_foreign(other, id, identity);
        match self.names.aliased(id.as_str()).iter().find(foreign) {
            Some(other) => Err(self.taken("id, as a call alias,", id.as_str(), id, other)),
            None => Ok(()),
        }
    }

    /// Why an alias that passed [`Self::check_names`] has no effect. This does not prevent the
    /// publication.
    pub(crate) fn refused_alias(&self, id: &Id, identity: &Identity) -> Option<(String, Error)> {
        let alias = identity.call_alias.clone()?;
        let error = if !is_alias(&alias) {
            refusal::no_alias(id, &alias)
        } else if self.actors.contains_key(alias.as_str()) && alias != id.as_str() {
            refusal::alias_is_an_id(id, &alias)
        } else {
            let entries = self.aliased(&alias);
            let owner = entries.entries().first()?;
            if owner.public_key() == identity.public_key.as_deref() {
                return None;
            }
            refusal::alias_waits(id, &alias, &owner.actor.id)
        };
        Some((alias, error))
    }

    /// Whether another actor was published by another issuer. An actor that never ran has no
    /// issuer, and is not foreign.
    fn is_foreign(&self, other: &Id, id: &Id, identity: &Identity) -> bool {
        let other = self.actors.get(other).filter(|entry| entry.actor.id != *id);
        let theirs = other.and_then(|entry| entry.identity.as_ref());
        theirs.is_some_and(|theirs| theirs.issuer != identity.issuer)
    }

    /// A key is either an actor's or a provider's: links name both by it.
    fn check_providers(&self, id: &Id, key: &str) -> Result<(), Error> {
        let Some(provider) = self.providers.find(key) else {
            return Ok(());
        };
        let whose = &provider.id;
        Err(Error::new(
            Code::Conflict,
            format!("the public key {key} of actor {id} is the id or the key of provider {whose}"),
        ))
    }

    /// The conflict, with the issuer of the actor that has the name.
    fn taken(&self, what: &str, name: &str, id: &Id, other: &Id) -> Error {
        let entry = self.actors.get(other);
        let issuer = entry.and_then(|entry| entry.identity.as_ref()?.issuer.as_deref());
        refusal::name_taken(what, name, id, other, issuer)
    }
}

/// Checks that an id in the form of a public key is the actor's own key.
///
/// Otherwise an actor could take the id of a key that is not its own, and get the calls and links
/// of that key.
fn check_shape(id: &Id, key: Option<&str>) -> Result<(), Error> {
    if !is_public_key(id.as_str()) || key == Some(id.as_str()) {
        return Ok(());
    }
    let key = key.unwrap_or("none");
    let detail = format!("actor {id} has the id of a public key, but its token's is {key}");
    Err(Error::new(Code::InvalidClaims, detail))
}
