//! The input checks of all doors, for Elixir. Texts come as bytes: bytes that are not UTF-8 are refused with a
//! text, and never as a bad argument.

use exosuit_core::reference::NoRegistry;
use exosuit_core::{Bound, Code, Error, Reference, Role, Variable, check_name};
use rustler::types::atom;
use rustler::{Binary, Encoder, Env, Term};

use crate::term::{failure, ok, text_atom};

/// `:ok`, or why the text is no name of this kind (`"contract"`).
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

/// `{:ok, {kind, name}}`, the kind `:file`, `:builtin`, `:module` or `:registry`; or why the text is no
/// reference.
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

/// The error of an image in a registry, with the form of a file of that name.
#[rustler::nif]
fn reference_refusal(image: String) -> String {
    NoRegistry(&image).to_string()
}

/// Every bound: `{name, least, most, text}`.
#[rustler::nif]
fn bounds() -> Vec<(&'static str, u64, u64, String)> {
    let row = |bound: &Bound| (bound.name, bound.least, bound.most, bound.to_string());
    Bound::ALL.iter().map(row).collect()
}

/// Every environment variable that is known: `{name, role, kind, doc}`.
#[rustler::nif]
fn variables(env: Env<'_>) -> Vec<Term<'_>> {
    exosuit_core::VARIABLES
        .iter()
        .map(|it| row(env, it))
        .collect()
}

/// The row of a variable, or nil.
#[rustler::nif]
fn variable_find<'a>(env: Env<'a>, name: &str) -> Option<Term<'a>> {
    Variable::find(name).map(|it| row(env, it))
}

/// The known variable that an unknown one is probably a slip of, or nil.
#[rustler::nif]
fn variable_nearest(name: &str) -> Option<&'static str> {
    Variable::nearest(name)
}

fn row<'a>(env: Env<'a>, it: &'static Variable) -> Term<'a> {
    let role = match it.role {
        Role::Host => "host",
        Role::Release => "release",
        Role::Command => "command",
        Role::Elsewhere => "elsewhere",
        Role::Refused => "refused",
        Role::Internal => "internal",
    };
    let (role, kind) = (text_atom(env, role), text_atom(env, it.kind));
    (it.name, role, kind, it.doc).encode(env)
}

fn utf8<'a>(text: &'a Binary<'_>) -> Result<&'a str, Error> {
    std::str::from_utf8(text.as_slice()).map_err(|_| invalid("a text is not UTF-8".to_owned()))
}

fn invalid(detail: String) -> Error {
    Error::new(Code::InvalidInput, detail)
}

fn clip(text: &str) -> String {
    text.chars().take(200).collect()
}
