//! By what else actors may be called: their public keys and call aliases.

use std::collections::HashMap;

use exosuit_core::{Code, Error, Id, Identity};

/// Both belong to the entry: they last while the actor's process restarts.
#[derive(Default)]
pub(crate) struct Names {
    keys: HashMap<String, Id>,
    /// Who claims an alias, in the order of claiming. The first has it; the next inherits it.
    aliases: HashMap<String, Vec<Id>>,
}

/// Whether a text is an actor's public key, by its shape.
pub(crate) fn is_public_key(text: &str) -> bool {
    text.len() == KEY_LENGTH && text.starts_with('M')
}

/// Whether a text is a provider's key, by its shape.
pub(crate) fn is_provider_key(text: &str) -> bool {
    text.len() == KEY_LENGTH && text.starts_with('V')
}

const KEY_LENGTH: usize = 56;

/// The names by which links may know an actor or a provider: its id, and its key if that is another.
pub(crate) fn both<'a>(
    id: &'a Id,
    key: Option<&'a str>,
) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
    let key = key.filter(|key| *key != id.as_str());
    std::iter::once(id.as_str()).chain(key)
}

impl Names {
    /// Who is called so.
    pub(crate) fn find(&self, name: &str) -> Option<&Id> {
        self.keys.get(name).or_else(|| self.claimant(name))
    }

    /// Who has this call alias.
    pub(crate) fn claimant(&self, alias: &str) -> Option<&Id> {
        self.aliases.get(alias)?.first()
    }

    /// Who has this public key.
    pub(crate) fn holder(&self, key: &str) -> Option<&Id> {
        self.keys.get(key)
    }

    /// Gives an actor the names of its token in place of those of its last. The public key must be
    /// free or its own; an alias that it does not get is the error, and no obstacle.
    pub(crate) fn change(
        &mut self,
        id: &Id,
        old: Option<&Identity>,
        new: &Identity,
    ) -> Result<(), Error> {
        if let Some(old) = old {
            let same_alias = old.call_alias == new.call_alias;
            self.release(
                id,
                old.public_key.as_ref(),
                old.call_alias.as_ref().filter(|_| !same_alias),
            );
        }
        if let Some(key) = &new.public_key {
            self.keys.insert(key.clone(), id.clone());
        }
        match &new.call_alias {
            Some(alias) => self.claim(id, alias),
            None => Ok(()),
        }
    }

    /// Takes an actor's names away.
    pub(crate) fn forget(&mut self, id: &Id, identity: &Identity) {
        self.release(
            id,
            identity.public_key.as_ref(),
            identity.call_alias.as_ref(),
        );
    }

    fn release(&mut self, id: &Id, key: Option<&String>, alias: Option<&String>) {
        if let Some(key) = key {
            self.keys.remove(key);
        }
        if let Some((alias, claimants)) =
            alias.and_then(|a| self.aliases.get_mut(a).map(|c| (a, c)))
        {
            claimants.retain(|claimant| claimant != id);
            if claimants.is_empty() {
                self.aliases.remove(alias);
            }
        }
    }

    fn claim(&mut self, id: &Id, alias: &str) -> Result<(), Error> {
        // An alias in the shape of a contract or a key would catch calls meant for those.
        if Id::parse(alias).is_err() || is_public_key(alias) {
            let rule = "is none: letters, digits, _ and - are allowed, and not the form of a key";
            return Err(Error::new(
                Code::InvalidInput,
                format!("the call alias {alias:?} of actor {id} {rule}"),
            ));
        }
        let claimants = self.aliases.entry(alias.to_owned()).or_default();
        if !claimants.contains(id) {
            claimants.push(id.clone());
        }
        match claimants.first() {
            Some(first) if first != id => Err(Error::new(
                Code::Conflict,
                format!("the call alias {alias:?} of actor {id} belongs to actor {first}"),
            )),
            _ => Ok(()),
        }
    }
}
