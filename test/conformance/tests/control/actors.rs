//! An actor in files: the same echo, signed with one revision after the other.

use std::path::Path;

use exosuit_claims::{Draft, KeyKind, KeyPair, sign, unix_now};

const ECHO: &str = include_str!("../../../guests/echo.wat");

pub(crate) struct Actor {
    account: KeyPair,
    module: KeyPair,
}

impl Actor {
    pub(crate) fn new() -> Self {
        Self {
            account: KeyPair::generate(KeyKind::Account),
            module: KeyPair::generate(KeyKind::Module),
        }
    }

    /// Its public key.
    pub(crate) fn key(&self) -> String {
        self.module.public_key().to_string()
    }

    /// Who signed it.
    pub(crate) fn issuer(&self) -> String {
        self.account.public_key().to_string()
    }

    /// Writes it down with this revision, and gives the reference.
    pub(crate) fn write(&self, directory: &Path, revision: i32) -> String {
        let wasm = wat::parse_str(ECHO).expect("a module");
        let draft = Draft {
            capabilities: vec!["wasmcloud:keyvalue".to_owned(), "wasi:keyvalue".to_owned()],
            revision: Some(revision),
            version: Some(format!("0.{revision}.0")),
            call_alias: Some("echo".to_owned()),
            ..Draft::new(self.module.public_key().clone(), "Echo")
        };
        let signed = sign(&wasm, &draft, &self.account, unix_now()).expect("signed");
        let path = directory.join(format!("echo_{revision}.wasm"));
        std::fs::write(&path, signed).expect("written");
        format!("file://{}", path.display())
    }
}
