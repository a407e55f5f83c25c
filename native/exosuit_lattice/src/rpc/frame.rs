//! Calls and answers between hosts of one cluster as they are on the wire, with their MACs.
//!
//! A message consists of a header, the MAC over it, and the payload, whose hash is in the header. Each field of a
//! header is preceded by its length in four bytes, so that different headers have different bytes. The fields,
//! in this order:
//!
//! | request | answer |
//! |---|---|
//! | version, key id, epoch, time | version, key id, epoch, time |
//! | call id | status: 0 for a result, 1 for an error |
//! | origin: name, contract, link, id | code and text of the error |
//! | target: name, contract, link | |
//! | operation | |
//! | payload's hash and length | payload's hash and length |
//! | depth, milliseconds left, trace (parent, state) | |
//!
//! The MAC of an answer also covers the MAC of its request. Pure: the parser trusts no input.
//!
//! Numbers are in network byte order: 8 bytes for times, lengths and epochs, 1 byte for version,
//! status and depth.
//!
//! ```text
//! | 4: length | field | 4: length | field | … | 32: MAC | payload |
//! └────────────── header, covered by the MAC ──┘
//! ```
//!
//! The payload is covered by its hash. So a header can be verified before a large payload is read
//! or fetched, and the payload may travel apart.

use bytes::Bytes;
use exosuit_claims::invocation::Entity;
use sha2::{Digest, Sha256};

use super::headers::Trace;
use super::mac::{EpochKeys, KeyId, MAC_LENGTH, Mac};
use super::reader::ParseError;
use crate::Error;

/// The operation of a probe: none.
pub(super) const PROBE: &str = "";

/// The version of this format. A message of another version is refused; such a host would be called
/// by signature.
const VERSION: u8 = 1;

/// The longest name in bytes: key, contract, link, operation, trace.
pub(super) const MAX_NAME: usize = 1_024;
/// The longest code of an error in bytes. The writer cuts, the reader refuses.
const MAX_CODE: usize = 64;
/// The longest text of an error in bytes.
const MAX_TEXT: usize = 4_096;

/// The SHA-256 of a payload.
pub(super) type Hash = [u8; 32];

/// The header of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// When it was made, in milliseconds since 1970.
    pub(super) time: u64,
    /// Random, and new for each attempt. It also names a payload that travels apart.
    pub(super) id: [u8; 16],
    /// The caller, by its key if it has one.
    pub(super) origin: Entity,
    /// The id of the origin on its host, if it is named by its key.
    pub(super) origin_id: Option<String>,
    /// The called actor or provider, which must fit the subject.
    pub(super) target: Entity,
    /// The operation; empty for a probe.
    pub(super) operation: String,
    pub(super) hash: Hash,
    /// How long the payload is, wherever it is.
    pub(super) length: u64,
    /// How many calls this one is inside of.
    pub(super) depth: u8,
    /// How many milliseconds the caller will wait.
    pub(super) left: u64,
    /// The trace context, covered by the MAC.
    pub(super) trace: Trace,
}

/// The header of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// When it was made, in milliseconds since 1970.
    pub(super) time: u64,
    /// Code and text of the error, if it is one.
    pub(super) error: Option<(String, String)>,
    pub(super) hash: Hash,
    /// How long the payload is, wherever it is.
    pub(super) length: u64,
}

/// A decoded message. Trust nothing of it until the MAC over `header` is verified.
#[derive(Debug)]
pub(super) struct Received<T> {
    /// The header's content.
    pub(super) said: T,
    /// Which seed the MAC was made with, as the message says.
    pub(super) key: KeyId,
    /// Which hour's key, as the message says.
    pub(super) epoch: u64,
    pub(super) mac: Mac,
    /// The bytes that the MAC covers.
    pub(super) header: Bytes,
    pub(super) payload: Bytes,
}

/// The hash of a payload.
pub(super) fn hash(payload: &[u8]) -> Hash {
    Sha256::digest(payload).into()
}

