//! Invocations and their answers as they are on the wire: maps of `MessagePack`.
//!
//! The format is that of the hosts of the OTP era, byte for byte as their Rust library writes it.
//! Reading is more tolerant: fields in any order, unknown fields, and the forms of bytes that other
//! libraries write. A field that comes twice is refused, so that two readers cannot understand one
//! message in two ways.

use bytes::Bytes;
use exosuit_claims::invocation::Entity;
use rmp::encode;

use super::reader::{ParseError, Reader};
use crate::Error;

/// The longest operation, key, contract or link name.
const MAX_NAME: usize = 1_024;
/// The longest id: twice a UUID's.
const MAX_ID: usize = 72;

/// A signed call as it is sent from host to host.
///
/// ```
/// use exosuit_lattice::{Entity, Invocation};
///
/// let call = Invocation {
///     origin: Entity::actor("MABC"),
///     target: Entity::actor("MDEF"),
///     operation: "Echo.Say".to_owned(),
///     payload: b"hello".to_vec().into(),
///     id: "0000-1".to_owned(),
///     ..Invocation::default()
/// };
/// assert_eq!(Invocation::decode(&call.encode())?, call);
/// assert!(Invocation::decode(&b"nonsense".to_vec().into()).is_err());
/// # Ok::<(), exosuit_lattice::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invocation {
    /// The caller.
    pub origin: Entity,
    /// The target.
    pub target: Entity,
    /// `Service.Method`.
    pub operation: String,
    /// The arguments; empty if they are in the object store.
    pub payload: Bytes,
    /// The id of the call: 1 to 72 characters of `A-Z`, `a-z`, `0-9`, `-` and `_`. It also names a
    /// payload in the object store.
    pub id: String,
    /// The signed token.
    pub token: String,
    /// The host or cluster that sent it: `N…` or `C…`. It is not trusted.
    pub host_id: String,
    /// The length of the payload. If it is larger than the payload here, the payload is in the
    /// object store.
    pub content_length: Option<u64>,
}

/// The answer to a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// The result; empty if it is in the object store.
    pub payload: Bytes,
    /// The id of the call that this answers.
    pub invocation_id: String,
    /// The text of the error, if the call failed.
    pub error: Option<String>,
    /// The length of the result. If it is larger than the payload here, that is in the object store.
    pub content_length: Option<u64>,
}

impl Invocation {
    /// Encodes it as the Rust library of the OTP era does, field by field in that order.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(1_024 + self.payload.len());
        map(&mut out, 7 + u32::from(self.content_length.is_some()));
        text(&mut out, "origin");
        entity(&mut out, &self.origin);
        text(&mut out, "target");
        entity(&mut out, &self.target);
        field(&mut out, "operation", &self.operation);
        text(&mut out, "msg");
        bin(&mut out, &self.payload);
        field(&mut out, "id", &self.id);
        field(&mut out, "encoded_claims", &self.token);
        field(&mut out, "host_id", &self.host_id);
        length(&mut out, self.content_length);
        out.into()
    }

    /// Decodes a call. Its payload is a slice of the message.
    ///
    /// # Errors
    ///
    /// `Malformed`, with the field that is wrong. Nothing is verified.
    pub fn decode(message: &Bytes) -> Result<Self, Error> {
        let invocation = decode(message).and_then(|invocation: Self| invocation.checked());
        invocation.map_err(|why| Error::malformed("invocation", why))
    }

    /// Whether the payload is in the object store.
    pub(super) fn is_apart(&self) -> bool {
        self.content_length.unwrap_or_default() > self.payload.len() as u64
    }

    /// Refuses names and ids that are too long for a subject or an error.
    fn checked(self) -> Result<Self, ParseError> {
        let entities = [&self.origin, &self.target];
        let names = entities
            .into_iter()
            .flat_map(|entity| [&entity.public_key, &entity.contract, &entity.link]);
        if names
            .chain([&self.operation, &self.host_id])
            .any(|name| name.len() > MAX_NAME)
        {
            return Err(format!("a name in it has more than {MAX_NAME} bytes"));
        }
        check_id(&self.id)?;
        Ok(self)
    }
}

impl Response {
    /// Encodes it as the Rust library of the OTP era does.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(128 + self.payload.len());
        let optional = [self.error.is_some(), self.content_length.is_some()];
        map(&mut out, 2 + optional.map(u32::from).iter().sum::<u32>());
        text(&mut out, "msg");
        bin(&mut out, &self.payload);
        field(&mut out, "invocation_id", &self.invocation_id);
        if let Some(error) = &self.error {
            field(&mut out, "error", error);
        }
        length(&mut out, self.content_length);
        out.into()
    }

    /// Decodes an answer.
    ///
    /// # Errors
    ///
    /// `Malformed`.
    pub fn decode(message: &Bytes) -> Result<Self, Error> {
        decode(message).map_err(|why| Error::malformed("invocation response", why))
    }
}

