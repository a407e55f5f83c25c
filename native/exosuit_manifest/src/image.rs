//! Where the bytes of an actor or a provider come from.

use exosuit_core::{Builtin, Contract, hint};
use serde::Serialize;

use crate::diagnostic::{Code, Source};
use crate::value::Value;

const EXPECTED: &str =
    "a path, file://…, wasmcloud+builtin://NAME, exosuit+module://NAME or an OCI reference";
const SCHEMES: [&str; 6] = [
    "exosuit+module",
    "file",
    "http",
    "https",
    "oci",
    "wasmcloud+builtin",
];

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
    /// Reads a reference. A text without a scheme is a reference into a registry if it looks like
    /// one (`ghcr.io/a/b:1`, `a/b:1`), and a path otherwise; `./` in front makes it a path.
    pub(crate) fn read(value: &Value, source: &Source) -> Option<Self> {
        let text = value.text(EXPECTED)?;
        let scheme = text.split_once("://");
        if text.is_empty() || text.chars().any(char::is_control) || scheme.is_some_and(is_empty) {
            value.error(Code::InvalidValue, format!("expected {EXPECTED}"));
            return None;
        }
        let image = match scheme {
            None if is_reference(text) => Self::Oci(text.to_owned()),
            None | Some(("file", _)) => Self::File(resolve(text, source)),
            Some(("wasmcloud+builtin", name)) => Self::Builtin(name.to_owned()),
            Some(("exosuit+module", name)) => Self::Module(name.to_owned()),
            // 1.x takes a web address for the reference behind it.
            Some(("oci" | "http" | "https", rest)) => Self::Oci(rest.to_owned()),
            Some((other, _)) => {
                let hint = hint(other, SCHEMES);
                value.error(Code::InvalidValue, format!("expected {EXPECTED}{hint}"));
                return None;
            }
        };
        Some(image)
    }
}

/// The contract of a built-in provider, for an old `linkdef` that does not say it: its oldest.
pub fn builtin_contract(name: &str) -> Option<Contract> {
    Builtin::find(name)?.contracts().into_iter().next()
}

fn is_empty((_, rest): (&str, &str)) -> bool {
    rest.is_empty()
}

fn is_reference(text: &str) -> bool {
    let path = ['.', '/'].iter().any(|first| text.starts_with(*first));
    let file = [".wasm", ".wat", ".par", ".gz"];
    if path || file.iter().any(|extension| text.ends_with(extension)) {
        return false;
    }
    match text.split_once('/') {
        Some((first, rest)) => {
            first.contains(['.', ':']) || first == "localhost" || rest.contains([':', '@'])
        }
        None => text.contains([':', '@']),
    }
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
    fn what_looks_like_a_registry_is_a_reference() {
        for reference in [
            "ghcr.io/wasmcloud/echo",
            "localhost:5000/echo:1",
            "localhost/echo",
            "wasmcloud/echo:0.3.8",
            "echo:0.3.8",
            "echo@sha256:00",
        ] {
            assert!(is_reference(reference), "{reference}");
        }
        for path in [
            "echo",
            "echo_s.wasm",
            "./ghcr.io/echo",
            "../a:b",
            "/a:b",
            "build/echo_s.wasm",
            "v0.1/echo.par.gz",
        ] {
            assert!(!is_reference(path), "{path}");
        }
    }

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
