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

use bytes::Bytes;
use exosuit_claims::invocation::Entity;
use sha2::{Digest, Sha256};

use super::headers::Trace;
use super::mac::{EpochKeys, KeyId, MAC_LENGTH, Mac};
use super::reader::ParseError;
use crate::Error;

/// The operation of a probe: none.
pub(super) const PROBE: &str = "";

/// The version of the format.
const VERSION: u8 = 1;

/// The longest of each kind of text.
pub(super) const MAX_NAME: usize = 1_024;
const MAX_CODE: usize = 64;
const MAX_TEXT: usize = 4_096;

/// The hash of a payload, even if the payload is sent separately.
pub(super) type Hash = [u8; 32];

/// A call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// When it was made, in milliseconds since 1970.
    pub(super) time: u64,
    pub(super) id: [u8; 16],
    pub(super) origin: Entity,
    /// The id of the origin on its host, if it is named by its key.
    pub(super) origin_id: Option<String>,
    pub(super) target: Entity,
    pub(super) operation: String,
    pub(super) hash: Hash,
    /// How long the payload is, wherever it is.
    pub(super) length: u64,
    pub(super) depth: u8,
    /// How many milliseconds the caller will wait.
    pub(super) left: u64,
    pub(super) trace: Trace,
}

/// An answer to a call.
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

/// A received message. Its content can be trusted only after its MAC was checked.
#[derive(Debug)]
pub(super) struct Received<T> {
    pub(super) said: T,
    pub(super) key: KeyId,
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
    /// Writes the message, and gives its MAC.
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

    /// Reads a message.
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
    /// Writes the message that answers the request of this MAC.
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

    /// Reads a message.
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

/// Checks that a payload has the hash in the header.
pub(super) fn check(payload: &[u8], expected: &Hash) -> Result<(), Error> {
    if hash(payload) == *expected {
        return Ok(());
    }
    Err(Error::WrongMac("the payload is not the one that was sent"))
}

fn parts(entity: &Entity) -> [&str; 3] {
    [&entity.public_key, &entity.contract, &entity.link]
}

/// Reads the common fields of a message, and calls `rest` for the other fields between them.
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

struct Writer(Vec<u8>);

impl Writer {
    /// Begins a message whose payload has so many bytes.
    fn begin(keys: &EpochKeys, time: u64, payload: usize) -> Self {
        let mut out = Self(Vec::with_capacity(512 + payload));
        out.field(&[VERSION]);
        out.field(&keys.id.0);
        out.number(keys.epoch);
        out.number(time);
        out
    }

    fn field(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("no field has 4 GiB");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn number(&mut self, number: u64) {
        self.field(&number.to_be_bytes());
    }

    fn end(mut self, mac: &Mac, payload: &[u8]) -> Bytes {
        self.0.extend_from_slice(mac);
        self.0.extend_from_slice(payload);
        self.0.into()
    }
}

struct Fields<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], ParseError> {
        let end = self.at.checked_add(length).ok_or_else(cut)?;
        let bytes = self.message.get(self.at..end).ok_or_else(cut)?;
        self.at = end;
        Ok(bytes)
    }

    fn field(&mut self) -> Result<&'a [u8], ParseError> {
        let length: [u8; 4] = self.bytes(4)?.try_into().map_err(|_| cut())?;
        self.bytes(u32::from_be_bytes(length) as usize)
    }

    fn exactly<const N: usize>(&mut self) -> Result<[u8; N], ParseError> {
        let field = self.field()?;
        let wrong = |_| format!("a field has {} bytes, expected {N}", field.len());
        field.try_into().map_err(wrong)
    }

    fn number(&mut self) -> Result<u64, ParseError> {
        self.exactly().map(u64::from_be_bytes)
    }

    fn text(&mut self, longest: usize) -> Result<String, ParseError> {
        let field = self.field()?;
        if field.len() > longest {
            return Err(format!("a text in it has more than {longest} bytes"));
        }
        let text = std::str::from_utf8(field).map_err(|_| "a text is not UTF-8")?;
        Ok(text.to_owned())
    }

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
