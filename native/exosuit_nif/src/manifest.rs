//! Manifests: YAML in, what should run out.

use std::path::Path;

use exosuit_manifest::{Diagnostic, Parsed, Source, decode, parse_for, parse_for_lattice};
use rustler::types::atom;
use rustler::{Binary, Encoder, Env, Term};
use serde_json::{Value, json};

use crate::json::term;
use crate::term::ok;

/// The modules that a host has.
type Host = Vec<String>;

/// Reads the bytes of a manifest for a host, or for those of a lattice: all errors at once.
#[rustler::nif(schedule = "DirtyCpu")]
fn manifest_parse<'a>(
    env: Env<'a>,
    text: Binary<'a>,
    path: String,
    host: Option<Host>,
) -> Term<'a> {
    match read(&text, &path, host) {
        Ok(parsed) => ok(env, term(env, &parsed)),
        Err(diagnostics) => (atom::error(), term(env, &to_json(&diagnostics))).encode(env),
    }
}

fn read(bytes: &[u8], path: &str, host: Option<Host>) -> Result<Value, Vec<Diagnostic>> {
    let source = source(path);
    let text = decode(bytes, &source)?;
    let Parsed { manifest, warnings } = match host {
        None => parse_for_lattice(text, &source)?,
        Some(modules) => {
            let modules: Vec<_> = modules.iter().map(String::as_str).collect();
            parse_for(text, &source, &modules)?
        }
    };
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
