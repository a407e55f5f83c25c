//! The keys of providers without a token: built-in ones, and Elixir modules.

use crate::{KeyKind, KeyPair, PublicKey};

/// The key of a provider, the same on every host that runs it.
///
/// It is derived from the provider's reference. Several providers of one reference have different
/// ids, so the id is hashed, too, unless it is the name in the reference or the key itself.
///
/// ```
/// use exosuit_claims::provider_key;
///
/// let reference = "wasmcloud+builtin://keyvalue";
/// let key = provider_key(reference, "keyvalue");
/// assert_eq!(provider_key(reference, "keyvalue"), key);
/// assert_eq!(provider_key(reference, key.as_str()), key);
/// assert_ne!(provider_key(reference, "sessions"), key);
/// ```
pub fn provider_key(reference: &str, id: &str) -> PublicKey {
    let key = |text: &str| {
        KeyPair::derive(KeyKind::Provider, text)
            .public_key()
            .clone()
    };
    let plain = key(reference);
    if id == name(reference) || id == plain.as_str() {
        return plain;
    }
    key(&format!("{reference}#{id}"))
}

fn name(reference: &str) -> &str {
    reference
        .split_once("://")
        .map_or(reference, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYVALUE: &str = "wasmcloud+builtin://keyvalue";

    #[test]
    fn one_that_goes_by_its_name_or_its_key_has_the_key_of_its_reference() {
        let key = provider_key(KEYVALUE, "keyvalue");
        assert_eq!(
            key,
            *KeyPair::derive(KeyKind::Provider, KEYVALUE).public_key()
        );
        assert_eq!(provider_key(KEYVALUE, key.as_str()), key);
    }

    #[test]
    fn others_of_the_same_reference_have_keys_of_their_own() {
        let key = provider_key(KEYVALUE, "sessions");
        let text = "wasmcloud+builtin://keyvalue#sessions";
        assert_eq!(key, *KeyPair::derive(KeyKind::Provider, text).public_key());
        assert_ne!(key, provider_key(KEYVALUE, "keyvalue"));
        assert_ne!(key, provider_key("exosuit+module://keyvalue", "sessions"));
    }
}
