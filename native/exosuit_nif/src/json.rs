//! JSON, and what serde makes of Rust's structures, as terms with strings for keys.

use exosuit_core::{Code, Error};
use rustler::types::atom::nil;
use rustler::{Encoder, Env, Term};
use serde_json::Value;

use crate::term::{failure, ok};

/// Decodes JSON. Keys are strings, null is nil.
#[rustler::nif(schedule = "DirtyCpu")]
fn json_decode<'a>(env: Env<'a>, text: &str) -> Term<'a> {
    match serde_json::from_str(text) {
        Ok(value) => ok(env, term(env, &value)),
        Err(error) => failure(
            env,
            &Error::new(Code::InvalidInput, format!("no JSON: {error}")),
        ),
    }
}

/// The value as a term. How deep it is was bounded when it was parsed.
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
            // Keys of an object are distinct, so there is nothing that could fail.
            Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env))
        }
    }
}

fn number_term<'a>(env: Env<'a>, number: &serde_json::Number) -> Term<'a> {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(number), _, _) => number.encode(env),
        (_, Some(number), _) => number.encode(env),
        (_, _, Some(number)) => number.encode(env),
        _ => nil().encode(env),
    }
}