/// Checks an id. It becomes part of a subject and of texts for people.
fn check_id(id: &str) -> Result<(), ParseError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=MAX_ID).contains(&id.len()) && id.bytes().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "its id is not 1 to {MAX_ID} of A-Z, a-z, 0-9, - and _"
    ))
}

/// A map that is read field by field, in any order. Unknown fields are skipped.
trait Fields: Default {
    /// The names of the fields. A repeated field is an error.
    const NAMES: &'static [&'static str];

    /// Reads the nth field.
    fn read_field(&mut self, field: usize, reader: &mut Reader) -> Result<(), ParseError>;
}

impl Fields for Invocation {
    const NAMES: &'static [&'static str] = &[
        "origin",
        "target",
        "operation",
        "msg",
        "id",
        "encoded_claims",
        "host_id",
        "content_length",
    ];

    fn read_field(&mut self, field: usize, reader: &mut Reader) -> Result<(), ParseError> {
        match field {
            0 => self.origin = fields(reader)?,
            1 => self.target = fields(reader)?,
            2 => reader.text()?.clone_into(&mut self.operation),
            3 => self.payload = reader.bytes()?,
            4 => reader.text()?.clone_into(&mut self.id),
            5 => reader.text()?.clone_into(&mut self.token),
            6 => reader.text()?.clone_into(&mut self.host_id),
            _ => self.content_length = reader.optional_number()?,
        }
        Ok(())
    }
}

impl Fields for Entity {
    const NAMES: &'static [&'static str] = &["public_key", "link_name", "contract_id"];

    fn read_field(&mut self, field: usize, reader: &mut Reader) -> Result<(), ParseError> {
        let text = reader.text()?.to_owned();
        match field {
            0 => self.public_key = text,
            1 => self.link = text,
            _ => self.contract = text,
        }
        Ok(())
    }
}

impl Fields for Response {
    const NAMES: &'static [&'static str] = &["msg", "invocation_id", "error", "content_length"];

    fn read_field(&mut self, field: usize, reader: &mut Reader) -> Result<(), ParseError> {
        match field {
            0 => self.payload = reader.bytes()?,
            1 => reader.text()?.clone_into(&mut self.invocation_id),
            2 => self.error = reader.optional_text()?.map(str::to_owned),
            _ => self.content_length = reader.optional_number()?,
        }
        Ok(())
    }
}

/// A message that is one map, with nothing after it.
fn decode<T: Fields>(message: &Bytes) -> Result<T, ParseError> {
    let mut reader = Reader::new(message);
    let value = fields(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// The fields of a map. Errors name the field, and one that comes twice is an error.
fn fields<T: Fields>(reader: &mut Reader) -> Result<T, ParseError> {
    let mut value = T::default();
    let mut seen = 0u32;
    for _ in 0..reader.map()? {
        let name = reader.text()?;
        let Some(field) = T::NAMES.iter().position(|known| *known == name) else {
            reader.skip()?;
            continue;
        };
        if seen & 1 << field != 0 {
            return Err(format!("it has {} twice", T::NAMES[field]));
        }
        seen |= 1 << field;
        value
            .read_field(field, reader)
            .map_err(|why| format!("its {}: {why}", T::NAMES[field]))?;
    }
    Ok(value)
}

/// Writing into memory cannot fail, and lengths of more than 4 GiB do not get here.
const MEMORY: &str = "memory takes what is written";

fn map(out: &mut Vec<u8>, entries: u32) {
    encode::write_map_len(out, entries).expect(MEMORY);
}

fn text(out: &mut Vec<u8>, text: &str) {
    encode::write_str(out, text).expect(MEMORY);
}

fn bin(out: &mut Vec<u8>, bytes: &[u8]) {
    encode::write_bin(out, bytes).expect(MEMORY);
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    text(out, name);
    text(out, value);
}

fn entity(out: &mut Vec<u8>, entity: &Entity) {
    map(out, 3);
    field(out, "public_key", &entity.public_key);
    field(out, "link_name", &entity.link);
    field(out, "contract_id", &entity.contract);
}

fn length(out: &mut Vec<u8>, length: Option<u64>) {
    if let Some(length) = length {
        text(out, "content_length");
        encode::write_uint(out, length).expect(MEMORY);
    }
}

#[cfg(test)]
mod tests;
