//! The claims of a token, in the form that the host uses.

use serde::Serialize;

use crate::token::Body;

/// The claims of a token about an actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// The token's own id (`jti`).
    pub id: String,
    /// The account that signed it (`A…`).
    pub issuer: String,
    /// The actor (`M…`).
    pub subject: String,
    /// Its name, for people.
    pub name: Option<String>,
    /// Its revision: `rev` if that is above 0, otherwise the time of issue. An update must raise
    /// it.
    pub revision: i64,
    /// Its version, for people.
    pub version: Option<String>,
    /// A name that other actors may call it by.
    pub call_alias: Option<String>,
    /// The capabilities that it may be linked to.
    pub capabilities: Vec<String>,
    /// Texts of its author's choice.
    pub tags: Vec<String>,
    /// When the token was signed, in Unix seconds, like the next two.
    pub issued_at: u64,
    /// When it becomes valid.
    pub not_before: Option<u64>,
    /// When it expires.
    pub expires_at: Option<u64>,
    /// Whether the token is for a provider. Never true for an admitted actor.
    pub is_provider: bool,
    /// The version of the token's format; 0 if it has none.
    pub wascap_revision: u32,
    /// The hash of the signed bytes, as the token has it.
    pub hash: String,
}

impl From<Body> for Claims {
    fn from(body: Body) -> Self {
        let metadata = body.wascap;
        Self {
            id: body.jti,
            issuer: body.iss,
            subject: body.sub,
            name: metadata.name,
            revision: revision(metadata.rev, body.iat),
            version: metadata.ver,
            call_alias: metadata.call_alias,
            capabilities: metadata.caps.unwrap_or_default(),
            tags: metadata.tags.unwrap_or_default(),
            issued_at: body.iat,
            not_before: body.nbf,
            expires_at: body.exp,
            is_provider: metadata.prov,
            wascap_revision: body.wascap_revision.unwrap_or_default(),
            hash: metadata.hash,
        }
    }
}

fn revision(rev: Option<i32>, issued_at: u64) -> i64 {
    match rev {
        Some(rev) if rev > 0 => rev.into(),
        _ => i64::try_from(issued_at).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_that_is_not_given_is_the_time_of_issue() {
        assert_eq!(revision(Some(3), 1_000), 3);
        assert_eq!(revision(Some(0), 1_000), 1_000);
        assert_eq!(revision(Some(-1), 1_000), 1_000);
        assert_eq!(revision(None, u64::MAX), i64::MAX);
    }
}
