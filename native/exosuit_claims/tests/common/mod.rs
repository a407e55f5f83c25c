//! The modules that the tests sign, and the tokens that they forge.
#![allow(dead_code, reason = "each test takes what it needs")]

use data_encoding::{BASE64URL_NOPAD, HEXUPPER};
use exosuit_claims::{
    Admitted, Draft, Error, Issuers, KeyKind, KeyPair, Policy, Section, admit, embed, sign,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) const NOW: u64 = 1_700_000_000;

pub(crate) const HEADER: &str = r#"{"typ":"jwt","alg":"Ed25519"}"#;

/// A small module with a custom section, code and data.
pub(crate) fn module() -> Vec<u8> {
    let text = r#"(module
        (memory (export "memory") 1)
        (func (export "answer") (result i32) i32.const 42)
        (data (i32.const 8) "forty-two")
        (@custom "producers" "nobody"))"#;
    wat::parse_str(text).expect("the text is a module")
}

/// A component with a module and a component in it.
pub(crate) fn component() -> Vec<u8> {
    let text = r#"(component
        (core module (func (export "inner")))
        (component (core module (memory 1))))"#;
    wat::parse_str(text).expect("the text is a component")
}

/// A module whose lengths are written longer than they need be, as some linkers do.
pub(crate) fn padded_module() -> Vec<u8> {
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    wasm.extend(b"\x01\x84\x80\x80\x80\x00\x01\x60\x00\x00");
    wasm.extend(b"\x03\x82\x80\x80\x80\x00\x01\x00");
    wasm.extend(b"\x0a\x84\x80\x80\x80\x00\x01\x02\x00\x0b");
    wasm
}

pub(crate) fn policy() -> Policy {
    Policy::strict(Issuers::Any)
}

/// An account, a module's key, and what the tests mostly do with them.
pub(crate) struct Signer {
    pub(crate) account: KeyPair,
    pub(crate) module: KeyPair,
}

impl Signer {
    pub(crate) fn new() -> Self {
        Self {
            account: KeyPair::generate(KeyKind::Account),
            module: KeyPair::generate(KeyKind::Module),
        }
    }

    pub(crate) fn draft(&self) -> Draft {
        Draft::new(self.module.public_key().clone(), "Echo")
    }

    pub(crate) fn sign(&self, wasm: &[u8]) -> Vec<u8> {
        sign(wasm, &self.draft(), &self.account, NOW).expect("it can be signed")
    }

    /// Claims as they should be, for a test to spoil.
    pub(crate) fn body(&self, wasm: &[u8]) -> Value {
        json!({
            "jti": "x",
            "iat": NOW,
            "iss": self.account.public_key().as_str(),
            "sub": self.module.public_key().as_str(),
            "wascap": {"name": "Echo", "hash": hash(wasm), "caps": [], "prov": false},
            "wascap_revision": 3,
        })
    }

    /// A token with any header and any claims, and a true signature.
    pub(crate) fn token(&self, header: &str, body: &str) -> String {
        let encode = |part: &str| BASE64URL_NOPAD.encode(part.as_bytes());
        let signed = format!("{}.{}", encode(header), encode(body));
        let signature = BASE64URL_NOPAD.encode(&self.account.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// The module with these claims, truly signed.
    pub(crate) fn embed(&self, wasm: &[u8], body: &Value) -> Vec<u8> {
        with_token(wasm, self.token(HEADER, &body.to_string()).as_bytes())
    }
}

pub(crate) fn with_token(wasm: &[u8], token: &[u8]) -> Vec<u8> {
    embed(wasm, Section::Current, token).expect("the module can be read")
}

/// One more custom section, after whatever is there.
pub(crate) fn with_section(mut wasm: Vec<u8>, name: &str, content: &[u8]) -> Vec<u8> {
    use wasm_encoder::Section as _;
    let section = wasm_encoder::CustomSection {
        name: name.into(),
        data: content.into(),
    };
    section.append_to(&mut wasm);
    wasm
}

/// The hash of a module that has no token and is written in the shortest form.
pub(crate) fn hash(wasm: &[u8]) -> String {
    HEXUPPER.encode(&Sha256::digest(wasm))
}

/// The code with which a module is refused.
pub(crate) fn refusal(wasm: &[u8]) -> &'static str {
    refusal_under(&policy(), wasm)
}

pub(crate) fn refusal_under(policy: &Policy, wasm: &[u8]) -> &'static str {
    admit(wasm, policy, NOW).map_or_else(|error| error.code(), |_| "none, it was let in")
}

pub(crate) fn admitted(wasm: &[u8]) -> Result<Admitted, Error> {
    admit(wasm, &policy(), NOW)
}
