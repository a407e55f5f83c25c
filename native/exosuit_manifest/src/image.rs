//! The source of the code of an actor or a provider.

use exosuit_core::reference::EXPECTED;
use exosuit_core::{Builtin, Contract, Reference};
use serde::Serialize;

use crate::diagnostic::{Code, Source};
use crate::value::Value;

/// The source of the code of an actor or a provider.
///
/// A manifest writes all of them as one text, see `exosuit_core::Reference`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "value", rename_all = "lowercase")]
pub enum Image {
    /// A file, by its path. It is absolute if [`Source::directory`] is.
    File(String),
    /// A built-in provider: `http-server`.
    Builtin(String),
    /// An Elixir module of the host's application: `MyApp.Clock`. It is looked up among the host's
    /// `providers:`, and never becomes an atom.
    Module(String),
    /// An image in a registry, without a scheme.
    Oci(String),
}

impl Image {
    /// Parses a reference, see [`Reference::parse`].
    pub(crate) fn parse(value: &Value, source: &Source) -> Option<Self> {
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

/// The contract of a built-in provider, for an old `linkdef` that does not name it: the oldest one.
///
/// `None` for a name that no built-in provider has.
///
/// ```
/// use exosuit_manifest::builtin_contract;
///
/// let contract = builtin_contract("keyvalue").expect("a built-in provider");
/// assert_eq!(contract.as_str(), "wasmcloud:keyvalue");
/// assert!(builtin_contract("nonsense").is_none());
/// ```
pub fn builtin_contract(name: &str) -> Option<Contract> {
    Builtin::find(name)?.contracts().into_iter().next()
}

/// A path of the manifest as one of the host: joined to the manifest's directory, unless it is
/// absolute. Nothing is read.
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
