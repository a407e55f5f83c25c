//! Payloads of calls and answers, as bytes on the wire.
//!
//! Hosts of the OTP era know only bytes. On Exosuit's own subjects, the first byte of a payload is
//! a tag: bytes, typed values (`values`) or an HTTP message with its body (`web`). The MAC or
//! signature covers the tag, too.
//!
//! | payload | `Plain` | `Tagged` |
//! |---|---|---|
//! | bytes | as they are | 0, then the bytes |
//! | typed values | an error | 1, then `MessagePack` |
//! | HTTP message | an error | 2, then `MessagePack` with the whole body |
//!
//! Bodies do not stream between hosts: a call is one message, whose hash is known before it is
//! sent.

mod limits;
mod values;
mod web;

use bytes::{BufMut, Bytes, BytesMut};
use exosuit_core::{Payload, Reply};

use super::memory::{Held, Memory};
use crate::Error;

pub(super) use limits::PayloadLimits;

/// How the payloads of a subject are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Bytes without a tag, as on the subjects of the OTP era.
    Plain,
    /// A tag, and then the content, as on Exosuit's own subjects.
    Tagged,
}

/// The tag of bytes.
const BYTES: u8 = 0;
/// The tag of typed values.
const VALUES: u8 = 1;
/// The tag of an HTTP message.
const HTTP: u8 = 2;

impl Form {
    /// Encodes the payload of a call. An HTTP request is encoded once its body is complete.
    ///
    /// # Errors
    ///
    /// `TooLarge`, `Overloaded` if there is no memory for a body, `Malformed` for a value that
    /// cannot be sent, `Content` for a body that breaks off or a payload that is not bytes.
    pub(super) async fn payload(
        self,
        payload: Payload,
        limits: PayloadLimits<'_>,
    ) -> Result<Held, Error> {
        let held = match (self, payload) {
            (_, Payload::Bytes(bytes)) => self.bytes(bytes).into(),
            (Self::Tagged, Payload::Values(values)) => {
                let written = values::encode(VALUES, values.iter());
                written
                    .map_err(|why| Error::malformed("arguments", why))?
                    .into()
            }
            (Self::Tagged, Payload::Http(exchange)) => {
                Box::pin(web::request(HTTP, exchange.request, limits)).await?
            }
            (Self::Plain, other) => other.into_bytes().map(Held::from).map_err(Error::Content)?,
        };
        limits.check(held)
    }

    /// Decodes the payload of a call.
    ///
    /// Unpacked values take more memory than their message, so it is reserved by their number
    /// before they are unpacked.
    ///
    /// # Errors
    ///
    /// `Malformed`, `Overloaded`.
    pub(super) fn read_payload(
        self,
        held: Held,
        memory: &Memory,
    ) -> Result<(Payload, Held), Error> {
        let (tag, bytes) = self.split(&held.bytes)?;
        match tag {
            BYTES => Ok((Payload::Bytes(bytes), held)),
            VALUES => {
                let count =
                    values::count(&bytes).map_err(|why| Error::malformed("arguments", why))?;
                let held = held.and(memory.reserve(count.saturating_mul(values::SIZE))?);
                let values =
                    values::decode(&bytes).map_err(|why| Error::malformed("arguments", why))?;
                Ok((Payload::Values(values), held))
            }
            HTTP => {
                let exchange = web::read_request(&bytes);
                let exchange = exchange.map_err(|why| Error::malformed("HTTP request", why))?;
                Ok((Payload::Http(Box::new(exchange)), held))
            }
            tag => Err(unknown(tag)),
        }
    }

    /// Encodes the answer to a call. An HTTP response is encoded once its body is complete.
    ///
    /// The errors are those of [`Self::payload`].
    pub(super) async fn reply(
        self,
        reply: Reply,
        limits: PayloadLimits<'_>,
    ) -> Result<Held, Error> {
        let held = match (self, reply) {
            (_, Reply::Bytes(bytes)) => self.bytes(bytes).into(),
            (Self::Tagged, Reply::Value(value)) => {
                let written = values::encode(VALUES, std::iter::once(&value));
                written
                    .map_err(|why| Error::malformed("answer", why))?
                    .into()
            }
            (Self::Tagged, Reply::Http(response)) => {
                Box::pin(web::response(HTTP, *response, limits)).await?
            }
            (Self::Plain, other) => other.into_bytes().map(Held::from).map_err(Error::Content)?,
        };
        limits.check(held)
    }

    /// Decodes the answer to a call.
    ///
    /// # Errors
    ///
    /// `Malformed`, also for an answer with more than one value.
    pub(super) fn read_reply(self, bytes: &Bytes) -> Result<Reply, Error> {
        let (tag, bytes) = self.split(bytes)?;
        match tag {
            BYTES => Ok(Reply::Bytes(bytes)),
            VALUES => {
                let values =
                    values::decode(&bytes).map_err(|why| Error::malformed("answer", why))?;
                match <[_; 1]>::try_from(values) {
                    Ok([value]) => Ok(Reply::Value(value)),
                    Err(values) => {
                        let why = format!("it has {} values, expected 1", values.len());
                        Err(Error::malformed("answer", why))
                    }
                }
            }
            HTTP => {
                let response = web::read_response(&bytes);
                let response = response.map_err(|why| Error::malformed("HTTP response", why))?;
                Ok(Reply::Http(Box::new(response)))
            }
            tag => Err(unknown(tag)),
        }
    }

    /// The bytes of a tagged payload. An error for any other content.
    pub(super) fn untagged(tagged: &Bytes) -> Result<Bytes, Error> {
        match Self::Tagged.split(tagged)? {
            (BYTES, bytes) => Ok(bytes),
            (tag, _other) => Err(unknown(tag)),
        }
    }

    /// Bytes in this form.
    fn bytes(self, bytes: Bytes) -> Bytes {
        if self == Self::Plain {
            return bytes;
        }
        let mut out = BytesMut::with_capacity(1 + bytes.len());
        out.put_u8(BYTES);
        out.put(bytes);
        out.freeze()
    }

    /// The tag, and the content as a slice of the message.
    fn split(self, bytes: &Bytes) -> Result<(u8, Bytes), Error> {
        if self == Self::Plain {
            return Ok((BYTES, bytes.clone()));
        }
        let tag = bytes.first().copied();
        let tag = tag.ok_or_else(|| Error::malformed("payload", "it has no tag"))?;
        Ok((tag, bytes.slice(1..)))
    }
}

/// The answer to a request whose body is too large to be sent to another host.
pub(super) use web::too_large;

fn unknown(tag: u8) -> Error {
    Error::malformed("payload", format!("its tag is {tag}, expected 0, 1 or 2"))
}

#[cfg(test)]
mod tests;
