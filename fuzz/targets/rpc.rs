//! Messages of calls between hosts: whatever bytes come, they are read or refused, and what was read
//! is the same again when it is written and read once more.
#![no_main]

use bytes::Bytes;
use exosuit_lattice::{Invocation, Response, fuzz};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let message = Bytes::copy_from_slice(bytes);
    if let Ok(invocation) = Invocation::decode(&message) {
        let again = Invocation::decode(&invocation.encode()).expect("what was read can be written");
        assert_eq!(invocation, again);
    }
    if let Ok(response) = Response::decode(&message) {
        let again = Response::decode(&response.encode()).expect("what was read can be written");
        assert_eq!(response, again);
    }
    fuzz::frame(&message);
    fuzz::content(&message);
});
