//! The arguments of operations, as guests of the wasmbus write them: the first byte picks the
//! operation, the rest is its payload.
#![no_main]

use exosuit_capabilities::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((operation, payload)) = bytes.split_first() {
        fuzz::operation(*operation, payload);
    }
});
