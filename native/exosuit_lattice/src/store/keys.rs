//! The keys of the `data` bucket.
//!
//! | key | value | known to |
//! |---|---|---|
//! | `CLAIMS_<public key>` | `Claims` | hosts of both eras |
//! | `LINKDEF_<hash>` | `LinkDefinition` | hosts of the OTP era |
//! | `REFMAP_<reference in base64>` | `Reference` | hosts of both eras |
//! | `COMPONENT_<id>` | `Component` with its links | hosts of 1.x |
//!
//! Keys of other kinds are ignored, so that newer hosts may add some.

use data_encoding::{BASE64URL_NOPAD, HEXUPPER};
use sha2::{Digest, Sha256};

/// The id of a link of the OTP era: a hash of actor, contract and link name. All hosts compute the
/// same one.
///
/// SHA-256 over the three texts without separators, in upper-case hexadecimal. That is the format
/// of the OTP era, so different triples with the same concatenation share an id; names in practice
/// never do.
pub(crate) fn link_id(actor: &str, contract: &str, name: &str) -> String {
    let hash = Sha256::new()
        .chain_update(actor)
        .chain_update(contract)
        .chain_update(name);
    HEXUPPER.encode(&hash.finalize())
}

/// The things that keys of the `data` bucket refer to.
///
/// ```
/// use exosuit_lattice::Key;
///
/// let key = Key::Reference("example.com/echo:0.1".to_owned());
/// assert_eq!(key.to_string(), "REFMAP_ZXhhbXBsZS5jb20vZWNobzowLjE");
/// assert_eq!(Key::parse(&key.to_string()), Some(key));
///
/// assert_eq!(Key::parse("CLAIMS_MABC"), Some(Key::Claims("MABC".to_owned())));
/// assert_eq!(Key::parse("SOMETHING_ELSE"), None);
///
/// // All hosts compute the same id for a link.
/// let link = Key::link("MABC", "wasmcloud:keyvalue", "default");
/// assert!(matches!(&link, Key::Link(id) if id.len() == 64));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The claims of this public key.
    Claims(String),
    /// The link of the OTP era with this id.
    Link(String),
    /// The public key of the image with this reference.
    Reference(String),
    /// The links of this component of 1.x.
    Component(String),
}

const CLAIMS: &str = "CLAIMS_";
const LINK: &str = "LINKDEF_";
const REFERENCE: &str = "REFMAP_";
const COMPONENT: &str = "COMPONENT_";

impl Key {
    /// Parses a key. `None` for a key of another kind.
    ///
    /// Also `None` for a prefix without a rest, and for a reference that is not base64 of UTF-8.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = |prefix| {
            text.strip_prefix(prefix)
                .filter(|rest: &&str| !rest.is_empty())
                .map(str::to_owned)
        };
        if let Some(public_key) = rest(CLAIMS) {
            return Some(Self::Claims(public_key));
        }
        if let Some(id) = rest(LINK) {
            return Some(Self::Link(id));
        }
        if let Some(id) = rest(COMPONENT) {
            return Some(Self::Component(id));
        }
        let reference = BASE64URL_NOPAD.decode(rest(REFERENCE)?.as_bytes()).ok()?;
        String::from_utf8(reference).ok().map(Self::Reference)
    }

    /// The key of the link of the OTP era that joins these.
    pub fn link(actor: &str, contract: &str, name: &str) -> Self {
        Self::Link(link_id(actor, contract, name))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Claims(public_key) => write!(f, "{CLAIMS}{public_key}"),
            Self::Link(id) => write!(f, "{LINK}{id}"),
            Self::Reference(reference) => write!(
                f,
                "{REFERENCE}{}",
                BASE64URL_NOPAD.encode(reference.as_bytes())
            ),
            Self::Component(id) => write!(f, "{COMPONENT}{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_links_id_is_that_of_the_peers() {
        assert_eq!(
            Key::link("Mbob", "wasmcloud:testy", "default").to_string(),
            "LINKDEF_B40411AD09B70A2C83D59923584F66BA2C5A3C274DC4F19416DA49CCD6531F9C"
        );
    }

    #[test]
    fn what_is_not_ours_is_no_key() {
        for text in ["", "CLAIMS_", "claims_M", "REFMAP_*", "REFMAP_gA", "x"] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_key_is_read_as_it_was_written(text in "[A-Za-z0-9_-]{1,60}", reference in ".{1,60}") {
            let keys = [Key::Claims(text.clone()), Key::Link(text.clone()), Key::Component(text), Key::Reference(reference)];
            for key in keys {
                prop_assert_eq!(Key::parse(&key.to_string()), Some(key));
            }
        }
    }
}
