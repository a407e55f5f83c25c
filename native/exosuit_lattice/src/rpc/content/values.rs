//! Typed values on the wire.
//!
//! The value encoding of the component model has no types in it: a reader must know them, and neither
//! the lattice nor a caller in Elixir does. A [`Value`] has enough of its type to be checked
//! against a type, and so does its form in `MessagePack`:
//!
//! | value | written as |
//! |---|---|
//! | nothing | nil |
//! | a bool | true, false |
//! | an integer | an integer; past 64 bits, extension 0 of 16 bytes, the highest first |
//! | a float | a float of 64 bits |
//! | a string, a character or bytes | binary |
//! | a list | an array |
//! | a tuple | a map of one entry: 0, and an array of the elements |
//! | a result that is good, or bad | a map of one entry: 1, or 2, and an array of the value, if it has one |
//! | a record | a map of one entry: 3, and an array: a name as binary, its value, the next name, ... |
//! | a case of a variant or enum | a map of one entry: 4, and an array: its name as binary, and its value, if it has one |
//! | a map | a map of one entry: 6, and an array: a key, its value, the next key, ... |
//! | an option of an option that is there | a map of one entry: 5, and an array of its value |
//!
//! The whole is an array: of the arguments in order, or of the one result.

use bytes::Bytes;
use exosuit_core::{Value, WitName};
use rmp::{Marker, encode};

use crate::rpc::reader::{ParseError, Reader, unexpected};

/// The deepest nesting of a value, as for callers in Elixir.
const MAX_DEPTH: usize = 64;
/// The largest number of values of a call, with lists and their elements, as for callers in Elixir.
const MAX_VALUES: usize = 1 << 18;

/// The memory that an unpacked value takes.
pub(super) const SIZE: usize = size_of::<Value>();

/// The type of the extension for large integers.
const LARGE: i8 = 0;

/// The entries of maps.
const TUPLE: u8 = 0;
const OK: u8 = 1;
const ERROR: u8 = 2;
const RECORD: u8 = 3;
const CASE: u8 = 4;
const SOME: u8 = 5;
const MAP: u8 = 6;

const MEMORY: &str = "memory takes what is written";

/// Encodes values after a tag.
///
/// # Errors
///
/// Too many or too deeply nested values, and a resource: that belongs to one instance on one host.
pub(super) fn encode<'a>(
    tag: u8,
    values: impl ExactSizeIterator<Item = &'a Value>,
) -> Result<Bytes, ParseError> {
    let mut writer = Writer {
        out: vec![tag],
        left: MAX_VALUES,
    };
    writer.each(values, MAX_DEPTH)?;
    Ok(writer.out.into())
}

/// The number of values in a message, with lists and their elements. It allocates nothing, so
/// memory can be reserved before `decode`.
pub(super) fn count(message: &Bytes) -> Result<usize, ParseError> {
    Reader::new(message).skip()
}

/// Decodes values that fill a message.
///
/// # Errors
///
/// Anything that `encode` does not write, and what is left after the end.
pub(super) fn decode(message: &Bytes) -> Result<Vec<Value>, ParseError> {
    let mut unpacker = Unpacker {
        reader: Reader::new(message),
        left: MAX_VALUES,
    };
    let items = unpacker.reader.list()?;
    let values = unpacker.each(items, MAX_DEPTH)?;
    unpacker.reader.end()?;
    Ok(values)
}

/// Encodes values, and counts them.
struct Writer {
    out: Vec<u8>,
    /// How many values may follow.
    left: usize,
}

