//! Manifests: YAML in, what should run out.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use exosuit_manifest::{Diagnostic, Parsed, Source, parse_for};
use rustler::types::atom;
use rustler::{Encoder, Env, Term};
use serde_json::{Value, json};

use crate::json::term;
use crate::term::ok;

/// Reads a manifest for a host with these labels, built-in providers and modules: all errors at once.
#[rustler::nif(schedule = "DirtyCpu")]
fn manifest_parse<'a>(
    env: Env<'a>,
    text: &str,
    path: String,
    labels: HashMap<String, String>,
    builtins: Vec<String>,
    modules: Vec<String>,
) -> Term<'a> {
    let labels = labels.into_iter().collect();
    match read(text, &path, &labels, &builtins, &modules) {
        Ok(parsed) => ok(env, term(env, &parsed)),
        Err(diagnostics) => (atom::error(), term(env, &to_json(&diagnostics))).encode(env),
    }
}

fn read(
    text: &str,
    path: &str,
    labels: &BTreeMap<String, String>,
    builtins: &[String],
    modules: &[String],
) -> Result<Value, Vec<Diagnostic>> {
    let builtins: Vec<_> = builtins.iter().map(String::as_str).collect();
    let modules: Vec<_> = modules.iter().map(String::as_str).collect();
    let parsed = parse_for(text, &source(path), labels, &builtins, &modules)?;
    let Parsed { manifest, warnings } = parsed;
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
