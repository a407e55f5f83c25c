//! Small conversions to and from terms: results, errors, atoms, bytes and names.
//!
//! Every NIF uses them, on any scheduler. A term belongs to the environment in which it was made, and
//! must not outlive it, so nothing here keeps one.
//!
//! | Rust | term |
//! |---|---|
//! | `Ok(value)`, `Err(error)` | `{:ok, value}`, `{:error, {code, detail}}` |
//! | [`Code`] | an atom of a fixed set |
//! | a text of this library | an atom ([`text_atom`]) |
//! | a text from outside | a binary |
//! | [`Bytes`], by [`Payload`] | a binary |
//! | fields with names of this library | a map with atoms as keys ([`map`]) |

use bytes::Bytes;
use exosuit_core::{Code, Contract, Error, Id, InvalidName, LinkName};
use rustler::types::atom;
use rustler::{Atom, Encoder, Env, NewBinary, Term};

/// Returns `{:ok, value}`.
pub(crate) fn ok(env: Env<'_>, value: impl Encoder) -> Term<'_> {
    (atom::ok(), value).encode(env)
}

/// Returns `{:error, {code, detail}}`: the code an atom of a fixed set, the detail a text for people.
/// `Exosuit.Error.from_native/1` makes the exception of it.
pub(crate) fn failure<'a>(env: Env<'a>, error: &Error) -> Term<'a> {
    (atom::error(), (code(env, error.code), &error.detail)).encode(env)
}

/// The code as an atom. The codes are a fixed set.
pub(crate) fn code(env: Env<'_>, code: Code) -> Term<'_> {
    text_atom(env, code.as_str())
}

/// The atom of a text in this library. `'static` keeps texts from outside away, as atoms are never
/// collected.
pub(crate) fn text_atom<'a>(env: Env<'a>, text: &'static str) -> Term<'a> {
    match Atom::from_str(env, text) {
        Ok(atom) => atom.encode(env),
        Err(_) => text.encode(env),
    }
}

/// A map with atoms of this library as keys. Equal keys would be a mistake of the caller, and make the
/// map empty.
pub(crate) fn map<'a>(env: Env<'a>, fields: &[(&'static str, Term<'a>)]) -> Term<'a> {
    let pairs: Vec<_> = fields
        .iter()
        .map(|(key, value)| (text_atom(env, key), *value))
        .collect();
    Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env))
}

/// Bytes that become a binary, with one copy. The BEAM allocates binaries itself, so the copy cannot be
/// avoided; its cost is that of `memcpy`, a few microseconds for 64 KiB.
pub(crate) struct Payload(pub(crate) Bytes);

impl Encoder for Payload {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        binary(env, &self.0)
    }
}

/// A binary with a copy of the bytes.
pub(crate) fn binary<'a>(env: Env<'a>, bytes: &[u8]) -> Term<'a> {
    let mut binary = NewBinary::new(env, bytes.len());
    binary.as_mut_slice().copy_from_slice(bytes);
    binary.into()
}

/// Parses an id of an actor or provider. The error is `invalid_input`, as for the next two.
pub(crate) fn id(text: &str) -> Result<Id, Error> {
    Id::parse(text).map_err(invalid)
}

/// Parses the name of a link.
pub(crate) fn link_name(text: &str) -> Result<LinkName, Error> {
    LinkName::parse(text).map_err(invalid)
}

/// Parses a contract.
pub(crate) fn contract(text: &str) -> Result<Contract, Error> {
    Contract::parse(text).map_err(invalid)
}

/// The error for Elixir: `invalid_input`, with the text of the parser.
#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn invalid(error: InvalidName) -> Error {
    Error::new(Code::InvalidInput, error.to_string())
}
