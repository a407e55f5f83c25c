//! The other names of actors: their public keys and call aliases.

use std::collections::HashMap;

use exosuit_core::{Contract, Id, Identity};

/// The names of the tokens, each with the actors that have it, in the order in which they came. They
/// belong to the entry of an actor: they last while its process restarts, and until it is forgotten.
///
/// One signed image may run under several ids, so a name may have several entries. Who may have a
/// name beside others is decided in `naming`.
///
/// The first actor of an alias owns it. If it leaves, the next one in the order does.
#[derive(Default)]
pub(crate) struct Names {
    /// Public keys of tokens, `M…`.
    keys: Index,
    /// Call aliases that are valid; others are ignored.
    aliases: Index,
}

/// The holders of each name, in the order in which they came. A name without holders has no entry.
#[derive(Default)]
struct Index(HashMap<String, Vec<Id>>);

/// Whether a text is an actor's public key, by its shape.
///
/// The checksum is not verified: it is only used to tell names of different kinds apart.
pub(crate) fn is_public_key(text: &str) -> bool {
    text.len() == KEY_LENGTH && text.starts_with('M')
}

/// Whether a text is a provider's key, by its shape.
pub(crate) fn is_provider_key(text: &str) -> bool {
    text.len() == KEY_LENGTH && text.starts_with('V')
}

/// Whether a text can be a call alias: ASCII without spaces, slashes among it (`wasmcloud/ponger`).
/// An alias in the shape of a contract or a key would catch calls that are meant for those.
pub(crate) fn is_alias(text: &str) -> bool {
    (1..=MAX_ALIAS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !is_public_key(text)
        && !is_provider_key(text)
        && Contract::parse(text).is_err()
}

/// The length of an nkey in base 32, with its prefix.
const KEY_LENGTH: usize = 56;
/// In bytes. Errors quote as much of a guest's text, so an alias is never cut there.
const MAX_ALIAS: usize = 255;

/// The names by which links may know an actor or a provider: its id, and its key if that is another.
///
/// Many actors have their key as id. Then there is one name, and a look-up is not done twice.
pub(crate) fn both<'a>(
    id: &'a Id,
    key: Option<&'a str>,
) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
    let key = key.filter(|key| *key != id.as_str());
    std::iter::once(id.as_str()).chain(key)
}

impl Names {
    /// The actors that have this public key.
    pub(crate) fn keyed(&self, key: &str) -> &[Id] {
        self.keys.get(key)
    }

    /// The actors that claim this call alias. It belongs to the first.
    pub(crate) fn aliased(&self, alias: &str) -> &[Id] {
        self.aliases.get(alias)
    }

    /// Replaces the names of an actor by those of its new token. A name that stays keeps its place in
    /// the order.
    pub(crate) fn change(&mut self, id: &Id, old: Option<&Identity>, new: &Identity) {
        let key = |identity: &Identity| identity.public_key.clone();
        self.keys
            .change(id, old.and_then(key), new.public_key.as_ref());
        self.aliases
            .change(id, old.and_then(alias), alias(new).as_ref());
    }

    /// Removes the names of an actor.
    pub(crate) fn forget(&mut self, id: &Id, identity: &Identity) {
        self.keys.change(id, identity.public_key.clone(), None);
        self.aliases.change(id, alias(identity), None);
    }
}

/// The alias of an identity, if it is valid.
fn alias(identity: &Identity) -> Option<String> {
    identity.call_alias.clone().filter(|alias| is_alias(alias))
}

impl Index {
    /// The holders of a name; empty if there are none.
    fn get(&self, name: &str) -> &[Id] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Takes `old` from an actor and gives it `new`. If both are the same, its place does not
    /// change.
    fn change(&mut self, id: &Id, old: Option<String>, new: Option<&String>) {
        if let Some(old) = old.filter(|old| Some(old) != new) {
            self.remove(id, &old);
        }
        if let Some(new) = new {
            let holders = self.0.entry(new.clone()).or_default();
            if !holders.contains(id) {
                holders.push(id.clone());
            }
        }
    }

    /// Takes a name from one holder.
    fn remove(&mut self, id: &Id, name: &str) {
        if let Some(holders) = self.0.get_mut(name) {
            holders.retain(|holder| holder != id);
            if holders.is_empty() {
                self.0.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_what_signers_write_and_nothing_that_means_something_else() {
        for good in ["pong", "wasmcloud/ponger", "a_b", "a.b"] {
            assert!(is_alias(good), "{good:?} was refused");
        }
        let key = format!("M{}", "A".repeat(55));
        let long = "a".repeat(256);
        for bad in ["", "a b", "é", "a\n", "wasmcloud:keyvalue", &key, &long] {
            assert!(!is_alias(bad), "{bad:?} was taken");
        }
    }
}