impl Request {
    /// Encodes the message. Returns its MAC as well, which the answer must cover. An empty
    /// `payload` with a `length` means that the payload is in the object store.
    pub(super) fn encode(&self, keys: &EpochKeys, payload: &[u8]) -> (Bytes, Mac) {
        let mut out = Writer::begin(keys, self.time, payload.len());
        out.field(&self.id);
        let origin_id = self.origin_id.as_deref().unwrap_or_default();
        for text in [
            parts(&self.origin).as_slice(),
            &[origin_id],
            &parts(&self.target),
        ]
        .concat()
        {
            out.field(text.as_bytes());
        }
        out.field(self.operation.as_bytes());
        out.field(&self.hash);
        out.number(self.length);
        out.field(&[self.depth]);
        out.number(self.left);
        for text in [&self.trace.parent, &self.trace.state] {
            out.field(text.as_deref().unwrap_or_default().as_bytes());
        }
        let mac = keys.of_request(&out.0);
        (out.end(&mac, payload), mac)
    }

    /// Decodes a message. Verifies nothing: the caller has to check the MAC over `header`.
    ///
    /// # Errors
    ///
    /// `Malformed`, for a message that is cut, of another version, or with a text that is too long.
    pub(super) fn decode(message: &Bytes) -> Result<Received<Self>, Error> {
        decode(message, |fields, time| {
            let id = fields.exactly()?;
            let origin = fields.entity()?;
            let origin_id = Some(fields.text(MAX_NAME)?).filter(|id| !id.is_empty());
            Ok(Self {
                time,
                id,
                origin,
                origin_id,
                target: fields.entity()?,
                operation: fields.text(MAX_NAME)?,
                hash: fields.exactly()?,
                length: fields.number()?,
                depth: u8::from_be_bytes(fields.exactly()?),
                left: fields.number()?,
                trace: Trace::parse(&fields.text(MAX_NAME)?, &fields.text(MAX_NAME)?),
            })
        })
        .map_err(|why| Error::malformed("invocation", why))
    }
}

impl Answer {
    /// Encodes the answer to the request of this MAC.
    pub(super) fn encode(&self, keys: &EpochKeys, request: &Mac, payload: &[u8]) -> Bytes {
        let mut out = Writer::begin(keys, self.time, payload.len());
        out.field(&[u8::from(self.error.is_some())]);
        let (code, text) = match &self.error {
            Some((code, text)) => (code.as_str(), text.as_str()),
            None => ("", ""),
        };
        out.field(&code.as_bytes()[..code.floor_char_boundary(MAX_CODE)]);
        out.field(&text.as_bytes()[..text.floor_char_boundary(MAX_TEXT)]);
        out.field(&self.hash);
        out.number(self.length);
        let mac = keys.of_answer(request, &out.0);
        out.end(&mac, payload)
    }

    /// Decodes an answer. Verifies nothing.
    ///
    /// # Errors
    ///
    /// `Malformed`.
    pub(super) fn decode(message: &Bytes) -> Result<Received<Self>, Error> {
        decode(message, |fields, time| {
            let status = u8::from_be_bytes(fields.exactly()?);
            let error = (fields.text(MAX_CODE)?, fields.text(MAX_TEXT)?);
            Ok(Self {
                time,
                error: match status {
                    0 => None,
                    1 => Some(error),
                    other => return Err(format!("its status is {other}, expected 0 or 1")),
                },
                hash: fields.exactly()?,
                length: fields.number()?,
            })
        })
        .map_err(|why| Error::malformed("invocation response", why))
    }
}

/// Checks that a payload has the hash of its header.
///
/// # Errors
///
/// `WrongMac`.
pub(super) fn check(payload: &[u8], expected: &Hash) -> Result<(), Error> {
    if hash(payload) == *expected {
        return Ok(());
    }
    Err(Error::WrongMac("the payload is not the one that was sent"))
}

