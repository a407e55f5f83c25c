//! Where the bytes of an actor or a provider come from.

use exosuit_core::reference::EXPECTED;
use exosuit_core::{Builtin, Contract, Reference};
use serde::Serialize;

use crate::diagnostic::{Code, Source};
use crate::value::Value;

/// Where the bytes of an actor or a provider come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "value", rename_all = "lowercase")]
pub enum Image {
    /// A file, by its path; absolute if [`Source::directory`] is.
    File(String),
    /// A provider of the host's own: `http-server`.
    Builtin(String),
    /// A module of the Elixir application that the host lives in: `MyApp.Clock`. Never made into
    /// an atom, but looked up by name among the host's `providers:`.
    Module(String),
    /// A reference into a registry, without a scheme.
    Oci(String),
}

impl Image {
    /// Reads a reference, see [`Reference::parse`].
    pub(crate) fn read(value: &Value, source: &Source) -> Option<Self> {
        let text = value.text(EXPECTED)?;
        match Reference::parse(text) {
            Ok(Reference::File(path)) => Some(Self::File(resolve(&path, source))),
            Ok(Reference::Builtin(name)) => Some(Self::Builtin(name)),
            Ok(Reference::Module(name)) => Some(Self::Module(name)),
            Ok(Reference::Registry(image)) => Some(Self::Oci(image)),
            Err(error) => {
                value.error(Code::InvalidValue, error.to_string());
                None
            }
        }
    }
}

/// The contract of a built-in provider, for an old `linkdef` that does not say it: its oldest.
pub fn builtin_contract(name: &str) -> Option<Contract> {
    Builtin::find(name)?.contracts().into_iter().next()
}

/// A path, from where the manifest stands unless it is absolute.
pub(crate) fn resolve(text: &str, source: &Source) -> String {
    let path = text.strip_prefix("file://").unwrap_or(text);
    if path.starts_with('/') {
        return path.to_owned();
    }
    let path = path.strip_prefix("./").unwrap_or(path);
    let directory = source.directory.trim_end_matches('/');
    format!("{directory}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_start_at_the_manifest() {
        let source = Source {
            file: "app.yaml".to_owned(),
            directory: "/apps/counter/".to_owned(),
        };
        for (text, path) in [
            ("a.wasm", "/apps/counter/a.wasm"),
            ("./a.wasm", "/apps/counter/a.wasm"),
            ("file://a.wasm", "/apps/counter/a.wasm"),
            ("../a.wasm", "/apps/counter/../a.wasm"),
            ("/a.wasm", "/a.wasm"),
            ("file:///a.wasm", "/a.wasm"),
        ] {
            assert_eq!(resolve(text, &source), path);
        }
    }

    #[test]
    fn an_old_linkdef_gets_the_oldest_contract_of_its_provider() {
        for (name, contract) in [
            ("http-client", "wasmcloud:httpclient"),
            ("http-server", "wasmcloud:httpserver"),
            ("messaging-nats", "wasmcloud:messaging"),
        ] {
            let known = builtin_contract(name).map(|known| known.to_string());
            assert_eq!(known.as_deref(), Some(contract));
        }
    }
}
