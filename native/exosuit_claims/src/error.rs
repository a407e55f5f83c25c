//! The errors of keys, tokens and signed Wasm.

use std::time::{Duration, UNIX_EPOCH};

use crate::KeyKind;

/// Why a key, a token or a Wasm unit is refused. No text of it holds a seed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More bytes than are looked at.
    #[error("the {what} has {size} bytes, at most {limit} are allowed")]
    TooLarge {
        /// The thing that is too large.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The largest allowed size.
        limit: usize,
    },
    /// The bytes cannot be parsed.
    #[error("this is not a wasm module or component: {0}")]
    NotWasm(String),
    /// Components inside components, past all reason.
    #[error("components are nested more than {0} deep")]
    TooDeep(usize),
    /// There is no token.
    #[error("the module is not signed: it has no section wasmcloud_jwt or jwt")]
    Unsigned,
    /// There is more than one token.
    #[error("the module has {0} tokens, exactly one is allowed")]
    SeveralTokens(usize),
    /// A token stands in a module or component inside the outer one.
    #[error("a nested module or component has a token; only the outermost may have one")]
    NestedToken,
    /// The token cannot be read.
    #[error("the token is malformed: {0}")]
    MalformedToken(String),
    /// The token's header names another kind of token, or another algorithm.
    #[error(
        "the token's header says typ {typ:?} and alg {alg:?}, expected \"jwt\" and \"Ed25519\""
    )]
    UnsupportedToken {
        /// The kind of token, by the header.
        typ: String,
        /// The algorithm of the signature, by the header.
        alg: String,
    },
    /// The issuer is not an account.
    #[error("the token's issuer {0:?} is not the public key of an account (A…)")]
    InvalidIssuer(String),
    /// The subject is not a module.
    #[error("the token's subject {0:?} is not the public key of a module (M…)")]
    InvalidSubject(String),
    /// The token is for a provider.
    #[error("the token is for a capability provider (prov is true), not for an actor")]
    ProviderToken,
    /// The issuer did not sign this token.
    #[error("the token's signature is not that of its issuer {0}")]
    ForgedSignature(String),
    /// The token is for other bytes.
    #[error("the module is not what was signed: the token says hash {claimed:?}, it has {actual}")]
    WrongHash {
        /// The hash in the token.
        claimed: String,
        /// The hash of the bytes.
        actual: String,
    },
    /// The token is for another invocation.
    #[error(
        "the token is for another invocation: it says {what} {claimed:?}, the invocation has {actual:?}"
    )]
    WrongInvocation {
        /// In what they differ.
        what: &'static str,
        /// The value in the token.
        claimed: String,
        /// The value in the invocation.
        actual: String,
    },
    /// The token is not good any more.
    #[error("the token expired at {}", moment(*.0))]
    Expired(u64),
    /// The token is not good yet.
    #[error("the token is not valid before {}", moment(*.0))]
    NotYetValid(u64),
    /// The issuer is not trusted here.
    #[error("the token's issuer {0} is not trusted here")]
    UntrustedIssuer(String),
    /// A text is not a public key.
    #[error("{0:?} is not a public key: expected 56 characters of base32 with a valid checksum")]
    InvalidPublicKey(String),
    /// A text is not a seed.
    #[error(
        "not a valid seed: expected S, the letter of its kind and 56 more characters of base32"
    )]
    InvalidSeed,
    /// A text does not name a kind of key.
    #[error(
        "{0:?} is not a kind of key: expected account, module, provider, server, cluster, operator or user"
    )]
    InvalidKind(String),
    /// A key of another kind is needed.
    #[error("a key of kind {found} was given as the {role}, expected {expected}")]
    WrongKind {
        /// The role that the key was meant for.
        role: &'static str,
        /// The kind that is needed.
        expected: KeyKind,
        /// The kind that was given.
        found: KeyKind,
    },
    /// The claims of a draft are not valid.
    #[error("cannot be signed: {0}")]
    InvalidDraft(String),
    /// A bearer token is not good.
    #[error("the bearer token is refused: {0}")]
    InvalidBearer(String),
}

impl Error {
    /// The stable text, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::NotWasm(_) => "not_wasm",
            Self::TooDeep(_) => "too_deep",
            Self::Unsigned => "unsigned",
            Self::SeveralTokens(_) => "several_tokens",
            Self::NestedToken => "nested_token",
            Self::MalformedToken(_) => "malformed_token",
            Self::UnsupportedToken { .. } => "unsupported_token",
            Self::InvalidIssuer(_) => "invalid_issuer",
            Self::InvalidSubject(_) => "invalid_subject",
            Self::ProviderToken => "provider_token",
            Self::ForgedSignature(_) => "forged_signature",
            Self::WrongHash { .. } => "wrong_hash",
            Self::WrongInvocation { .. } => "wrong_invocation",
            Self::Expired(_) => "expired",
            Self::NotYetValid(_) => "not_yet_valid",
            Self::UntrustedIssuer(_) => "untrusted_issuer",
            Self::InvalidPublicKey(_) => "invalid_public_key",
            Self::InvalidSeed => "invalid_seed",
            Self::InvalidKind(_) => "invalid_kind",
            Self::WrongKind { .. } => "wrong_kind",
            Self::InvalidDraft(_) => "invalid_draft",
            Self::InvalidBearer(_) => "invalid_bearer",
        }
    }
}

/// As much of a text from outside as an error may quote.
pub(crate) fn clip(text: &str) -> String {
    const LENGTH: usize = 100;
    text.chars().take(LENGTH).collect()
}

/// The last second of the year 9999, past which a date has no usual form.
const LAST_DATE: u64 = 253_402_300_799;

/// A time as people read it: RFC 3339 in UTC, or the plain number where that has no date.
///
/// ```
/// assert_eq!(exosuit_claims::moment(1_700_000_000), "2023-11-14T22:13:20Z");
/// ```
pub fn moment(seconds: u64) -> String {
    if seconds > LAST_DATE {
        return format!("second {seconds} since 1970");
    }
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_has_a_text() {
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(LAST_DATE), "9999-12-31T23:59:59Z");
        assert_eq!(moment(u64::MAX), "second 18446744073709551615 since 1970");
    }
}