/// The three texts of an entity, in the order of the header.
fn parts(entity: &Entity) -> [&str; 3] {
    [&entity.public_key, &entity.contract, &entity.link]
}

/// Decodes the common fields, and lets `rest` decode the others. The header's bytes are a slice of
/// the message, not a copy.
fn decode<T>(
    message: &Bytes,
    rest: impl FnOnce(&mut Fields<'_>, u64) -> Result<T, ParseError>,
) -> Result<Received<T>, ParseError> {
    let mut fields = Fields { message, at: 0 };
    let version = u8::from_be_bytes(fields.exactly()?);
    if version != VERSION {
        return Err(format!("its version is {version}, expected {VERSION}"));
    }
    let key = KeyId(fields.exactly()?);
    let (epoch, time) = (fields.number()?, fields.number()?);
    let said = rest(&mut fields, time)?;
    let end = fields.at;
    let mac = fields.bytes(MAC_LENGTH)?.try_into().map_err(|_| cut())?;
    Ok(Received {
        said,
        key,
        epoch,
        mac,
        header: message.slice(..end),
        payload: message.slice(fields.at..),
    })
}

/// A message that is being encoded.
struct Writer(Vec<u8>);

impl Writer {
    /// Begins a header. The capacity is enough for usual names, so that the buffer does not grow.
    fn begin(keys: &EpochKeys, time: u64, payload: usize) -> Self {
        let mut out = Self(Vec::with_capacity(512 + payload));
        out.field(&[VERSION]);
        out.field(&keys.id.0);
        out.number(keys.epoch);
        out.number(time);
        out
    }

    /// Appends a field with its length.
    fn field(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("no field has 4 GiB");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    /// Appends a number in 8 bytes.
    fn number(&mut self, number: u64) {
        self.field(&number.to_be_bytes());
    }

    /// Appends the MAC and the payload.
    fn end(mut self, mac: &Mac, payload: &[u8]) -> Bytes {
        self.0.extend_from_slice(mac);
        self.0.extend_from_slice(payload);
        self.0.into()
    }
}

/// The fields of a header that is being decoded. Each length is compared with the rest of the
/// message before it is used.
struct Fields<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The next bytes, without a length before them.
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], ParseError> {
        let end = self.at.checked_add(length).ok_or_else(cut)?;
        let bytes = self.message.get(self.at..end).ok_or_else(cut)?;
        self.at = end;
        Ok(bytes)
    }

    /// The next field.
    fn field(&mut self) -> Result<&'a [u8], ParseError> {
        let length: [u8; 4] = self.bytes(4)?.try_into().map_err(|_| cut())?;
        self.bytes(u32::from_be_bytes(length) as usize)
    }

    /// A field that must have N bytes.
    fn exactly<const N: usize>(&mut self) -> Result<[u8; N], ParseError> {
        let field = self.field()?;
        let wrong = |_| format!("a field has {} bytes, expected {N}", field.len());
        field.try_into().map_err(wrong)
    }

    /// A field of 8 bytes.
    fn number(&mut self) -> Result<u64, ParseError> {
        self.exactly().map(u64::from_be_bytes)
    }

    /// A field of UTF-8, with at most this many bytes.
    fn text(&mut self, longest: usize) -> Result<String, ParseError> {
        let field = self.field()?;
        if field.len() > longest {
            return Err(format!("a text in it has more than {longest} bytes"));
        }
        let text = std::str::from_utf8(field).map_err(|_| "a text is not UTF-8")?;
        Ok(text.to_owned())
    }

    /// Three texts.
    fn entity(&mut self) -> Result<Entity, ParseError> {
        Ok(Entity {
            public_key: self.text(MAX_NAME)?,
            contract: self.text(MAX_NAME)?,
            link: self.text(MAX_NAME)?,
        })
    }
}

fn cut() -> ParseError {
    "it ends too early".to_owned()
}

#[cfg(test)]
mod tests;
