//! The messages of `wasmcloud:httpclient`: a request read, a response written.

use std::borrow::Cow;

use bytes::Bytes;
use exosuit_core::{Body, Code, Error};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use rmp::encode::{self, ValueWriteError};
use serde::Deserialize;

use crate::http::server::contract::{Header, write_header};
use crate::message;

/// The operation of the contract.
pub(crate) const OPERATION: &str = "HttpClient.Request";

/// The form of a request, for the error.
const SHAPE: &str = "{method: str, url: str, headers: {str: [str]}, body: bin} with at most 1024 \
                     headers";

/// A request as the guest encodes it.
#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default)]
    headers: Option<Header>,
    #[serde(default, borrow, with = "serde_bytes")]
    body: Option<Cow<'a, [u8]>>,
}

/// The method of a request that has none.
fn get() -> String {
    "GET".to_owned()
}

/// Decodes a request. Its body is a slice of the message.
///
/// # Errors
///
/// `invalid_input`.
pub(crate) fn request(payload: &Bytes) -> Result<Request<Body>, Error> {
    let asked: Asked = message::read(OPERATION, SHAPE, payload)?;
    let body = match asked.body {
        None => Bytes::new(),
        Some(Cow::Borrowed(part)) => payload.slice_ref(part),
        Some(Cow::Owned(part)) => part.into(),
    };
    let request = Request::builder()
        .method(asked.method.as_str())
        .uri(asked.url.as_str());
    let body = Full::new(body).map_err(|never| match never {}).boxed();
    let mut request = request
        .body(body)
        .map_err(|error| refused(&error.to_string()))?;
    *request.headers_mut() = headers(asked.headers)?;
    Ok(request)
}

/// The headers of a request. A bad name or value is `invalid_input`.
fn headers(given: Option<Header>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    let given = given.into_iter().flat_map(Header::into_pairs);
    for (name, value) in given {
        let name = HeaderName::try_from(&name);
        let name = name.map_err(|_| refused("the name of a header is not a token"))?;
        let value = HeaderValue::try_from(value);
        let value = value.map_err(|_| refused(&format!("the header {name} has a bad value")))?;
        let appended = headers.try_append(name, value);
        appended.map_err(|_| refused("there are too many headers"))?;
    }
    Ok(headers)
}

/// Encodes a response, once its body is complete.
///
/// # Errors
///
/// `provider` for a body of more than `most` bytes, or the error of the body.
pub(crate) async fn response(response: Response<Body>, most: u64) -> Result<Bytes, Error> {
    let (head, mut body) = response.into_parts();
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame?.into_data() else {
            continue;
        };
        if whole.len() as u64 + part.len() as u64 > most {
            let detail = format!("the body of the response is larger than max_body_bytes, {most}");
            return Err(Error::new(Code::Provider, detail));
        }
        whole.extend_from_slice(&part);
    }
    let written = write(head.status.as_u16(), &head.headers, &whole);
    written.map_err(|error| {
        let detail = format!("a response was not written: {error}");
        Error::new(Code::Internal, detail)
    })
}

/// The message of a response.
fn write(status: u16, headers: &HeaderMap, body: &[u8]) -> Result<Bytes, ValueWriteError> {
    let mut out = Vec::with_capacity(1_024 + body.len());
    encode::write_map_len(&mut out, 3)?;
    encode::write_str(&mut out, "statusCode")?;
    encode::write_uint(&mut out, status.into())?;
    encode::write_str(&mut out, "header")?;
    write_header(&mut out, headers)?;
    encode::write_str(&mut out, "body")?;
    encode::write_bin(&mut out, body)?;
    Ok(out.into())
}

/// A request that cannot be sent.
fn refused(why: &str) -> Error {
    let detail = format!("the request cannot be sent: {why}");
    Error::new(Code::InvalidInput, detail)
}
