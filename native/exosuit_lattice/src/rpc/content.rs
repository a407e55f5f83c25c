//! What calls carry, as bytes on the wire.

use bytes::{BufMut, Bytes, BytesMut};
use exosuit_core::{Payload, Reply};

use crate::Error;

/// How the payloads of a subject are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are: bytes and nothing else.
    Plain,
    /// A byte that says what follows, and then that.
    Tagged,
}

/// Bytes as they are.
const BYTES: u8 = 0;

impl Form {
    /// The payload of a call.
    pub(super) fn payload(self, payload: Payload) -> Result<Bytes, Error> {
        let bytes = payload
            .into_bytes()
            .map_err(|error| inner("payload", &error))?;
        Ok(self.write(BYTES, bytes))
    }

    /// A payload that came.
    pub(super) fn read_payload(self, bytes: Bytes) -> Result<Payload, Error> {
        self.read(bytes).map(Payload::Bytes)
    }

    /// The answer to a call.
    pub(super) fn reply(self, reply: Reply) -> Result<Bytes, Error> {
        let bytes = reply
            .into_bytes()
            .map_err(|error| inner("answer", &error))?;
        Ok(self.write(BYTES, bytes))
    }

    /// An answer that came.
    pub(super) fn read_reply(self, bytes: Bytes) -> Result<Reply, Error> {
        self.read(bytes).map(Reply::Bytes)
    }

    fn write(self, tag: u8, bytes: Bytes) -> Bytes {
        match self {
            Self::Plain => bytes,
            Self::Tagged => {
                let mut out = BytesMut::with_capacity(1 + bytes.len());
                out.put_u8(tag);
                out.put(bytes);
                out.freeze()
            }
        }
    }

    fn read(self, mut bytes: Bytes) -> Result<Bytes, Error> {
        if self == Self::Plain {
            return Ok(bytes);
        }
        match bytes.split_to(bytes.len().min(1)).first() {
            Some(&BYTES) => Ok(bytes),
            tag => Err(Error::malformed("payload", format!("tag {tag:?}"))),
        }
    }
}

fn inner(what: &'static str, error: &exosuit_core::Error) -> Error {
    Error::malformed(what, error.detail.clone())
}
