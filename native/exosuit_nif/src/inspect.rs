//! Descriptions of WIT files, components and modules, as maps with the names of `exosuit_inspect`'s model.
//!
//! `Exosuit.World` calls these NIFs: for `Exosuit.describe/2`, and when the compiler makes Elixir modules
//! of WIT. They need neither engine nor host, so they work while a project compiles. Maps have strings
//! as keys, because names in a stranger's file must not become atoms. Parsing is bounded by
//! `exosuit_inspect`, and runs on dirty schedulers: a component may have megabytes.

use std::path::Path;

use exosuit_core::{Code, Error};
use exosuit_inspect::{Asker, Inventory, answers, describe, read_interface, read_world};
use rustler::{Binary, Env, Term};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::json::{term, value};
use crate::term::{failure, ok};

/// Describes the bytes of a Wasm file. Nothing of it is compiled. Bytes that cannot be read are
/// `invalid_module`.
#[rustler::nif(schedule = "DirtyCpu")]
fn inspect_wasm<'a>(env: Env<'a>, wasm: Binary<'a>) -> Term<'a> {
    told(env, describe(&wasm), Code::InvalidModule)
}

/// Finds out who answers the imports of Wasm. `asker`, and the inventory of a host or `nil`, are maps as in
/// `exosuit_inspect`.
#[rustler::nif(schedule = "DirtyCpu")]
fn inspect_answers<'a>(
    env: Env<'a>,
    wasm: Binary<'a>,
    asker: Term<'a>,
    inventory: Term<'a>,
) -> Term<'a> {
    let found = || {
        let asker: Asker = decoded(asker)?;
        let inventory: Option<Inventory> = decoded(inventory)?;
        let code =
            describe(&wasm).map_err(|error| Error::new(Code::InvalidModule, error.to_string()))?;
        Ok(answers(&code, &asker, inventory.as_ref()))
    };
    match found() {
        Ok(answers) => ok(env, term(env, &json!(answers))),
        Err(error) => failure(env, &error),
    }
}

/// An argument as the type of `exosuit_inspect`. `invalid_input` says which field is wrong.
fn decoded<T: DeserializeOwned>(term: Term<'_>) -> Result<T, Error> {
    let invalid = |error: String| Error::new(Code::InvalidInput, error);
    let json = value(term).map_err(invalid)?;
    serde_json::from_value(json).map_err(|error| invalid(error.to_string()))
}

/// Reads a world from WIT or from a component. Without a name, the only one that there is. `path` is a
/// file, or a directory of WIT with its `deps`. A name that is unknown, or missing where there
/// are several worlds, is `invalid_input`.
#[rustler::nif(schedule = "DirtyIo")]
fn inspect_world(env: Env<'_>, path: String, world: Option<String>) -> Term<'_> {
    let read = read_world(Path::new(&path), world.as_deref());
    told(env, read, Code::InvalidInput)
}

/// Reads an interface from WIT or from a component, by its name with package: `acme:kv/store`.
#[rustler::nif(schedule = "DirtyIo")]
fn inspect_interface(env: Env<'_>, path: String, name: String) -> Term<'_> {
    let read = read_interface(Path::new(&path), &name);
    told(env, read, Code::InvalidInput)
}

/// The description as a term, or the error with this code.
fn told<T: Serialize>(
    env: Env<'_>,
    read: Result<T, exosuit_inspect::Error>,
    code: Code,
) -> Term<'_> {
    match read {
        Ok(model) => ok(env, term(env, &json!(model))),
        Err(error) => failure(env, &Error::new(code, error.to_string())),
    }
}
