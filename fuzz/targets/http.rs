//! What an actor answers to an HTTP request: read or refused, and what is read has a status that HTTP
//! knows, and no header that belongs to a connection. The first byte picks the method.
#![no_main]

use bytes::Bytes;
use exosuit_capabilities::fuzz;
use libfuzzer_sys::fuzz_target;

const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "CONNECT"];

fuzz_target!(|bytes: &[u8]| {
    let Some((method, answer)) = bytes.split_first() else {
        return;
    };
    let method = METHODS[usize::from(*method) % METHODS.len()];
    let Some((status, headers)) = fuzz::http_answer(method, &Bytes::copy_from_slice(answer)) else {
        return;
    };
    assert!((200..600).contains(&status));
    for name in ["connection", "transfer-encoding", "upgrade", "trailer"] {
        assert!(!headers.iter().any(|header| header == name), "{name} got through");
    }
});
