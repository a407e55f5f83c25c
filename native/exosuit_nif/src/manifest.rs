//! Manifests: YAML in, what should run out.

use std::path::Path;

use exosuit_manifest::{Diagnostic, Parsed, Source, decode, document, parse_for};
use rustler::types::atom;
use rustler::{Binary, Encoder, Env, Term};
use serde_json::{Value, json};

use crate::json::term;
use crate::term::ok;

/// Reads the bytes of a manifest for a host with these modules, or for hosts with any: all errors at once.
#[rustler::nif(schedule = "DirtyCpu")]
fn manifest_parse<'a>(
    env: Env<'a>,
    text: Binary<'a>,
    path: String,
    host: Option<Vec<String>>,
) -> Term<'a> {
    match read(&text, &path, host.as_deref()) {
        Ok(parsed) => ok(env, term(env, &parsed)),
        Err(diagnostics) => (atom::error(), term(env, &to_json(&diagnostics))).encode(env),
    }
}

/// Reads the bytes of a manifest as its author wrote it, as maps, lists and scalars.
#[rustler::nif(schedule = "DirtyCpu")]
fn manifest_document<'a>(env: Env<'a>, text: Binary<'a>) -> Term<'a> {
    let source = source("/manifest");
    let read = decode(&text, &source).and_then(|text| document(text, &source));
    match read {
        Ok(document) => ok(env, term(env, &json!(document))),
        Err(diagnostics) => (atom::error(), term(env, &to_json(&diagnostics))).encode(env),
    }
}

fn read(bytes: &[u8], path: &str, host: Option<&[String]>) -> Result<Value, Vec<Diagnostic>> {
    let source = source(path);
    let text = decode(bytes, &source)?;
    let modules = host.map(|host| host.iter().map(String::as_str).collect::<Vec<_>>());
    let Parsed { manifest, warnings } = parse_for(text, &source, modules.as_deref())?;
    Ok(json!({"manifest": manifest, "warnings": to_json(&warnings)}))
}

fn source(path: &str) -> Source {
    let directory = Path::new(path).parent().unwrap_or(Path::new("/"));
    Source {
        file: path.to_owned(),
        directory: directory.to_string_lossy().into_owned(),
    }
}

/// As maps, with the whole of each as people read it under `text`.
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