impl Writer {
    /// An array of values.
    fn each<'a>(
        &mut self,
        values: impl ExactSizeIterator<Item = &'a Value>,
        depth: usize,
    ) -> Result<(), ParseError> {
        self.array(values.len())?;
        for value in values {
            self.value(value, depth)?;
        }
        Ok(())
    }

    /// The head of an array. Its items are taken from what is left.
    fn array(&mut self, items: usize) -> Result<(), ParseError> {
        self.left = self.left.checked_sub(items).ok_or_else(too_many)?;
        let items = u32::try_from(items).map_err(|_| too_many())?;
        encode::write_array_len(&mut self.out, items).expect(MEMORY);
        Ok(())
    }

    /// Bytes with their length.
    fn binary(&mut self, bytes: &[u8]) -> Result<(), ParseError> {
        let length = u32::try_from(bytes.len()).map_err(|_| "it is too long".to_owned())?;
        encode::write_bin_len(&mut self.out, length).expect(MEMORY);
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// One value. `depth` is what is left of the nesting.
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), ParseError> {
        let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
        match value {
            Value::Nil => encode::write_nil(&mut self.out).expect(MEMORY),
            Value::Bool(truth) => encode::write_bool(&mut self.out, *truth).expect(MEMORY),
            Value::Integer(number) => self.integer(*number),
            Value::Float(number) => encode::write_f64(&mut self.out, *number).expect(MEMORY),
            Value::Binary(bytes) => self.binary(bytes)?,
            Value::List(items) => self.each(items.iter(), depth)?,
            Value::Tuple(fields) => {
                self.entry(TUPLE);
                self.each(fields.iter(), depth)?;
            }
            Value::Ok(inner) => {
                self.entry(OK);
                self.each(inner.as_deref().as_slice().iter().copied(), depth)?;
            }
            Value::Error(inner) => {
                self.entry(ERROR);
                self.each(inner.as_deref().as_slice().iter().copied(), depth)?;
            }
            Value::Record(fields) => {
                self.entry(RECORD);
                self.array(fields.len() * 2)?;
                for (name, value) in fields {
                    self.binary(name.as_bytes())?;
                    self.value(value, depth)?;
                }
            }
            Value::Map(entries) => {
                self.entry(MAP);
                self.array(entries.len() * 2)?;
                for (key, value) in entries {
                    self.value(key, depth)?;
                    self.value(value, depth)?;
                }
            }
            Value::Case(name, inner) => {
                self.entry(CASE);
                self.array(1 + usize::from(inner.is_some()))?;
                self.binary(name.as_bytes())?;
                if let Some(inner) = inner {
                    self.value(inner, depth)?;
                }
            }
            Value::Some(inner) => {
                self.entry(SOME);
                self.each([&**inner].into_iter(), depth)?;
            }
            Value::Resource(_) => return Err("a resource cannot leave its host".to_owned()),
            other => return Err(format!("{other:?} cannot be sent to another host")),
        }
        Ok(())
    }

    /// The head of a map with one entry, which marks a kind that `MessagePack` does not have.
    fn entry(&mut self, kind: u8) {
        encode::write_map_len(&mut self.out, 1).expect(MEMORY);
        self.out.push(kind);
    }

    /// An integer in the shortest form.
    fn integer(&mut self, number: i128) {
        let out = &mut self.out;
        if let Ok(number) = i64::try_from(number) {
            encode::write_sint(out, number).expect(MEMORY);
        } else if let Ok(number) = u64::try_from(number) {
            encode::write_uint(out, number).expect(MEMORY);
        } else {
            encode::write_ext_meta(out, 16, LARGE).expect(MEMORY);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

/// Decodes values, and counts them.
struct Unpacker<'a> {
    reader: Reader<'a>,
    /// How many values may follow.
    left: usize,
}

impl Unpacker<'_> {
    /// The values of an array.
    fn each(&mut self, items: usize, depth: usize) -> Result<Vec<Value>, ParseError> {
        self.spend(items)?;
        // The reader has checked that the number does not exceed the length of the message.
        let mut values = Vec::with_capacity(items);
        for _ in 0..items {
            values.push(self.value(depth)?);
        }
        Ok(values)
    }

    /// One value. Recursion is bounded by `depth`.
    fn value(&mut self, depth: usize) -> Result<Value, ParseError> {
        let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
        let marker = self.reader.marker()?;
        let length = match marker {
            Marker::Null => return Ok(Value::Nil),
            Marker::True => return Ok(Value::Bool(true)),
            Marker::False => return Ok(Value::Bool(false)),
            Marker::FixMap(1) => return self.case(depth),
            Marker::F64 => return self.float().map(Value::Float),
            Marker::Bin8 => self.reader.length(1)?,
            Marker::Bin16 => self.reader.length(2)?,
            Marker::Bin32 => self.reader.length(4)?,
            other => match self.reader.items(other)? {
                Some(items) => return self.each(items, depth).map(Value::List),
                None => return self.integer(other).map(Value::Integer),
            },
        };
        self.reader.part(length).map(Value::Binary)
    }

    /// The value of a map with one entry.
    fn case(&mut self, depth: usize) -> Result<Value, ParseError> {
        let kind = self.reader.advance(1)?[0];
        let items = self.reader.list()?;
        match (kind, items) {
            (TUPLE, fields) => self.each(fields, depth).map(Value::Tuple),
            (OK, 0 | 1) => self.inner(items, depth).map(Value::Ok),
            (ERROR, 0 | 1) => self.inner(items, depth).map(Value::Error),
            (RECORD, items) if items % 2 == 0 => self.record(items / 2, depth),
            (MAP, items) if items % 2 == 0 => self.map(items / 2, depth),
            (CASE, 1 | 2) => {
                self.spend(items)?;
                let name = self.name()?;
                let value = (items == 2).then(|| self.value(depth)).transpose()?;
                Ok(Value::Case(name, value.map(Box::new)))
            }
            (SOME, 1) => {
                self.spend(1)?;
                Ok(Value::Some(Box::new(self.value(depth)?)))
            }
            _ => Err(format!(
                "a map from {kind} to {items} values is not a value"
            )),
        }
    }

    /// A record of this many fields: names and values in turn.
    fn record(&mut self, fields: usize, depth: usize) -> Result<Value, ParseError> {
        self.spend(fields * 2)?;
        let mut record = Vec::with_capacity(fields);
        for _ in 0..fields {
            record.push((self.name()?, self.value(depth)?));
        }
        Ok(Value::Record(record))
    }

    fn map(&mut self, entries: usize, depth: usize) -> Result<Value, ParseError> {
        self.spend(entries * 2)?;
        let mut map = Vec::with_capacity(entries);
        for _ in 0..entries {
            map.push((self.value(depth)?, self.value(depth)?));
        }
        Ok(Value::Map(map))
    }

    /// The name of a field or a case.
    fn name(&mut self) -> Result<WitName, ParseError> {
        let length = match self.reader.marker()? {
            Marker::Bin8 => self.reader.length(1)?,
            other => return Err(unexpected("a name", other)),
        };
        let name = self.reader.advance(length)?;
        let name = std::str::from_utf8(name).map_err(|_| "a name that is not UTF-8".to_owned())?;
        Ok(name.into())
    }

    /// A float of 64 bits.
    fn float(&mut self) -> Result<f64, ParseError> {
        let bytes = self.reader.advance(8)?;
        Ok(f64::from_be_bytes(
            bytes.first_chunk().copied().unwrap_or_default(),
        ))
    }

    /// Takes items from what is left, so that a small message cannot claim many values.
    fn spend(&mut self, items: usize) -> Result<(), ParseError> {
        self.left = self.left.checked_sub(items).ok_or_else(too_many)?;
        Ok(())
    }

    /// The value in a result, if it has one.
    fn inner(&mut self, items: usize, depth: usize) -> Result<Option<Box<Value>>, ParseError> {
        let value = self.each(items, depth)?.pop();
        Ok(value.map(Box::new))
    }

    /// An integer of any width that begins with this marker.
    fn integer(&mut self, marker: Marker) -> Result<i128, ParseError> {
        let (bytes, is_signed) = match marker {
            Marker::FixPos(number) => return Ok(number.into()),
            Marker::FixNeg(number) => return Ok(number.into()),
            Marker::U8 => (1, false),
            Marker::U16 => (2, false),
            Marker::U32 => (4, false),
            Marker::U64 => (8, false),
            Marker::I8 => (1, true),
            Marker::I16 => (2, true),
            Marker::I32 => (4, true),
            Marker::I64 => (8, true),
            Marker::FixExt16 => return self.large(),
            other => return Err(unexpected("a value", other)),
        };
        let number = i128::from(self.reader.unsigned(bytes)?);
        let bits = bytes * 8;
        let is_negative = is_signed && number >> (bits - 1) != 0;
        Ok(if is_negative {
            number - (1 << bits)
        } else {
            number
        })
    }

    /// An integer of 128 bits, in an extension.
    fn large(&mut self) -> Result<i128, ParseError> {
        let (kind, bytes) = (self.reader.advance(1)?[0], self.reader.advance(16)?);
        let bytes = bytes.first_chunk().copied().unwrap_or_default();
        if kind.cast_signed() == LARGE {
            return Ok(i128::from_be_bytes(bytes));
        }
        Err(format!("extension {kind} is unknown"))
    }
}

fn too_deep() -> ParseError {
    format!("values may be nested {MAX_DEPTH} deep")
}

fn too_many() -> ParseError {
    format!("a call may have {MAX_VALUES} values, lists and what is in them")
}
