//! The token of a module or an invocation: three segments of base64, signed with Ed25519.
//!
//! [`Token`] and [`Body`] are the same for both, except for the part about a module ([`Metadata`])
//! or about a call ([`crate::invocation`]).
//!
//! Header and claims are those of the OTP era, not of the standard: `alg` is `Ed25519`, `typ` is
//! `jwt`. For standard tokens see [`crate::bearer`].

use data_encoding::BASE64URL_NOPAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::clip;
use crate::{Error, KeyKind, KeyPair, PublicKey};

/// The largest token that is decoded. It has room for hundreds of capabilities and tags.
pub const MAX_TOKEN: usize = 64 << 10;

const TYPE: &str = "jwt";
const ALGORITHM: &str = "Ed25519";

#[derive(Serialize, Deserialize)]
// Whatever else a header may ask for (`crit`, `b64`), it is nothing that we honour.
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
}

/// The claims of a token as they are on the wire. `M` is the part of its kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Body<M = Metadata> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exp: Option<u64>,
    pub(crate) jti: String,
    pub(crate) iat: u64,
    pub(crate) iss: String,
    pub(crate) sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nbf: Option<u64>,
    pub(crate) wascap: M,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wascap_revision: Option<u32>,
}

/// The part of a token about a module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) caps: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rev: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) call_alias: Option<String>,
    #[serde(default)]
    pub(crate) prov: bool,
}

/// A decoded token. Nothing in it is verified.
#[derive(Debug)]
pub(crate) struct Token<M = Metadata> {
    signed: String,
    pub(crate) signature: Vec<u8>,
    pub(crate) body: Body<M>,
}

impl<M: DeserializeOwned> Token<M> {
    /// Decodes a token.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        check_size(bytes.len())?;
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not text"))?;
        let segments: Vec<&str> = text.split('.').collect();
        let &[header, body, signature] = segments.as_slice() else {
            let count = segments.len();
            return Err(malformed(format!("it has {count} segments, expected 3")));
        };
        check_header(&decode("header", header)?)?;
        Ok(Self {
            signed: text[..header.len() + 1 + body.len()].to_owned(),
            signature: unbase64("signature", signature)?,
            body: decode("claims", body)?,
        })
    }

    /// Signs the claims.
    pub(crate) fn signed(&self) -> &[u8] {
        self.signed.as_bytes()
    }

    /// Checks the kinds of subject and issuer, and the signature.
    pub(crate) fn verify_signature(&self, issuer: &PublicKey) -> Result<(), Error> {
        if issuer.verify(self.signed(), &self.signature) {
            return Ok(());
        }
        Err(Error::ForgedSignature(issuer.to_string()))
    }

    /// Checks that the token is valid at this time, in Unix seconds.
    pub(crate) fn check_times(&self, now: u64) -> Result<(), Error> {
        match (self.body.nbf, self.body.exp) {
            (_, Some(at)) if now >= at => Err(Error::Expired(at)),
            (Some(at), _) if now < at => Err(Error::NotYetValid(at)),
            _ => Ok(()),
        }
    }
}

impl Token {
    /// Checks who is spoken of, who speaks, and that it is they who speak.
    pub(crate) fn verify(&self) -> Result<PublicKey, Error> {
        let issuer = &self.body.iss;
        let issuer =
            key_of(issuer, KeyKind::Account).ok_or_else(|| Error::InvalidIssuer(clip(issuer)))?;
        self.verify_signature(&issuer)?;
        if self.body.wascap.prov {
            return Err(Error::ProviderToken);
        }
        key_of(&self.body.sub, KeyKind::Module)
            .ok_or_else(|| Error::InvalidSubject(clip(&self.body.sub)))?;
        Ok(issuer)
    }
}

impl<M: Serialize> Body<M> {
    /// Makes it a token.
    pub(crate) fn sign(&self, issuer: &KeyPair) -> Result<String, Error> {
        let header = Header {
            typ: TYPE.to_owned(),
            alg: ALGORITHM.to_owned(),
        };
        let signed = format!("{}.{}", encode(&header)?, encode(self)?);
        let signature = BASE64URL_NOPAD.encode(&issuer.sign(signed.as_bytes()));
        let token = format!("{signed}.{signature}");
        check_size(token.len())?;
        Ok(token)
    }
}

fn check_size(size: usize) -> Result<(), Error> {
    if size <= MAX_TOKEN {
        return Ok(());
    }
    Err(Error::TooLarge {
        what: "token",
        size,
        limit: MAX_TOKEN,
    })
}

fn check_header(header: &Header) -> Result<(), Error> {
    if header.typ == TYPE && header.alg == ALGORITHM {
        return Ok(());
    }
    Err(Error::UnsupportedToken {
        typ: clip(&header.typ),
        alg: clip(&header.alg),
    })
}

fn key_of(text: &str, kind: KeyKind) -> Option<PublicKey> {
    PublicKey::parse(text).ok().filter(|key| key.kind() == kind)
}

fn encode(part: &impl Serialize) -> Result<String, Error> {
    let json = serde_json::to_vec(part).map_err(|error| Error::InvalidDraft(error.to_string()))?;
    Ok(BASE64URL_NOPAD.encode(&json))
}

fn decode<T: DeserializeOwned>(part: &str, segment: &str) -> Result<T, Error> {
    let json = unbase64(part, segment)?;
    serde_json::from_slice(&json)
        .map_err(|error| malformed(format!("its {part}: {}", clip(&error.to_string()))))
}

fn unbase64(part: &str, segment: &str) -> Result<Vec<u8>, Error> {
    BASE64URL_NOPAD
        .decode(segment.as_bytes())
        .map_err(|error| malformed(format!("its {part} is not base64url: {error}")))
}

fn malformed(detail: impl Into<String>) -> Error {
    Error::MalformedToken(detail.into())
}
