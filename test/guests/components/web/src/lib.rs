//! An HTTP handler that does what a test asks of it: the path says what, the query how.
//!
//! - `http`: the request taken apart, the answer put together, bodies as streams.
//! - `client`: requests to others.
//! - `store`: `wasi:keyvalue`.
//! - `surroundings`: configuration, log, environment, files.

mod client;
mod http;
mod store;
mod surroundings;

use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use wasip2::clocks::monotonic_clock;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

use http::{Reply, Request};

wasip2::http::proxy::export!(Web);

/// What this instance has counted so far.
static COUNT: AtomicU32 = AtomicU32::new(1);

struct Web;

impl Guest for Web {
    fn handle(request: IncomingRequest, response: ResponseOutparam) {
        let request = Request::new(request);
        let reply = Reply::new(response);
        let path = request.path().to_owned();

        match path.strip_prefix("/kv/") {
            Some(operation) => store::answer(operation, &request, reply),
            None => answer(&path, request, reply),
        }
    }
}

fn answer(path: &str, request: Request, reply: Reply) {
    match path {
        "/hello" => reply.text(200, "Hello, world!\n"),
        "/headers" => reply.text(200, &request.head()),
        "/echo" => echo(request, reply),
        "/length" => length(request, reply),
        "/stream" => stream(request.number("bytes"), reply),
        "/fetch" => client::fetch(&request, reply),
        "/post" => client::post(request, reply),
        "/config" => surroundings::config(&request, reply),
        "/config-runtime" => surroundings::config_runtime(&request, reply),
        "/log" => surroundings::log(&request, reply),
        "/log-unversioned" => surroundings::log_unversioned(&request, reply),
        "/print" => surroundings::print(&request, reply),
        "/env" => surroundings::environment(reply),
        "/file" => surroundings::file(&request, reply),
        "/slow" => slow(request.number("ms"), reply),
        "/spin" => spin(),
        "/trap" => trap(),
        "/half" => half(reply),
        "/half-open" => half_open(reply),
        "/no-response" => drop(reply),
        "/forget" => reply.forgotten(b"0123456789"),
        "/count" => reply.text(200, &COUNT.fetch_add(1, Relaxed).to_string()),
        _ => reply.text(404, "no such path\n"),
    }
}

/// The body comes back as it arrives, and is never held whole.
fn echo(request: Request, reply: Reply) {
    let mut body = request.into_body();
    reply.stream(200, |out| io::copy(&mut body, out));
}

/// Reads the body to its end and says how long it was.
fn length(request: Request, reply: Reply) {
    match io::copy(&mut request.into_body(), &mut io::sink()) {
        Ok(bytes) => reply.text(200, &bytes.to_string()),
        Err(error) => reply.text(400, &error.to_string()),
    }
}

/// `bytes` bytes, the one at place `n` being the last hexadecimal digit of `n`.
fn stream(bytes: u64, reply: Reply) {
    let piece = b"0123456789abcdef".repeat(1024);

    reply.stream(200, |out| {
        let mut left = bytes;
        while left > 0 {
            let now = left.min(piece.len() as u64);
            out.write_all(&piece[..now as usize])?;
            left -= now;
        }
        Ok(bytes)
    });
}

fn slow(ms: u64, reply: Reply) {
    monotonic_clock::subscribe_duration(ms * 1_000_000).block();
    reply.text(200, "slept\n");
}

fn spin() {
    #[allow(clippy::empty_loop, reason = "that is what it is for")]
    loop {}
}

fn trap() {
    core::arch::wasm32::unreachable()
}

/// Announces twenty bytes, sends ten and traps.
fn half(reply: Reply) {
    reply.sized_stream(200, 20, |out| ten_then_trap(out));
}

/// Sends ten bytes and traps: no length tells the client that there should have been more.
fn half_open(reply: Reply) {
    reply.stream(200, |out| ten_then_trap(out));
}

fn ten_then_trap(out: &mut impl Write) -> io::Result<u64> {
    out.write_all(b"0123456789")?;
    out.flush()?;
    core::arch::wasm32::unreachable()
}
