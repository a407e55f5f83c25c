//! Signing: from a draft and a module to a signed module.

use std::borrow::Cow;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};
use wasm_encoder::Section as _;

use crate::token::{Body, Metadata};
use crate::wasm::Unit;
use crate::{Error, KeyKind, KeyPair, PublicKey, Section};

/// The version of the token's format from which on every reader checks the hash.
pub(crate) const WASCAP_REVISION: u32 = 3;

/// The content of a token.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The actor: a module's key.
    pub subject: PublicKey,
    /// Its name, for people.
    pub name: String,
    /// The capabilities that it may be linked to: `wasmcloud:keyvalue`.
    pub capabilities: Vec<String>,
    /// A number that grows with each update. The default is the time of signing.
    pub revision: Option<i32>,
    /// A version, for people.
    pub version: Option<String>,
    /// A name that other actors may call it by. The token has it in `lower_case`.
    pub call_alias: Option<String>,
    /// Texts of the author's choice.
    pub tags: Vec<String>,
    /// When it becomes valid, in Unix seconds. The default is at once.
    pub not_before: Option<u64>,
    /// When it expires, in Unix seconds. The default is never.
    pub expires_at: Option<u64>,
    /// The custom section for the token.
    pub section: Section,
}

impl Draft {
    /// A draft that grants nothing and does not expire.
    pub fn new(subject: PublicKey, name: impl Into<String>) -> Self {
        Self {
            subject,
            name: name.into(),
            capabilities: Vec::new(),
            revision: None,
            version: None,
            call_alias: None,
            tags: Vec::new(),
            not_before: None,
            expires_at: None,
            section: Section::default(),
        }
    }

    fn check(&self, now: u64) -> Result<(), Error> {
        self.subject.require("subject", KeyKind::Module)?;
        let expires_at = self.expires_at.unwrap_or(u64::MAX);
        let blank =
            |capability: &String| capability.is_empty() || capability.contains(char::is_whitespace);
        let wrong = if self.name.trim().is_empty() {
            "the name is empty".to_owned()
        } else if self.revision.is_some_and(|revision| revision < 0) {
            "the revision is below 0".to_owned()
        } else if expires_at <= now.max(self.not_before.unwrap_or_default()) {
            "it would expire before it is valid".to_owned()
        } else if let Some(capability) = self.capabilities.iter().find(|name| blank(name)) {
            format!("the capability {capability:?} is empty or has white space in it")
        } else {
            return Ok(());
        };
        Err(Error::InvalidDraft(wrong))
    }

    fn body(&self, hash: String, issuer: &PublicKey, now: u64) -> Result<Body, Error> {
        let call_alias = self.call_alias.as_deref().map(call_alias).transpose()?;
        Ok(Body {
            exp: self.expires_at,
            jti: String::new(),
            iat: now,
            iss: issuer.to_string(),
            sub: self.subject.to_string(),
            nbf: self.not_before,
            wascap: Metadata {
                name: Some(self.name.clone()),
                hash,
                tags: Some(self.tags.clone()),
                caps: Some(self.capabilities.clone()),
                rev: self.revision,
                ver: self.version.clone(),
                call_alias,
                prov: false,
            },
            wascap_revision: Some(WASCAP_REVISION),
        })
    }
}

/// Signs a module or a component. A token made from `draft` replaces all tokens that it has.
///
/// Equal arguments give equal bytes.
///
/// ```
/// use exosuit_claims::{Draft, KeyKind, KeyPair, sign};
///
/// let (account, module) = (KeyPair::generate(KeyKind::Account), KeyPair::generate(KeyKind::Module));
/// let draft = Draft::new(module.public_key().clone(), "echo");
/// let signed = sign(b"\0asm\x01\0\0\0", &draft, &account, 1_700_000_000)?;
/// assert_eq!(sign(&signed, &draft, &account, 1_700_000_000)?, signed);
/// assert!(sign(&signed, &draft, &module, 1_700_000_000).is_err(), "a module issues nothing");
/// # Ok::<(), exosuit_claims::Error>(())
/// ```
pub fn sign(wasm: &[u8], draft: &Draft, issuer: &KeyPair, now: u64) -> Result<Vec<u8>, Error> {
    issuer.public_key().require("issuer", KeyKind::Account)?;
    draft.check(now)?;
    let unit = Unit::parse(wasm)?;
    let mut body = draft.body(unit.hash(), issuer.public_key(), now)?;
    body.jti = id_of(&body.sign(issuer)?);
    let token = body.sign(issuer)?;
    Ok(append(unit.bare, draft.section, token.as_bytes()))
}

/// Puts an existing token into a module or a component, without checking it.
pub fn embed(wasm: &[u8], section: Section, token: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(append(Unit::parse(wasm)?.bare, section, token))
}

fn append(mut wasm: Vec<u8>, section: Section, token: &[u8]) -> Vec<u8> {
    let section = wasm_encoder::CustomSection {
        name: section.name().into(),
        data: Cow::Borrowed(token),
    };
    section.append_to(&mut wasm);
    wasm
}

/// An id that only equal tokens share.
fn id_of(token_without: &str) -> String {
    const BYTES: usize = 15;
    BASE32_NOPAD.encode(&Sha256::digest(token_without)[..BYTES])
}

/// The alias as tokens have it: lower case, with `_` between words.
fn call_alias(text: &str) -> Result<String, Error> {
    let plain = text.trim().to_lowercase().replace([' ', '-', '.'], "_");
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '/');
    if !plain.is_empty() && plain.chars().all(allowed) {
        return Ok(plain);
    }
    let rule = "expected letters and digits of ASCII, separated by _, -, ., / or spaces";
    let text = crate::error::clip(text);
    Err(Error::InvalidDraft(format!(
        "the call alias is {text:?}: {rule}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_written_in_one_form() {
        assert_eq!(
            call_alias(" My-First.Actor 2 "),
            Ok("my_first_actor_2".to_owned())
        );
        assert_eq!(
            call_alias("wasmcloud/ponger"),
            Ok("wasmcloud/ponger".to_owned())
        );
        for bad in ["", "  ", "é", "a:b", "a\nb"] {
            assert!(call_alias(bad).is_err(), "{bad:?} was taken");
        }
    }
}
