//! Standard `EdDSA` tokens that a client shows to an API.
//!
//! They are signed with the same keys as modules. One kind of token is never accepted as the other:
//! these name the key in their header, and their audience in their claims.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use jwt_simple::prelude::{
    Claims as Standard, Duration as Seconds, Ed25519KeyPair, Ed25519PublicKey, EdDSAKeyPairLike,
    EdDSAPublicKeyLike, JWTClaims, NoCustomClaims, Token, VerificationOptions,
};

use crate::error::clip;
use crate::{Error, KeyPair, PublicKey};

/// The longest life of a token.
pub const MAX_LIFE: Duration = Duration::from_hours(366 * 24);

/// The longest token that is decoded, because it comes in a header.
pub const MAX_LENGTH: usize = 4_096;

/// How far two clocks may differ, in seconds.
const TOLERANCE: u64 = 30;

/// A token that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The key that signed it.
    pub issuer: PublicKey,
    /// The bearer.
    pub subject: String,
    /// When it expires, in Unix seconds.
    pub expires_at: u64,
}

/// Signs a token: the bearer is `subject` for the API `audience`.
///
/// ```
/// use std::time::Duration;
/// use exosuit_claims::{KeyKind, KeyPair, bearer};
///
/// let account = KeyPair::generate(KeyKind::Account);
/// let token = bearer::issue(&account, "ada", "wadm", Duration::from_secs(60), 1_700_000_000)?;
/// let trusted = [account.public_key().clone()].into();
/// let bearer = bearer::verify(&token, &trusted, "wadm", 1_700_000_030)?;
/// assert_eq!((bearer.subject.as_str(), bearer.expires_at), ("ada", 1_700_000_060));
/// assert!(bearer::verify(&token, &trusted, "another API", 1_700_000_030).is_err());
/// assert!(bearer::verify(&token, &trusted, "wadm", 1_700_009_000).is_err());
/// # Ok::<(), exosuit_claims::Error>(())
/// ```
pub fn issue(
    issuer: &KeyPair,
    subject: &str,
    audience: &str,
    life: Duration,
    now: u64,
) -> Result<String, Error> {
    if life.is_zero() || life > MAX_LIFE {
        let days = MAX_LIFE.as_secs() / 86_400;
        return Err(refused(format!(
            "its life must be between 1 second and {days} days"
        )));
    }
    let mut claims = Standard::create(Seconds::from_secs(life.as_secs()))
        .with_issuer(issuer.public_key())
        .with_subject(subject)
        .with_audience(audience);
    claims.issued_at = Some(Seconds::from_secs(now));
    claims.invalid_before = claims.issued_at;
    claims.expires_at = Some(Seconds::from_secs(now.saturating_add(life.as_secs())));

    let key = Ed25519KeyPair::from_bytes(&*issuer.to_bytes()).map_err(refused)?;
    let key = key.with_key_id(issuer.public_key().as_str());
    key.sign(claims).map_err(refused)
}

/// Verifies a token for `audience` that one of the `trusted` keys signed.
pub fn verify(
    token: &str,
    trusted: &BTreeSet<PublicKey>,
    audience: &str,
    now: u64,
) -> Result<Bearer, Error> {
    let issuer = issuer_of(token, trusted)?;
    let key = Ed25519PublicKey::from_bytes(&issuer.to_bytes()).map_err(refused)?;
    let options = options(&issuer, audience, now);
    let claims: JWTClaims<NoCustomClaims> =
        key.verify_token(token, Some(options)).map_err(refused)?;
    let missing = |what| refused(format!("it has no {what}"));
    Ok(Bearer {
        subject: claims.subject.ok_or_else(|| missing("subject"))?,
        expires_at: claims
            .expires_at
            .ok_or_else(|| missing("expiry"))?
            .as_secs(),
        issuer,
    })
}

/// The trusted key that the token claims to be signed with.
fn issuer_of(token: &str, trusted: &BTreeSet<PublicKey>) -> Result<PublicKey, Error> {
    if token.len() > MAX_LENGTH {
        return Err(Error::TooLarge {
            what: "bearer token",
            size: token.len(),
            limit: MAX_LENGTH,
        });
    }
    let header = Token::decode_metadata(token).map_err(refused)?;
    let id = header
        .key_id()
        .ok_or_else(|| refused("it does not name its key"))?;
    let issuer = trusted.iter().find(|key| key.as_str() == id).cloned();
    issuer.ok_or_else(|| Error::UntrustedIssuer(clip(id)))
}

fn options(issuer: &PublicKey, audience: &str, now: u64) -> VerificationOptions {
    VerificationOptions {
        allowed_issuers: Some(HashSet::from([issuer.to_string()])),
        allowed_audiences: Some(HashSet::from([audience.to_owned()])),
        time_tolerance: Some(Seconds::from_secs(TOLERANCE)),
        max_token_length: Some(MAX_LENGTH),
        artificial_time: Some(Seconds::from_secs(now)),
        ..VerificationOptions::default()
    }
}

fn refused(why: impl std::fmt::Display) -> Error {
    Error::InvalidBearer(clip(&why.to_string()).to_lowercase())
}
