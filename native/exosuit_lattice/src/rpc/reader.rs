//! A parser of `MessagePack` that trusts no input. It does not recurse, and does not allocate by a length in
//! the message. Payloads are parts of the message, not copies.
//!
//! Every length is compared with the rest of the message before it is used, so a message of 20
//! bytes cannot make the reader allocate a gigabyte. Skipping an unknown value counts what is left
//! to skip instead of recursing, so nesting costs no stack. A value has at least one byte, so a
//! claimed number of values beyond the bytes that are left is refused at once.

use bytes::Bytes;
use rmp::Marker;

/// Why a message cannot be read.
pub(super) type ParseError = String;

/// Reads a message from its beginning to its end.
pub(super) struct Reader<'a> {
    message: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the beginning of a message.
    pub(super) fn new(message: &'a Bytes) -> Self {
        Self { message, at: 0 }
    }

    /// The head of a map: the number of its entries.
    pub(super) fn map(&mut self) -> Result<usize, ParseError> {
        let marker = self.marker()?;
        let entries = match marker {
            Marker::FixMap(entries) => usize::from(entries),
            Marker::Map16 => self.length(2)?,
            Marker::Map32 => self.length(4)?,
            other => return Err(unexpected("a map", other)),
        };
        self.at_least(entries.saturating_mul(2))?;
        Ok(entries)
    }

    /// A text. Nil is an empty text, as some libraries write it.
    pub(super) fn text(&mut self) -> Result<&'a str, ParseError> {
        let marker = self.marker()?;
        let length = match marker {
            Marker::Null => 0,
            Marker::FixStr(length) => usize::from(length),
            Marker::Str8 => self.length(1)?,
            Marker::Str16 => self.length(2)?,
            Marker::Str32 => self.length(4)?,
            other => return Err(unexpected("a text", other)),
        };
        let bytes = self.advance(length)?;
        std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8".to_owned())
    }

    /// A text, or nothing.
    pub(super) fn optional_text(&mut self) -> Result<Option<&'a str>, ParseError> {
        if self.skip_nil() {
            return Ok(None);
        }
        self.text().map(Some)
    }

    /// A number that is not negative, or nothing.
    pub(super) fn optional_number(&mut self) -> Result<Option<u64>, ParseError> {
        if self.skip_nil() {
            return Ok(None);
        }
        self.number().map(Some)
    }

    /// Reads bytes in any form that wasmCloud hosts send: bytes, a text, or a list of numbers.
    pub(super) fn bytes(&mut self) -> Result<Bytes, ParseError> {
        let marker = self.marker()?;
        let length = match marker {
            Marker::Null => 0,
            Marker::FixStr(length) => usize::from(length),
            Marker::Bin8 | Marker::Str8 => self.length(1)?,
            Marker::Bin16 | Marker::Str16 => self.length(2)?,
            Marker::Bin32 | Marker::Str32 => self.length(4)?,
            other => match self.items(other)? {
                Some(items) => return self.numbers(items),
                None => return Err(unexpected("bytes", other)),
            },
        };
        self.part(length)
    }

    /// The next bytes, as a slice of the message.
    pub(super) fn part(&mut self, length: usize) -> Result<Bytes, ParseError> {
        let begin = self.at;
        self.advance(length)?;
        Ok(self.message.slice(begin..self.at))
    }

    /// The head of a list: the number of its items.
    pub(super) fn list(&mut self) -> Result<usize, ParseError> {
        let marker = self.marker()?;
        self.items(marker)?
            .ok_or_else(|| unexpected("a list", marker))
    }

    /// The number of items of a list that begins with this marker. `None` if it begins something
    /// else.
    pub(super) fn items(&mut self, marker: Marker) -> Result<Option<usize>, ParseError> {
        let items = match marker {
            Marker::FixArray(items) => usize::from(items),
            Marker::Array16 => self.length(2)?,
            Marker::Array32 => self.length(4)?,
            _ => return Ok(None),
        };
        self.at_least(items)?;
        Ok(Some(items))
    }

    /// Passes over a value of any kind, however deeply nested. Returns the number of values in it,
    /// itself included.
    pub(super) fn skip(&mut self) -> Result<usize, ParseError> {
        let (mut values, mut passed) = (1usize, 0usize);
        while values > 0 {
            values -= 1;
            passed += 1;
            let marker = self.marker()?;
            let (bytes, nested) = self.extent(marker)?;
            self.advance(bytes)?;
            // Each value has at least one byte, so a number that exceeds the remaining bytes is wrong.
            values = values.saturating_add(nested);
            self.at_least(values)?;
        }
        Ok(passed)
    }

    /// Checks that nothing is left.
    pub(super) fn end(&self) -> Result<(), ParseError> {
        match self.left() {
            0 => Ok(()),
            left => Err(format!("{left} bytes follow its end")),
        }
    }

    /// The number of bytes that follow the marker and length of a value, and the number of values in it.
    fn extent(&mut self, marker: Marker) -> Result<(usize, usize), ParseError> {
        Ok(match marker {
            Marker::Null | Marker::True | Marker::False | Marker::FixPos(_) | Marker::FixNeg(_) => {
                (0, 0)
            }
            Marker::U8 | Marker::I8 => (1, 0),
            Marker::U16 | Marker::I16 | Marker::FixExt1 => (2, 0),
            Marker::U32 | Marker::I32 | Marker::F32 => (4, 0),
            Marker::U64 | Marker::I64 | Marker::F64 => (8, 0),
            Marker::FixStr(length) => (usize::from(length), 0),
            Marker::Str8 | Marker::Bin8 => (self.length(1)?, 0),
            Marker::Str16 | Marker::Bin16 => (self.length(2)?, 0),
            Marker::Str32 | Marker::Bin32 => (self.length(4)?, 0),
            Marker::FixArray(length) => (0, usize::from(length)),
            Marker::Array16 => (0, self.length(2)?),
            Marker::Array32 => (0, self.length(4)?),
            Marker::FixMap(length) => (0, usize::from(length) * 2),
            Marker::Map16 => (0, self.length(2)? * 2),
            Marker::Map32 => (0, self.length(4)?.saturating_mul(2)),
            Marker::FixExt2 => (3, 0),
            Marker::FixExt4 => (5, 0),
            Marker::FixExt8 => (9, 0),
            Marker::FixExt16 => (17, 0),
            Marker::Ext8 => (self.length(1)?.saturating_add(1), 0),
            Marker::Ext16 => (self.length(2)?.saturating_add(1), 0),
            Marker::Ext32 => (self.length(4)?.saturating_add(1), 0),
            Marker::Reserved => return Err(unexpected("a value", marker)),
        })
    }

    /// Bytes that were written as a list of numbers.
    fn numbers(&mut self, length: usize) -> Result<Bytes, ParseError> {
        let numbers = (0..length).map(|_| self.number().map(u8::try_from));
        let bytes: Result<Result<Vec<u8>, _>, ParseError> = numbers.collect();
        bytes?
            .map(Bytes::from)
            .map_err(|_| "a list of bytes has larger numbers in it".to_owned())
    }

    /// A number that is not negative.
    pub(super) fn number(&mut self) -> Result<u64, ParseError> {
        let marker = self.marker()?;
        let (bytes, is_signed) = match marker {
            Marker::FixPos(number) => return Ok(u64::from(number)),
            Marker::U8 => (1, false),
            Marker::U16 => (2, false),
            Marker::U32 => (4, false),
            Marker::U64 => (8, false),
            Marker::I8 => (1, true),
            Marker::I16 => (2, true),
            Marker::I32 => (4, true),
            Marker::I64 => (8, true),
            other => return Err(unexpected("a number", other)),
        };
        let number = self.unsigned(bytes)?;
        if is_signed && number >> (bytes * 8 - 1) != 0 {
            return Err("a number is negative".to_owned());
        }
        Ok(number)
    }

    /// Passes over a nil, if that is next.
    fn skip_nil(&mut self) -> bool {
        let is_nil = self
            .message
            .get(self.at)
            .is_some_and(|byte| Marker::from_u8(*byte) == Marker::Null);
        if is_nil {
            self.at += 1;
        }
        is_nil
    }

    /// The first byte of the next value.
    pub(super) fn marker(&mut self) -> Result<Marker, ParseError> {
        Ok(Marker::from_u8(self.advance(1)?[0]))
    }

    /// A length in this many bytes.
    pub(super) fn length(&mut self, bytes: usize) -> Result<usize, ParseError> {
        let length = self.unsigned(bytes)?;
        usize::try_from(length).map_err(|_| cut())
    }

    /// A number of at most 8 bytes, the highest first.
    pub(super) fn unsigned(&mut self, bytes: usize) -> Result<u64, ParseError> {
        let bytes = self.advance(bytes)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The next bytes.
    pub(super) fn advance(&mut self, length: usize) -> Result<&'a [u8], ParseError> {
        self.at_least(length)?;
        let begin = self.at;
        self.at += length;
        Ok(&self.message[begin..self.at])
    }

    /// Refuses a message that has fewer bytes left.
    fn at_least(&self, length: usize) -> Result<(), ParseError> {
        if length <= self.left() {
            Ok(())
        } else {
            Err(cut())
        }
    }

    fn left(&self) -> usize {
        self.message.len() - self.at
    }
}

fn cut() -> ParseError {
    "it ends too early".to_owned()
}

/// The error for another kind of value.
pub(super) fn unexpected(expected: &str, found: Marker) -> ParseError {
    format!("expected {expected}, got {found:?}")
}
