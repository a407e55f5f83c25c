//! Names that are parsed once, so that the inside never sees a bad one.

use std::fmt;
use std::sync::Arc;

/// The longest name: well past every nkey (56) and `<app>-<component>`, and no burden on a subject.
const MAX_LENGTH: usize = 255;

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
    /// What an actor or a provider is called on a host: a component id, or a public key.
    Id,
    "id"
);

name!(
    /// The name of a link, [`LinkName::DEFAULT`] unless an actor has several for one contract.
    LinkName,
    "link name"
);

impl LinkName {
    /// The name of a link that was given none.
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
/// A contract of the OTP era with more than one colon keeps the rest in its package
/// (`wasmcloud:builtin:logging` is namespace `wasmcloud`, package `builtin:logging`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Contract {
    text: Arc<str>,
    colon: usize,
}

impl Contract {
    /// Parses `namespace:package`.
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
    fn an_error_quotes_little_of_a_long_text() {
        let error = Id::parse(&"x.".repeat(1_000)).expect_err("too long");
        assert!(error.to_string().len() < 200);
    }
}
