//! nkeys: Ed25519 keys whose text says their purpose.
//!
//! A [`KeyPair`] signs, and its seed is secret. A [`PublicKey`] verifies, and serves as a name.

use std::fmt;
use std::str::FromStr;

use curve25519_dalek::edwards::EdwardsPoint;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::clip;
use crate::{Error, KeyKind};

impl FromStr for KeyKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let kind = Self::ALL.iter().find(|kind| kind.as_str() == text);
        kind.copied().ok_or_else(|| Error::InvalidKind(clip(text)))
    }
}

/// A parsed public key: its text and checksum are valid, and it is a point of the curve.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyKind,
    text: String,
    key: VerifyingKey,
}

impl PublicKey {
    /// Parses the text of a key: `A…`, `M…` and so on.
    ///
    /// ```
    /// use exosuit_claims::{KeyKind, KeyPair, PublicKey};
    ///
    /// let pair = KeyPair::generate(KeyKind::Account);
    /// let key = PublicKey::parse(pair.public_key().as_str())?;
    /// assert_eq!((key.kind(), &key), (KeyKind::Account, pair.public_key()));
    /// assert!(PublicKey::parse("AB").is_err());
    /// # Ok::<(), exosuit_claims::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, Error> {
        let invalid = || Error::InvalidPublicKey(clip(text));
        let (prefix, bytes) = nkeys::from_public_key(text).map_err(|_| invalid())?;
        Ok(Self {
            kind: KeyKind::of_prefix(prefix).ok_or_else(invalid)?,
            text: text.to_owned(),
            key: VerifyingKey::from_bytes(&bytes).map_err(|_| invalid())?,
        })
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the owner of the key signed this message.
    ///
    /// The check is strict: weak keys, for which anybody can sign, verify nothing.
    ///
    /// ```
    /// use exosuit_claims::{KeyKind, KeyPair};
    ///
    /// let pair = KeyPair::generate(KeyKind::Cluster);
    /// let signature = pair.sign(b"a call");
    /// assert!(pair.public_key().verify(b"a call", &signature));
    /// assert!(!pair.public_key().verify(b"another", &signature));
    /// ```
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }

    /// Returns an error if the key has another kind than `role` needs.
    pub fn require(&self, role: &'static str, expected: KeyKind) -> Result<(), Error> {
        let found = self.kind;
        if found == expected {
            return Ok(());
        }
        Err(Error::WrongKind {
            role,
            expected,
            found,
        })
    }

    /// The secret and the public half, 32 bytes each.
    pub(crate) fn to_bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    pub(crate) fn point(&self) -> EdwardsPoint {
        self.key.into()
    }

    #[cfg(test)]
    pub(crate) fn of(kind: KeyKind, key: VerifyingKey) -> Self {
        let text = String::new();
        Self { kind, text, key }
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Separates derived keys from all other hashes. A change would rename every provider.
const DERIVED: &str = "exosuit derived key 1:";

/// A key pair. Its secret half is overwritten when it is dropped, and `Debug` does not show it.
pub struct KeyPair {
    public: PublicKey,
    seed: Zeroizing<String>,
    signing: SigningKey,
}

impl KeyPair {
    /// Generates a key from the system's randomness.
    pub fn generate(kind: KeyKind) -> Self {
        Self::of(kind, &nkeys::KeyPair::new(kind.nkey()))
    }

    /// Derives a key from a text, the same on every host. It serves as a name only: anyone who
    /// knows the text can sign with it.
    ///
    /// ```
    /// use exosuit_claims::{KeyKind, KeyPair};
    ///
    /// let derive = |text| KeyPair::derive(KeyKind::Provider, text).public_key().clone();
    /// assert_eq!(derive("keyvalue"), derive("keyvalue"));
    /// assert_ne!(derive("keyvalue"), derive("messaging"));
    /// ```
    pub fn derive(kind: KeyKind, text: &str) -> Self {
        let hash = Sha256::new().chain_update(DERIVED).chain_update(text);
        Self::of_secret(kind, hash.finalize().into())
    }

    /// The key pair of a seed: `SA…`, `SM…` and so on. The error does not repeat the text.
    ///
    /// ```
    /// use exosuit_claims::{KeyKind, KeyPair};
    ///
    /// let pair = KeyPair::generate(KeyKind::Module);
    /// assert_eq!(KeyPair::from_seed(pair.seed())?.public_key(), pair.public_key());
    /// assert!(KeyPair::from_seed(pair.public_key().as_str()).is_err());
    /// assert!(!format!("{pair:?}").contains(pair.seed()));
    /// # Ok::<(), exosuit_claims::Error>(())
    /// ```
    pub fn from_seed(seed: &str) -> Result<Self, Error> {
        let (prefix, secret) = nkeys::decode_seed(seed).map_err(|_| Error::InvalidSeed)?;
        let kind = KeyKind::of_prefix(prefix).ok_or(Error::InvalidSeed)?;
        let pair = nkeys::KeyPair::new_from_raw(kind.nkey(), secret);
        Ok(Self::of(kind, &pair.map_err(|_| Error::InvalidSeed)?))
    }

    fn of_secret(kind: KeyKind, secret: [u8; 32]) -> Self {
        let pair = nkeys::KeyPair::new_from_raw(kind.nkey(), secret);
        Self::of(kind, &pair.expect("any 32 bytes are a seed"))
    }

    fn of(kind: KeyKind, pair: &nkeys::KeyPair) -> Self {
        const WHY: &str = "the pair was made from a seed";
        let seed = Zeroizing::new(pair.seed().expect(WHY));
        let secret = Zeroizing::new(nkeys::decode_seed(&seed).expect(WHY).1);
        let signing = SigningKey::from_bytes(&secret);
        let public = PublicKey {
            kind,
            text: pair.public_key(),
            key: signing.verifying_key(),
        };
        Self {
            public,
            seed,
            signing,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        self.public.kind
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The secret half. It must not reach a log, an error or an event.
    pub fn seed(&self) -> &str {
        &self.seed
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }

    /// Secret and public half, 32 bytes each.
    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; 64]> {
        Zeroizing::new(self.signing.to_keypair_bytes())
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public)
    }
}
