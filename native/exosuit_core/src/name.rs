//! Names. They are parsed once, so the inside never sees an invalid one.
//!
//! This is the one parser of ids, names of links, contracts, aliases, interfaces and names of
//! configurations. Manifests, the command line, the control socket, both control interfaces,
//! records of a lattice and the functions of Elixir all use it ([`check_name`]).
//!
//! ```
//! use exosuit_core::{Contract, Id};
//!
//! assert!(Id::parse("counter").is_ok());
//! assert!(Id::parse("my counter").is_err());
//! assert_eq!(Contract::parse("wasi:keyvalue")?.package(), "keyvalue");
//! # Ok::<(), exosuit_core::InvalidName>(())
//! ```

use std::fmt;
use std::sync::Arc;

/// The longest name. nkeys have 56 characters, and `<app>-<component>` fits, too.
const MAX_LENGTH: usize = 255;

/// The longest key of a bucket: a prefix and a name.
const MAX_KEY: usize = 1_024;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?} is not valid: {rule}")]
pub struct InvalidName {
    kind: &'static str,
    text: String,
    rule: &'static str,
}

impl InvalidName {
    fn new(kind: &'static str, text: &str, rule: &'static str) -> Self {
        Self {
            kind,
            text: text.chars().take(64).collect(),
            rule,
        }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name: 1 to 255 of `A-Z a-z 0-9 _ -`, so that it is one token of a subject.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                const RULE: &str = "1 to 255 characters of A-Z, a-z, 0-9, _ and - are allowed";
                if (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(is_name_byte) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName::new($kind, text, RULE))
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The name of an actor or a provider on a host: a component id, or a public key.
    Id,
    "id"
);

name!(
    /// The name of a link, [`LinkName::DEFAULT`] unless an actor has several for one contract.
    LinkName,
    "link name"
);

name!(
    /// An interface of a package, `incoming-handler`.
    Interface,
    "interface"
);

impl LinkName {
    /// The name of a link without a name.
    pub const DEFAULT: &str = "default";
}

impl Default for LinkName {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// A capability: namespace and package, `wasmcloud:keyvalue`.
///
/// In a contract of the OTP era with more than one colon, the rest belongs to the package:
/// `wasmcloud:builtin:logging` has namespace `wasmcloud` and package `builtin:logging`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Contract {
    text: Arc<str>,
    colon: usize,
}

impl Contract {
    /// Parses `namespace:package`.
    ///
    /// ```
    /// use exosuit_core::Contract;
    ///
    /// let logging = Contract::parse("wasmcloud:builtin:logging")?;
    /// assert_eq!((logging.namespace(), logging.package()), ("wasmcloud", "builtin:logging"));
    /// let error = Contract::parse("keyvalue").expect_err("it has no namespace");
    /// assert!(error.to_string().contains("expected namespace:package"));
    /// # Ok::<(), exosuit_core::InvalidName>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        const RULE: &str = "expected namespace:package of A-Z, a-z, 0-9, _, - and . (255 at most)";
        let error = || InvalidName::new("contract", text, RULE);
        let (namespace, package) = text.split_once(':').ok_or_else(error)?;
        let part =
            |part: &str| !part.is_empty() && part.bytes().all(|b| is_name_byte(b) || b == b'.');
        if text.len() <= MAX_LENGTH && part(namespace) && package.split(':').all(part) {
            Ok(Self {
                text: text.into(),
                colon: namespace.len(),
            })
        } else {
            Err(error())
        }
    }

    /// Joins a namespace and a package. A package may have colons, a namespace may not.
    ///
    /// ```
    /// use exosuit_core::Contract;
    ///
    /// assert_eq!(Contract::of("wasi", "keyvalue")?.as_str(), "wasi:keyvalue");
    /// assert!(Contract::of("wasi:http", "types").is_err());
    /// # Ok::<(), exosuit_core::InvalidName>(())
    /// ```
    pub fn of(namespace: &str, package: &str) -> Result<Self, InvalidName> {
        const RULE: &str = "expected A-Z, a-z, 0-9, _, - and ., without a colon";
        if namespace.contains(':') {
            return Err(InvalidName::new("namespace", namespace, RULE));
        }
        Self::parse(&format!("{namespace}:{package}"))
    }

    /// `wasmcloud` of `wasmcloud:keyvalue`.
    pub fn namespace(&self) -> &str {
        &self.text[..self.colon]
    }

    /// `keyvalue` of `wasmcloud:keyvalue`.
    pub fn package(&self) -> &str {
        &self.text[self.colon + 1..]
    }

    /// The whole: `wasmcloud:keyvalue`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// A name that other actors may call an actor by, besides its id and public key. Tokens may have
/// any text (`wasmcloud/ponger`); this is one line of bounded length.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Alias(Arc<str>);

impl Alias {
    /// Parses an alias.
    ///
    /// ```
    /// use exosuit_core::Alias;
    ///
    /// assert!(Alias::parse("wasmcloud/ponger").is_ok());
    /// assert!(Alias::parse("two\nlines").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        const RULE: &str = "1 to 255 bytes without control characters are allowed";
        let in_bounds = (1..=MAX_LENGTH).contains(&text.len());
        if in_bounds && !text.chars().any(char::is_control) {
            return Ok(Self(text.into()));
        }
        Err(InvalidName::new("call alias", text, RULE))
    }

