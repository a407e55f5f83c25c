//! JSON, and serde's values as terms. Keys of objects become strings, `null` becomes `nil`.
//!
//! `Exosuit.Json` calls the two NIFs; the other files here use [`term`] for what Rust parsed. Older OTP
//! releases have no JSON, and Exosuit brings no Hex package. Both NIFs run on dirty schedulers: the size
//! of a text is not bounded here. No text becomes an atom.
//!
//! | JSON | term, and back |
//! |---|---|
//! | object | map with binaries as keys; atoms are accepted as keys |
//! | array | list |
//! | string | binary of UTF-8 |
//! | integer of 64 bits | integer; beyond them a float, and an error on the way back |
//! | number with a fraction or an exponent | float |
//! | `true`, `false`, `null` | `true`, `false`, `nil`; other atoms become strings |

use exosuit_core::{Code, Error};
use rustler::types::atom::nil;
use rustler::types::list::ListIterator;
use rustler::types::map::MapIterator;
use rustler::{Decoder, Encoder, Env, Term, TermType};
use serde_json::{Map, Value};

use crate::term::{failure, ok};

/// Decodes JSON: `{:ok, term}`, or `invalid_input` with line and column. Integers beyond 64 bits become
/// floats. Of equal keys in one object the last one counts.
#[rustler::nif(schedule = "DirtyCpu")]
fn json_decode<'a>(env: Env<'a>, text: &str) -> Term<'a> {
    match serde_json::from_str(text) {
        Ok(value) => ok(env, term(env, &value)),
        Err(error) => failure(
            env,
            &Error::new(Code::InvalidInput, format!("invalid JSON: {error}")),
        ),
    }
}

/// Encodes a term as JSON on one line: maps with atoms or strings as keys, lists, UTF-8 binaries,
/// numbers and atoms. `nil` becomes `null`, other atoms become strings.
///
/// Tuples, pids, improper lists, bits that are not bytes and integers beyond 64 bits are
/// `invalid_input`. The text names the type of the term, and never repeats it.
#[rustler::nif(schedule = "DirtyCpu")]
fn json_encode<'a>(env: Env<'a>, value: Term<'a>) -> Term<'a> {
    match self::value(value) {
        Ok(json) => ok(env, json.to_string()),
        Err(detail) => failure(env, &Error::new(Code::InvalidInput, detail)),
    }
}

/// The depth that serde decodes. It keeps the recursion within every thread's stack.
const MAX_DEPTH: usize = 128;

/// The term as a value.
pub(crate) fn value(term: Term<'_>) -> Result<Value, String> {
    json(term, MAX_DEPTH)
}

/// The term as a value, at most `depth` levels deep.
fn json(term: Term<'_>, depth: usize) -> Result<Value, String> {
    if depth == 0 {
        return Err(format!(
            "a term of more than {MAX_DEPTH} levels has no form in JSON"
        ));
    }
    match term.get_type() {
        TermType::Atom => word(term),
        TermType::Binary => decoded::<String>(term).map(Value::String),
        TermType::Integer => integer(term),
        TermType::Float => decoded::<f64>(term).map(Value::from),
        TermType::List => list(term, depth - 1),
        TermType::Map => object(term, depth - 1),
        other => Err(format!("a term of type {other:?} has no form in JSON")),
    }
}

/// An atom: `null`, a boolean, or a string.
fn word(term: Term<'_>) -> Result<Value, String> {
    let text = term.atom_to_string().map_err(|_| no_json(term))?;
    Ok(match text.as_str() {
        "nil" => Value::Null,
        "true" => true.into(),
        "false" => false.into(),
        _ => text.into(),
    })
}

/// An integer of 64 bits, with or without a sign.
fn integer(term: Term<'_>) -> Result<Value, String> {
    let number = decoded::<i64>(term).map(Value::from);
    number.or_else(|_| decoded::<u64>(term).map(Value::from))
}

/// A list. Improper ones are refused before they are walked.
fn list(term: Term<'_>, depth: usize) -> Result<Value, String> {
    // The iterator panics at the end of an improper list.
    term.list_length().map_err(|_| no_json(term))?;
    let items = decoded::<ListIterator<'_>>(term)?;
    items.map(|item| json(item, depth)).collect()
}

/// A map with atoms or strings as keys. A struct is the map of its fields, `__struct__` included.
fn object(term: Term<'_>, depth: usize) -> Result<Value, String> {
    let fields = MapIterator::new(term).ok_or_else(|| no_json(term))?;
    let fields = fields.map(|(key, value)| match json(key, 1)? {
        Value::String(key) => Ok((key, json(value, depth)?)),
        _ => Err(String::from("a key is neither a string nor an atom")),
    });
    fields.collect::<Result<Map<_, _>, _>>().map(Value::Object)
}

/// Decodes a scalar, such as a binary that must be UTF-8.
fn decoded<'a, T: Decoder<'a>>(term: Term<'a>) -> Result<T, String> {
    term.decode().map_err(|_| no_json(term))
}

/// The error for a term without a form in JSON. It names the type only, as the term may be
/// anything.
fn no_json(term: Term<'_>) -> String {
    format!("a term of type {:?} has no form in JSON", term.get_type())
}

/// The value as a term. The parser has bounded its depth.
pub(crate) fn term<'a>(env: Env<'a>, value: &Value) -> Term<'a> {
    match value {
        Value::Null => nil().encode(env),
        Value::Bool(value) => value.encode(env),
        Value::Number(number) => number_term(env, number),
        Value::String(text) => text.encode(env),
        Value::Array(values) => values
            .iter()
            .map(|value| term(env, value))
            .collect::<Vec<_>>()
            .encode(env),
        Value::Object(fields) => {
            let pairs: Vec<_> = fields
                .iter()
                .map(|(key, value)| (key.encode(env), term(env, value)))
                .collect();
            // The keys of an object are distinct, so the map cannot be refused.
            Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env))
        }
    }
}

/// A number: an integer where it fits 64 bits, otherwise a float.
fn number_term<'a>(env: Env<'a>, number: &serde_json::Number) -> Term<'a> {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(number), _, _) => number.encode(env),
        (_, Some(number), _) => number.encode(env),
        (_, _, Some(number)) => number.encode(env),
        _ => nil().encode(env),
    }
}
