//! The messages of `wasmcloud:httpserver`: writes requests, reads responses.
//!
//! A request is a map of `method`, `path`, `queryString`, `header` and `body`, a response one of
//! `statusCode`, `header` and `body`. Header names map to lists of values. The request is written
//! by hand and not by `serde`, so that its body is copied once, into its place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use exosuit_core::{Code, Error};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use rmp::encode::{self, ValueWriteError};
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::http::headers::{is_bodiless, is_final, strip_hop_by_hop, take_length};

/// The operation that every request becomes.
pub(crate) const OPERATION: &str = "HttpServer.HandleRequest";

/// The length of a body that is written before it is known. `finish` replaces it.
const OPEN_LENGTH: u32 = u32::MAX;

/// The memory that is reserved for an announced body. The rest is reserved as it comes, since a client could
/// announce anything.
const UNPAID: usize = 64 << 10;

/// A request that is being written: first its head, then its body as it comes. So a large body is copied once,
/// and small parts keep no network buffers alive.
pub(crate) struct Payload {
    /// The message so far.
    bytes: Vec<u8>,
    /// Where the body begins.
    body_at: usize,
    /// Whether the length of the body is still to be written.
    open: bool,
}

impl Payload {
    /// Writes everything but the body, whose announced length is `length`.
    pub(crate) fn begin(head: &Parts, length: Option<u64>) -> Result<Self, Error> {
        let length = length.and_then(|length| u32::try_from(length).ok());
        let announced = usize::try_from(length.unwrap_or(0)).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(1_024 + announced.min(UNPAID));
        write_head(&mut bytes, head).map_err(|error| {
            Error::new(
                Code::Internal,
                format!("a request could not be encoded: {error}"),
            )
        })?;
        let marker = encode::write_bin_len(&mut bytes, length.unwrap_or(OPEN_LENGTH));
        marker.map_err(|error| {
            Error::new(
                Code::Internal,
                format!("a request could not be encoded: {error}"),
            )
        })?;
        Ok(Self {
            body_at: bytes.len(),
            bytes,
            open: length.is_none(),
        })
    }

    /// Appends to the body.
    pub(crate) fn push(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
    }

    /// The length of the body so far.
    pub(crate) fn body_length(&self) -> u64 {
        (self.bytes.len() - self.body_at) as u64
    }

    /// The whole message.
    pub(crate) fn finish(mut self) -> Bytes {
        if self.open {
            let length = u32::try_from(self.body_length()).unwrap_or(OPEN_LENGTH);
            let place = self.body_at - size_of_val(&length)..self.body_at;
            self.bytes[place].copy_from_slice(&length.to_be_bytes());
        }
        self.bytes.into()
    }
}

/// Everything before the body.
fn write_head(out: &mut Vec<u8>, head: &Parts) -> Result<(), ValueWriteError> {
    encode::write_map_len(out, 5)?;
    for (name, value) in [
        ("method", head.method.as_str()),
        ("path", head.uri.path()),
        ("queryString", head.uri.query().unwrap_or("")),
    ] {
        encode::write_str(out, name)?;
        encode::write_str(out, value)?;
    }
    encode::write_str(out, "header")?;
    write_header(out, &head.headers)?;
    encode::write_str(out, "body")
}

/// Writes headers as a map of names to lists of values.
pub(crate) fn write_header(out: &mut Vec<u8>, header: &HeaderMap) -> Result<(), ValueWriteError> {
    encode::write_map_len(out, small(header.keys_len()))?;
    for name in header.keys() {
        encode::write_str(out, name.as_str())?;
        let values = header.get_all(name);
        encode::write_array_len(out, small(values.iter().count()))?;
        for value in values {
            encode::write_str(out, &text(value))?;
        }
    }
    Ok(())
}

/// The number of headers. It is bounded by the size of a head.
fn small(length: usize) -> u32 {
    u32::try_from(length).expect("the header is bounded by max_header_bytes")
}

/// The text of a header value. Bytes that are not UTF-8 are read as Latin-1, the old encoding of HTTP, so that
/// nothing is lost.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.into(),
        Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
    }
}

/// The answer of an actor. Missing fields have their defaults, which the status check refuses.
#[derive(Deserialize)]
struct Answered<'a> {
    #[serde(rename = "statusCode", default)]
    status: u16,
    #[serde(default)]
    header: Option<Header>,
    #[serde(default, borrow, with = "serde_bytes")]
    body: Option<Cow<'a, [u8]>>,
}

/// The most headers of an answer, all values counted. In memory an empty header takes dozens of
/// times its size in the message.
const MAX_HEADERS: usize = 1_024;

/// The headers of an answer, by name.
pub(crate) struct Header(BTreeMap<String, Values>);

