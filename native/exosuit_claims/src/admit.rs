//! The one entrance for Wasm: the checks before a module may run.

use std::collections::BTreeSet;

use crate::sign::WASCAP_REVISION;
use crate::token::Token;
use crate::wasm::Unit;
use crate::{Claims, Error, KeyKind, PublicKey};

/// The demands of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The accounts whose signatures are accepted.
    pub issuers: Issuers,
    /// Whether Wasm without a token is admitted.
    pub unsigned: Unsigned,
    /// Whether a wrong hash in an old token is an error.
    pub legacy_hash: LegacyHash,
}

impl Policy {
    /// Only Wasm that is signed by one of these accounts, with all checks.
    pub fn strict(issuers: Issuers) -> Self {
        Self {
            issuers,
            unsigned: Unsigned::Deny,
            legacy_hash: LegacyHash::Check,
        }
    }
}

/// The accounts whose signatures are accepted. There is no default: the operator of a host must
/// choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issuers {
    /// All accounts.
    Any,
    /// These accounts.
    Only(BTreeSet<PublicKey>),
}

impl Issuers {
    /// Only these accounts, by their public keys (`A…`).
    pub fn only<T: AsRef<str>>(accounts: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        let account = |text: T| {
            let key = PublicKey::parse(text.as_ref())?;
            key.require("trusted issuer", KeyKind::Account)?;
            Ok(key)
        };
        accounts
            .into_iter()
            .map(account)
            .collect::<Result<_, _>>()
            .map(Self::Only)
    }

    fn trust(&self, issuer: &PublicKey) -> bool {
        match self {
            Self::Any => true,
            Self::Only(accounts) => accounts.contains(issuer),
        }
    }
}

/// Whether Wasm without a token is admitted. A token that is not valid never counts as no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// It is refused.
    Deny,
    /// It is admitted, and its links are its only grant.
    Allow,
}

/// Whether a wrong hash is an error in a token from before readers checked it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegacyHash {
    /// It is an error, as in every token.
    Check,
    /// It is ignored, as the old host did. Such a token can be moved to another module.
    Ignore,
}

/// Wasm that was admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It has a token that passed all checks.
    Signed(Box<Claims>),
    /// Without a token, where that is allowed.
    Unsigned,
}

/// The claims in a token, whether or not they are valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The claims.
    pub claims: Claims,
    /// Whether the Wasm would be admitted, or why not.
    pub verdict: Result<(), Error>,
}

/// Admits a module or a component, or returns the reason of the refusal.
///
/// It must have exactly one token, at its outermost level, and signature, hash, times and issuer
/// must be valid at `now` (Unix seconds). The compiler checks whether it is valid Wasm.
pub fn admit(wasm: &[u8], policy: &Policy, now: u64) -> Result<Admitted, Error> {
    let unit = Unit::parse(wasm)?;
    match token_of(&unit)? {
        Some(token) => {
            check(&unit, &token, policy, now)?;
            Ok(Admitted::Signed(Box::new(token.body.into())))
        }
        None if policy.unsigned == Unsigned::Allow => Ok(Admitted::Unsigned),
        None => Err(Error::Unsigned),
    }
}

/// Reads the claims in a token, and checks them without a consequence.
///
/// Returns an error if there are no claims: no token, or one that cannot be decoded.
///
/// ```
/// use exosuit_claims::{Draft, Issuers, KeyKind, KeyPair, Policy, inspect, sign};
///
/// let (account, module) = (KeyPair::generate(KeyKind::Account), KeyPair::generate(KeyKind::Module));
/// let draft = Draft::new(module.public_key().clone(), "echo");
/// let signed = sign(b"\0asm\x01\0\0\0", &draft, &account, 1_700_000_000)?;
///
/// let nobody = Policy::strict(Issuers::only::<&str>([])?);
/// let inspection = inspect(&signed, &nobody, 1_700_000_001)?;
/// assert_eq!(inspection.claims.name.as_deref(), Some("echo"));
/// assert!(inspection.verdict.is_err(), "its issuer is not trusted");
/// # Ok::<(), exosuit_claims::Error>(())
/// ```
pub fn inspect(wasm: &[u8], policy: &Policy, now: u64) -> Result<Inspection, Error> {
    let unit = Unit::parse(wasm)?;
    let token = token_of(&unit)?.ok_or(Error::Unsigned)?;
    let verdict = check(&unit, &token, policy, now);
    Ok(Inspection {
        claims: token.body.into(),
        verdict,
    })
}

fn token_of(unit: &Unit) -> Result<Option<Token>, Error> {
    if unit.nested {
        return Err(Error::NestedToken);
    }
    match *unit.tokens {
        [] => Ok(None),
        [token] => Token::parse(token).map(Some),
        ref several => Err(Error::SeveralTokens(several.len())),
    }
}

fn check(unit: &Unit, token: &Token, policy: &Policy, now: u64) -> Result<(), Error> {
    let issuer = token.verify()?;
    if !policy.issuers.trust(&issuer) {
        return Err(Error::UntrustedIssuer(issuer.to_string()));
    }
    token.check_times(now)?;
    check_hash(unit, token, policy.legacy_hash)
}

fn check_hash(unit: &Unit, token: &Token, legacy: LegacyHash) -> Result<(), Error> {
    let is_legacy = token.body.wascap_revision.unwrap_or_default() < WASCAP_REVISION;
    if is_legacy && legacy == LegacyHash::Ignore {
        return Ok(());
    }
    let (claimed, actual) = (&token.body.wascap.hash, unit.hash());
    if *claimed == actual {
        return Ok(());
    }
    Err(Error::WrongHash {
        claimed: crate::error::clip(claimed),
        actual,
    })
}
