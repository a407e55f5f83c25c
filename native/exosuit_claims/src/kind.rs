//! The kinds of keys, by the first letter of their texts.

use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident => $word:literal, $letter:literal, $nkey:ident;)*) => {
        /// The kinds of keys, by their purpose.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum KeyKind {
            $($(#[$doc])* $name,)*
        }

        impl KeyKind {
            /// Every kind there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The kind's name: `account`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// The first letter of its public keys, and the second of its seeds.
            pub const fn letter(self) -> char {
                match self {
                    $(Self::$name => $letter,)*
                }
            }

            pub(crate) fn nkey(self) -> nkeys::KeyPairType {
                match self {
                    $(Self::$name => nkeys::KeyPairType::$nkey,)*
                }
            }
        }
    };
}

kinds! {
    /// Signs modules and providers.
    Account => "account", 'A', Account;
    /// An actor.
    Module => "module", 'M', Module;
    /// A capability provider.
    Provider => "provider", 'V', Service;
    /// A host.
    Server => "server", 'N', Server;
    /// Signs invocations between hosts.
    Cluster => "cluster", 'C', Cluster;
    /// Signs accounts.
    Operator => "operator", 'O', Operator;
    /// A client of the bus, or of an API.
    User => "user", 'U', User;
}

impl KeyKind {
    /// The kind of public key in a text, by its letter and checksum. This takes a tenth of the time
    /// of [`crate::PublicKey::parse`], and suffices to tell kinds apart.
    ///
    /// ```
    /// use exosuit_claims::{KeyKind, KeyPair};
    ///
    /// let host = KeyPair::generate(KeyKind::Server);
    /// assert_eq!(KeyKind::of_key(host.public_key().as_str()), Some(KeyKind::Server));
    /// assert_eq!(KeyKind::of_key("N is for a server"), None);
    /// ```
    pub fn of_key(text: &str) -> Option<Self> {
        let (prefix, _) = nkeys::from_public_key(text).ok()?;
        Self::of_prefix(prefix)
    }

    /// The kind of a decoded prefix byte: its upper five bits are the letter in base32.
    pub(crate) fn of_prefix(prefix: u8) -> Option<Self> {
        let letter = char::from(b'A' + (prefix >> 3));
        let of_letter = |kind: &&Self| prefix.is_multiple_of(8) && kind.letter() == letter;
        Self::ALL.iter().find(of_letter).copied()
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