    /// The alias as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a configuration that the hosts of a lattice share. It is a key of their bucket.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConfigurationName(Arc<str>);

impl ConfigurationName {
    /// Parses a name: parts of `A-Z a-z 0-9 _ = / -` with dots between them.
    ///
    /// ```
    /// use exosuit_core::ConfigurationName;
    ///
    /// assert!(ConfigurationName::parse("shop.tenant-a").is_ok());
    /// assert!(ConfigurationName::parse("shop..tenant").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        const RULE: &str = "1 to 255 characters of A-Z, a-z, 0-9, _, =, /, - and . are allowed, and no dot \
                            at an end or beside another";
        if text.len() <= MAX_LENGTH && is_key(text) {
            return Ok(Self(text.into()));
        }
        Err(InvalidName::new("configuration name", text, RULE))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a bucket accepts the key. A key becomes a part of a subject, so other texts could change
/// the protocol of the connection.
fn is_key(text: &str) -> bool {
    let is_good = |b: u8| is_name_byte(b) || matches!(b, b'=' | b'/');
    let part = |part: &str| !part.is_empty() && part.bytes().all(is_good);
    text.split('.').all(part)
}

fn check_key(text: &str) -> Result<(), InvalidName> {
    const RULE: &str = "1 to 1024 characters of A-Z, a-z, 0-9, _, =, /, - and . are allowed";
    if text.len() <= MAX_KEY && is_key(text) {
        return Ok(());
    }
    Err(InvalidName::new("key", text, RULE))
}

/// Checks a text as a name of this kind. `None` for an unknown kind.
///
/// ```
/// use exosuit_core::check_name;
///
/// assert_eq!(check_name("link_name", "default"), Some(Ok(())));
/// assert!(check_name("id", "two words").is_some_and(|checked| checked.is_err()));
/// assert_eq!(check_name("planet", "mars"), None);
/// ```
pub fn check_name(kind: &str, text: &str) -> Option<Result<(), InvalidName>> {
    Some(match kind {
        "id" => Id::parse(text).map(drop),
        "link_name" => LinkName::parse(text).map(drop),
        "interface" => Interface::parse(text).map(drop),
        "contract" => Contract::parse(text).map(drop),
        "namespace" => Contract::of(text, "a").map(drop),
        // `builtin:logging` has a colon, too.
        "package" => Contract::of("a", text).map(drop),
        "alias" => Alias::parse(text).map(drop),
        "configuration" => ConfigurationName::parse(text).map(drop),
        "key" => check_key(text),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_token_of_a_subject() {
        for good in [
            "a",
            "counter-counter",
            "MCFMFDWFHGKELOXPCNCDXKK5OFLHBVEWRAOXR5JSQUD2TOFRE3DFPM7E",
        ] {
            assert_eq!(
                Id::parse(good).map(|id| id.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in ["", "a.b", "*", ">", "a b", "é", "a\n", &"a".repeat(256)] {
            assert!(Id::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_contract_is_split_at_its_first_colon() {
        let contract = Contract::parse("wasmcloud:builtin:logging").expect("a contract");
        assert_eq!(
            (contract.namespace(), contract.package()),
            ("wasmcloud", "builtin:logging")
        );

        for bad in ["", "wasmcloud", ":a", "a:", "a::b", "a:b/c", "a:b c", "a:*"] {
            assert!(Contract::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_namespace_has_no_colon_and_a_package_may() {
        assert!(Contract::of("wasmcloud", "builtin:logging").is_ok());
        assert!(Contract::of("wasmcloud:builtin", "logging").is_err());
        assert!(Contract::of("wasi", "").is_err());
    }

    #[test]
    fn an_alias_is_what_a_token_may_say() {
        for good in ["ponger", "wasmcloud/ponger", "Größe 1", "a.b:c"] {
            assert!(Alias::parse(good).is_ok(), "{good:?} was refused");
        }
        for bad in ["", "a\nb", &"a".repeat(256)] {
            assert!(Alias::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_configuration_is_called_by_a_key_of_the_store() {
        for good in ["db", "app/db=1", "a.b-c_d", "sha256-00"] {
            assert!(
                ConfigurationName::parse(good).is_ok(),
                "{good:?} was refused"
            );
        }
        for bad in ["", ".", "a.", "a..b", "a b", "*", "é", &"a".repeat(256)] {
            assert!(ConfigurationName::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_key_steers_no_connection() {
        assert_eq!(check_name("key", "COMPONENT_a-b.c"), Some(Ok(())));
        for bad in [
            "",
            "COMPONENT_a b",
            "a\r\nPUB x 0",
            "a.>",
            "a.*",
            &"a".repeat(1_025),
        ] {
            assert!(
                check_name("key", bad).is_some_and(|it| it.is_err()),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_name_is_checked_by_its_kind() {
        assert_eq!(check_name("package", "builtin:logging"), Some(Ok(())));
        assert!(check_name("namespace", "wasmcloud:builtin").is_some_and(|it| it.is_err()));
        assert_eq!(check_name("color", "red"), None);
    }

    #[test]
    fn an_error_quotes_little_of_a_long_text() {
        let error = Id::parse(&"x.".repeat(1_000)).expect_err("too long");
        assert!(error.to_string().len() < 200);
    }
}
