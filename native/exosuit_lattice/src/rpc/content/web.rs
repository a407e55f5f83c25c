//! HTTP messages on the wire, each with its whole body, in `MessagePack`.
//!
//! A request is an array of method, URI, headers and body, a response one of status, headers and body;
//! headers are an array of names and values in turn. Headers for the next hop and trailers are not
//! sent.

use bytes::{Bytes, BytesMut};
use exosuit_core::{Body, Exchange, strip_hop_by_hop};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use http_body_util::{BodyExt, Empty, Full};
use rmp::encode;

use super::limits::PayloadLimits;
use crate::Error;
use crate::rpc::memory::Held;
use crate::rpc::reader::{ParseError, Reader};

/// How many headers a message may have: ten times what the HTTP server takes.
const MAX_HEADERS: usize = 1_024;

const MEMORY: &str = "memory takes what is written";

/// Encodes a request after a tag, once its body is complete.
///
/// # Errors
///
/// `TooLarge`, `Overloaded`, `Content` if the body breaks off, `Malformed` for more than 1,024
/// headers.
pub(super) async fn request(
    tag: u8,
    request: Request<Body>,
    limits: PayloadLimits<'_>,
) -> Result<Held, Error> {
    let (head, body) = request.into_parts();
    let mut out = vec![tag];
    encode::write_array_len(&mut out, 4).expect(MEMORY);
    encode::write_str(&mut out, head.method.as_str()).expect(MEMORY);
    encode::write_str(&mut out, &head.uri.to_string()).expect(MEMORY);
    rest("HTTP request", out, head.headers, body, limits).await
}

/// Encodes a response after a tag, once its body is complete. The errors are those of `request`.
pub(super) async fn response(
    tag: u8,
    response: Response<Body>,
    limits: PayloadLimits<'_>,
) -> Result<Held, Error> {
    let (head, body) = response.into_parts();
    let mut out = vec![tag];
    encode::write_array_len(&mut out, 3).expect(MEMORY);
    encode::write_uint(&mut out, head.status.as_u16().into()).expect(MEMORY);
    rest("HTTP response", out, head.headers, body, limits).await
}

/// Decodes a request. Its body is a slice of the message.
pub(super) fn read_request(message: &Bytes) -> Result<Exchange, ParseError> {
    let mut reader = Reader::new(message);
    parts(&mut reader, 4)?;
    let method = Method::from_bytes(reader.text()?.as_bytes());
    let uri = reader.text()?.parse::<Uri>();
    let mut request = Request::new(());
    *request.method_mut() = method.map_err(|_| "its method is not valid".to_owned())?;
    *request.uri_mut() = uri.map_err(|_| "its URI is not valid".to_owned())?;
    *request.headers_mut() = read_headers(&mut reader)?;
    let body = read_body(&mut reader)?;
    Ok(Exchange::new(request.map(|()| body)))
}

/// Decodes a response. Its body is a slice of the message.
pub(super) fn read_response(message: &Bytes) -> Result<Response<Body>, ParseError> {
    let mut reader = Reader::new(message);
    parts(&mut reader, 3)?;
    let status = u16::try_from(reader.number()?).ok();
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let mut response = Response::new(());
    *response.status_mut() = status.ok_or("its status is not valid")?;
    *response.headers_mut() = read_headers(&mut reader)?;
    let body = read_body(&mut reader)?;
    Ok(response.map(|()| body))
}

/// The response to a request that is too large.
pub(in crate::rpc) fn too_large() -> Response<Body> {
    let body = Empty::new().map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    response
}

/// Appends headers and body. Headers that concern one connection only are removed.
async fn rest(
    what: &'static str,
    mut out: Vec<u8>,
    mut headers: HeaderMap,
    body: Body,
    limits: PayloadLimits<'_>,
) -> Result<Held, Error> {
    strip_hop_by_hop(&mut headers);
    // It announces trailers, which are not sent.
    headers.remove(header::TRAILER);
    if headers.len() > MAX_HEADERS {
        return Err(Error::malformed(what, too_many()));
    }
    // Within the limit and u32 by that.
    let items = u32::try_from(headers.len() * 2).unwrap_or_default();
    encode::write_array_len(&mut out, items).expect(MEMORY);
    for (name, value) in &headers {
        encode::write_str(&mut out, name.as_str()).expect(MEMORY);
        encode::write_bin(&mut out, value.as_bytes()).expect(MEMORY);
    }
    let gathered = gather(body, limits).await?;
    encode::write_bin(&mut out, &gathered.bytes).expect(MEMORY);
    Ok(gathered.with(out.into()))
}

/// Reads a body to its end, and takes memory for each frame before it is kept. Trailers are
/// dropped.
async fn gather(mut body: Body, limits: PayloadLimits<'_>) -> Result<Held, Error> {
    let mut gathered = Held::default();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Error::Content)?.into_data() else {
            continue;
        };
        limits.fits(bytes.len() + data.len())?;
        gathered = gathered.and(limits.memory.reserve(data.len())?);
        bytes.extend_from_slice(&data);
    }
    Ok(gathered.with(bytes.freeze()))
}

/// The head of a message with this many parts.
fn parts(reader: &mut Reader, expected: usize) -> Result<(), ParseError> {
    match reader.list()? {
        parts if parts == expected => Ok(()),
        parts => Err(format!("it has {parts} parts, expected {expected}")),
    }
}

/// Headers: an array of names and values in turn.
fn read_headers(reader: &mut Reader) -> Result<HeaderMap, ParseError> {
    let items = reader.list()?;
    if items > MAX_HEADERS * 2 {
        return Err(too_many());
    }
    if items % 2 != 0 {
        return Err("a header has no value".to_owned());
    }
    let mut headers = HeaderMap::with_capacity(items / 2);
    for _ in 0..items / 2 {
        let name = HeaderName::from_bytes(reader.text()?.as_bytes());
        let name = name.map_err(|_| "the name of a header is not valid".to_owned())?;
        let value = HeaderValue::from_maybe_shared(reader.bytes()?);
        let value = value.map_err(|_| format!("the value of its {name} is not valid"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// The body, which is the last part.
fn read_body(reader: &mut Reader) -> Result<Body, ParseError> {
    let body = Full::new(reader.bytes()?);
    reader.end()?;
    Ok(body.map_err(|never| match never {}).boxed())
}

fn too_many() -> ParseError {
    format!("it has more than {MAX_HEADERS} headers")
}
