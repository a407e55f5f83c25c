//! Entry points of `fuzz/` to the private readers. Compiled by `cargo fuzz` alone.

use bytes::Bytes;
use http::Method;

use crate::http::server::contract;
use crate::{keyvalue, messaging};

/// The operations of wasmbus contracts whose arguments are read here.
const OPERATIONS: &[&str] = &[
    "KeyValue.Contains",
    "KeyValue.Increment",
    "KeyValue.ListAdd",
    "KeyValue.ListRange",
    "KeyValue.Set",
    "KeyValue.SetUnion",
    "Messaging.Publish",
    "Messaging.Request",
];

/// Reads the arguments of the operation of this number.
pub fn operation(number: u8, payload: &[u8]) {
    let name = OPERATIONS[usize::from(number) % OPERATIONS.len()];
    let known = match name.split_once('.') {
        Some(("KeyValue", _)) => keyvalue::wasmbus::read(name, payload).is_some(),
        _ => messaging::wasmbus::read(name, payload).is_some(),
    };
    assert!(known, "{name} is not an operation any more");
}

/// Reads an actor's answer to a request of this method: its status, and the names of its headers.
pub fn http_answer(method: &str, answer: &Bytes) -> Option<(u16, Vec<String>)> {
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let response = contract::response(answer, &method).ok()?;
    let names = response.headers().keys().map(ToString::to_string);
    Some((response.status().as_u16(), names.collect()))
}