impl Header {
    /// Names and values, each value by itself.
    pub(crate) fn into_pairs(self) -> impl Iterator<Item = (String, String)> {
        let pairs = |(name, values): (String, Values)| {
            let values = values.0.into_iter();
            values.map(move |value| (name.clone(), value))
        };
        self.0.into_iter().flat_map(pairs)
    }
}

/// The values of one name: many, or one that stands alone.
/// The values of one header: some guests write a single text.
struct Values(Vec<String>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadHeader)
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadValues)
    }
}

/// Reads headers, and refuses too many while they are read: afterwards the memory would be taken
/// already.
struct ReadHeader;

impl<'de> Visitor<'de> for ReadHeader {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX_HEADERS} headers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = BTreeMap::new();
        let mut count = 0;
        while let Some((name, values)) = map.next_entry::<String, Values>()? {
            count += values.0.len().max(1);
            if count > MAX_HEADERS {
                return Err(A::Error::invalid_length(count, &self));
            }
            header.insert(name, values);
        }
        Ok(Header(header))
    }
}

/// Reads the values of one header: a list, or a single text as some guests write it.
struct ReadValues;

impl<'de> Visitor<'de> for ReadValues {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text, or at most {MAX_HEADERS} of them")
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Values, E> {
        Ok(Values(vec![value.to_owned()]))
    }

    fn visit_bytes<E: serde::de::Error>(self, value: &[u8]) -> Result<Values, E> {
        let value = std::str::from_utf8(value).map_err(E::custom)?;
        self.visit_str(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Values, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            if values.len() == MAX_HEADERS {
                return Err(A::Error::invalid_length(values.len() + 1, &self));
            }
            values.push(value);
        }
        Ok(Values(values))
    }
}

/// Decodes the answer to a request of this method. The body is a slice of the message.
///
/// # Errors
///
/// `guest`, for an answer that is not a response: its form, its status, or a header.
pub(crate) fn response(answer: &Bytes, method: &Method) -> Result<Response<Full<Bytes>>, Error> {
    let answered: Answered = rmp_serde::from_slice(answer).map_err(|_| {
        bad(
            "it is not MessagePack of {statusCode: u16, header: {str: [str]}, body: bin} with at \
             most 1024 headers",
        )
    })?;
    let status = StatusCode::from_u16(answered.status).ok();
    let status = status.filter(|status| is_final(*status));
    let status = status.ok_or_else(|| {
        bad(&format!(
            "its status {} is not from 200 to 599",
            answered.status
        ))
    })?;
    let body = match answered.body {
        None => Bytes::new(),
        Some(Cow::Borrowed(part)) => answer.slice_ref(part),
        Some(Cow::Owned(part)) => part.into(),
    };
    let header = answered.header.map(|header| header.0);
    let mut headers = headers(header.unwrap_or_default())?;
    let body = frame(&mut headers, status, method, body);

    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The headers of a response, without those that concern one connection only.
fn headers(given: BTreeMap<String, Values>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, values) in given {
        let name = HeaderName::try_from(&name)
            .map_err(|_| bad("one of its header names is not a token"))?;
        for value in values.0 {
            let value = HeaderValue::try_from(value).map_err(|_| {
                bad(&format!(
                    "its header {name} has a value with a control character"
                ))
            })?;
            headers
                .try_append(name.clone(), value)
                .map_err(|_| bad("it has too many headers"))?;
        }
    }
    strip_hop_by_hop(&mut headers);
    // There are none.
    headers.remove(header::TRAILER);
    Ok(headers)
}

/// Makes body and length agree. The guest's own `content-length` counts only for HEAD, whose answer
/// declares the length of a body that it does not have.
fn frame(headers: &mut HeaderMap, status: StatusCode, method: &Method, body: Bytes) -> Bytes {
    let told = take_length(headers);
    if !is_bodiless(method, status) {
        return body;
    }
    if !is_bodiless(&Method::GET, status) {
        let told = told.filter(|_| body.is_empty());
        let length = told.unwrap_or(body.len() as u64);
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Bytes::new()
}

/// The error for an answer that is not a response. It is the guest's fault.
fn bad(what: &str) -> Error {
    Error::new(
        Code::Guest,
        format!("the answer to {OPERATION} is not an HTTP response: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn who_announces_a_body_takes_no_memory_for_it() {
        let (head, ()) = Request::new(()).into_parts();
        let mut payload = Payload::begin(&head, Some(u32::MAX.into())).expect("a payload");
        assert!(payload.bytes.capacity() <= UNPAID + 1_024);
        payload.push(&vec![b'x'; 2 * UNPAID]);
        assert_eq!(payload.body_length(), 2 * UNPAID as u64);
    }
}
