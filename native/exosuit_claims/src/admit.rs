//! The one door for Wasm: what is checked before a module may run.

use std::collections::BTreeSet;

use crate::sign::WASCAP_REVISION;
use crate::token::Token;
use crate::wasm::Unit;
use crate::{Claims, Error, KeyKind, PublicKey};

/// What a host demands of Wasm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Whose signature counts.
    pub issuers: Issuers,
    /// What becomes of Wasm without a token.
    pub unsigned: Unsigned,
    /// What becomes of a wrong hash in an old token.
    pub legacy_hash: LegacyHash,
}

impl Policy {
    /// Signed by one of these, and all checked.
    pub fn strict(issuers: Issuers) -> Self {
        Self {
            issuers,
            unsigned: Unsigned::Deny,
            legacy_hash: LegacyHash::Check,
        }
    }
}

/// Whose signature counts. There is no default: whoever runs a host must choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issuers {
    /// Every account's.
    Any,
    /// That of these accounts.
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

/// What becomes of Wasm without a token. A token that is not good is never taken for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// It is refused.
    Deny,
    /// It is let in, with its links as its only grant.
    Allow,
}

/// What becomes of a wrong hash in a token from before readers checked it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegacyHash {
    /// It is an error, as in every token.
    Check,
    /// It is let pass, as the old host did: such a token can be moved to another module.
    Ignore,
}

/// Wasm that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// With a token, and everything in it holds.
    Signed(Box<Claims>),
    /// Without a token, where that is allowed.
    Unsigned,
}

/// What a token says, whether or not it is true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// What it says.
    pub claims: Claims,
    /// Whether it would be let in, or why not.
    pub verdict: Result<(), Error>,
}

/// Lets a module or a component in, or says why not.
///
/// It must have exactly one token, at its outermost level, whose signature, hash, times and
/// issuer hold at `now` (Unix seconds). That it is valid Wasm is left to the compiler.
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

/// Reads what a token says, and checks it without acting on it.
///
/// An error means that there are no claims to show: no token, or none that can be read.
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
