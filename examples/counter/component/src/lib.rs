//! A component that counts: each `GET /path` increments a counter of that path in the key-value store.

use std::io::{self, Write as _};

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

use bindings::wasi::keyvalue::{atomics, store};

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "counter", generate_all });
}

wasip2::http::proxy::export!(Counter);

struct Counter;

impl Guest for Counter {
    fn handle(request: IncomingRequest, response: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();

        // A refused or failed call goes back as it is: the host knows which status it deserves.
        match count(&key(&path)) {
            Ok(counter) => answer(response, &format!(r#"{{"counter":{counter}}}"#)),
            Err(error) => {
                let error = ErrorCode::InternalError(Some(error.to_string()));
                ResponseOutparam::set(response, Err(error));
            }
        }
    }
}

fn count(key: &str) -> Result<u64, store::Error> {
    let bucket = store::open("default")?;
    atomics::increment(&bucket, key, 1)
}

/// `/a/b?c` counts under `counter:a_b`, and `/` alone under `counter:default`.
fn key(path_with_query: &str) -> String {
    let path = path_with_query.split('?').next().unwrap_or_default();

    match path.trim_matches('/') {
        "" => "counter:default".into(),
        path => format!("counter:{}", path.replace('/', "_")),
    }
}

fn answer(response: ResponseOutparam, json: &str) {
    let headers = [
        ("content-type".into(), b"application/json".to_vec()),
        ("content-length".into(), json.len().to_string().into_bytes()),
    ];
    let headers = Fields::from_list(&headers).expect("these headers are well formed");
    let outgoing = OutgoingResponse::new(headers);
    let body = outgoing.body().expect("a new response still has its body");

    // The host sends the head as soon as it has it; the body follows while this function runs.
    ResponseOutparam::set(response, Ok(outgoing));

    // Whoever asked may be gone by now, and then nobody is left to tell.
    let _ = write(body, json.as_bytes());
}

fn write(body: OutgoingBody, bytes: &[u8]) -> io::Result<()> {
    // The stream is a child of the body, and must be gone before the body is finished.
    body.write()
        .map_err(|()| io::ErrorKind::BrokenPipe)?
        .write_all(bytes)?;
    OutgoingBody::finish(body, None).map_err(io::Error::other)
}
