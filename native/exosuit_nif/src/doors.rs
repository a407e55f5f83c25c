//! Checks of all inputs, for Elixir. The rules themselves are tables in `exosuit_core`.
//!
//! Texts come as binaries. A binary that is not UTF-8 gets an error with a text; a `&str` argument
//! would raise `ArgumentError` instead.
//!
//! `Exosuit.Input` calls these functions for every name, number and reference that enters through the
//! API, a manifest, the socket or the lattice. Each takes microseconds and runs on a normal scheduler:
//! the bounds of names end the work early for long texts. `Exosuit.Environment` reads the table of
//! variables once at the start of a host.

use exosuit_core::reference::NoRegistry;
use exosuit_core::{Bound, Code, Error, Reference, Role, Variable, check_name};
use rustler::types::atom;
use rustler::{Binary, Encoder, Env, Term};

use crate::term::{failure, ok, text_atom};

/// Checks a name of a kind (`"contract"`, `"id"`, `"link_name"`, …). Returns `:ok`, or
/// `{:error, {:invalid_input, reason}}`, whose text says what is expected.
#[rustler::nif]
fn name_check<'a>(env: Env<'a>, kind: &str, text: Binary<'a>) -> Term<'a> {
    let checked = utf8(&text).and_then(|text| {
        let checked = check_name(kind, text);
        let checked =
            checked.ok_or_else(|| invalid(format!("there are no names of kind {kind:?}")))?;
        checked.map_err(|error| invalid(error.to_string()))
    });
    match checked {
        Ok(()) => atom::ok().encode(env),
        Err(error) => failure(env, &error),
    }
}

/// Parses a reference. Returns `{:ok, {kind, name}}`; the kind is `:file`, `:builtin`, `:module` or
/// `:registry`.
#[rustler::nif]
fn reference_parse<'a>(env: Env<'a>, text: Binary<'a>) -> Term<'a> {
    let parsed = utf8(&text).and_then(|text| {
        Reference::parse(text).map_err(|error| invalid(format!("{error}, got {:?}", clip(text))))
    });
    match parsed {
        Ok(reference) => ok(env, (text_atom(env, reference.kind()), reference.name())),
        Err(error) => failure(env, &error),
    }
}

/// The error for an image in a registry. It suggests the form of a file with that name.
#[rustler::nif]
fn reference_refusal(image: String) -> String {
    NoRegistry(&image).to_string()
}

/// Lists all bounds: `{name, least, most, text}`. The text is the one for errors, such as "a port from 1 to 65535".
#[rustler::nif]
fn bounds() -> Vec<(&'static str, u64, u64, String)> {
    let row = |bound: &Bound| (bound.name, bound.least, bound.most, bound.to_string());
    Bound::ALL.iter().map(row).collect()
}

/// Lists all known environment variables: `{name, role, kind, doc}`. The role says who reads it, the
/// kind how its text is parsed.
#[rustler::nif]
fn variables(env: Env<'_>) -> Vec<Term<'_>> {
    exosuit_core::VARIABLES
        .iter()
        .map(|variable| row(env, variable))
        .collect()
}

/// The row of a variable, or `nil`. A row whose name ends with `*` covers every longer name that
/// begins so.
#[rustler::nif]
fn variable_find<'a>(env: Env<'a>, name: &str) -> Option<Term<'a>> {
    Variable::find(name).map(|variable| row(env, variable))
}

/// The known variable that an unknown name is probably a typing error of, or `nil`.
#[rustler::nif]
fn variable_nearest(name: &str) -> Option<&'static str> {
    Variable::nearest(name)
}

/// The row of a variable: `{name, role, kind, doc}`.
fn row<'a>(env: Env<'a>, variable: &'static Variable) -> Term<'a> {
    let role = match variable.role {
        Role::Host => "host",
        Role::Release => "release",
        Role::Command => "command",
        Role::Elsewhere => "elsewhere",
        Role::Refused => "refused",
        Role::Internal => "internal",
    };
    let (role, kind) = (text_atom(env, role), text_atom(env, variable.kind));
    (variable.name, role, kind, variable.doc).encode(env)
}

/// The binary as text.
fn utf8<'a>(text: &'a Binary<'_>) -> Result<&'a str, Error> {
    std::str::from_utf8(text.as_slice()).map_err(|_| invalid("a text is not UTF-8".to_owned()))
}

/// The error `invalid_input` with this text.
fn invalid(detail: String) -> Error {
    Error::new(Code::InvalidInput, detail)
}

/// The first 200 characters, as an error must not repeat a text of any length.
fn clip(text: &str) -> String {
    text.chars().take(200).collect()
}
