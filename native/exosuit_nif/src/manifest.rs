//! Manifests: from YAML to specifications and links. `exosuit_manifest` does the work.
//!
//! `Exosuit.Manifest` calls these NIFs. Both are pure, and run on dirty schedulers: a manifest may have
//! a megabyte. They read no file. Paths in a manifest become absolute by its own path, and Elixir
//! opens them later.

use std::path::Path;

use exosuit_manifest::{Diagnostic, Parsed, Source, decode, document, parse_for};
use rustler::types::atom;
use rustler::{Binary, Encoder, Env, Term};
use serde_json::{Value, json};

use crate::json::term;
use crate::term::ok;

/// Parses the bytes of a manifest. `host` lists the Elixir modules that a host has as providers;
/// with `nil`, any module is accepted.
///
/// Returns `{:ok, %{"manifest" => …, "warnings" => […]}}`, or `{:error, diagnostics}` with all errors at
/// once. A diagnostic is a map with its place, its message, and both together as `"text"`.
#[rustler::nif(schedule = "DirtyCpu")]
fn manifest_parse<'a>(
    env: Env<'a>,
    text: Binary<'a>,
    path: String,
    host: Option<Vec<String>>,
) -> Term<'a> {
    match parse(&text, &path, host.as_deref()) {
        Ok(parsed) => ok(env, term(env, &parsed)),
        Err(diagnostics) => (atom::error(), term(env, &to_json(&diagnostics))).encode(env),
    }
}

/// Parses the bytes of a manifest as its author wrote it, to maps, lists and scalars. The API of wadm
/// answers with manifests in this form, which keeps fields that Exosuit does not know.
#[rustler::nif(schedule = "DirtyCpu")]
fn manifest_document<'a>(env: Env<'a>, text: Binary<'a>) -> Term<'a> {
    let source = source("/manifest");
    let decoded = decode(&text, &source).and_then(|text| document(text, &source));
    match decoded {
        Ok(document) => ok(env, term(env, &json!(document))),
        Err(diagnostics) => (atom::error(), term(env, &to_json(&diagnostics))).encode(env),
    }
}

/// The manifest and its warnings as JSON.
fn parse(bytes: &[u8], path: &str, host: Option<&[String]>) -> Result<Value, Vec<Diagnostic>> {
    let source = source(path);
    let text = decode(bytes, &source)?;
    let modules = host.map(|host| host.iter().map(String::as_str).collect::<Vec<_>>());
    let Parsed { manifest, warnings } = parse_for(text, &source, modules.as_deref())?;
    Ok(json!({"manifest": manifest, "warnings": to_json(&warnings)}))
}

/// The file, and the directory that its relative paths start from. The path must be absolute; Elixir
/// expands it, because the working directory of a VM is not that of its user.
fn source(path: &str) -> Source {
    let directory = Path::new(path).parent().unwrap_or(Path::new("/"));
    Source {
        file: path.to_owned(),
        directory: directory.to_string_lossy().into_owned(),
    }
}

/// Diagnostics as maps; `text` is the whole message for people.
fn to_json(diagnostics: &[Diagnostic]) -> Value {
    diagnostics
        .iter()
        .map(|diagnostic| {
            let mut fields = json!(diagnostic);
            fields["text"] = diagnostic.to_string().into();
            fields
        })
        .collect()
}
