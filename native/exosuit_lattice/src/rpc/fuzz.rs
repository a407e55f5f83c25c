//! Entry points of `fuzz/` to the private readers. Compiled by `cargo fuzz` alone.

use bytes::Bytes;

use super::content::Form;
use super::frame::{Answer, Request};
use super::memory::{Held, Memory};

/// Reads the bytes as a call with a MAC, and as its answer.
pub fn frame(bytes: &Bytes) {
    let _ = Request::decode(bytes);
    let _ = Answer::decode(bytes);
}

/// Reads the bytes as the payload of a call, and as the payload of an answer.
pub fn content(bytes: &Bytes) {
    let memory = Memory::new(1 << 20);
    for form in [Form::Plain, Form::Tagged] {
        let _ = form.read_payload(Held::from(bytes.clone()), &memory);
        let _ = form.read_reply(bytes);
    }
}
