//! Splits a Wasm file into its tokens and the bytes that they cover.

use std::mem;

use data_encoding::HEXUPPER;
use sha2::{Digest, Sha256};
use wasm_encoder::Encode;
use wasmparser::Payload::{ComponentSection, CustomSection, End, ModuleSection, Version};
use wasmparser::{BinaryReaderError, Parser, Payload};

use crate::{Error, Section};

/// The largest file that is read. The largest ones in use have some tens of megabytes.
pub const MAX_WASM: usize = 256 << 20;

/// The first bytes of modules and components.
const MAGIC: &[u8] = b"\0asm";

/// How deeply components may be nested. Each level is written out once more for the hash, so
/// without a bound the work would grow with the square of the size.
pub const MAX_DEPTH: usize = 32;

/// A module or component, split into its parts.
pub(crate) struct Unit<'a> {
    /// Its bytes, written out again without the tokens.
    pub(crate) bare: Vec<u8>,
    /// The token sections of the outermost level.
    pub(crate) tokens: Vec<&'a [u8]>,
    /// Whether an inner level has a token section.
    pub(crate) nested: bool,
}

impl<'a> Unit<'a> {
    /// Splits a file. The sections are not validated: the compiler does that.
    pub(crate) fn parse(wasm: &'a [u8]) -> Result<Self, Error> {
        if wasm.len() > MAX_WASM {
            return Err(Error::TooLarge {
                what: "module",
                size: wasm.len(),
                limit: MAX_WASM,
            });
        }
        // Do not show the actual first bytes: the file may contain anything.
        if !wasm.starts_with(MAGIC) {
            let rule = "expected it to begin with the bytes 00 61 73 6d (\\0asm)";
            return Err(Error::NotWasm(rule.to_owned()));
        }
        let mut dissection = Dissection::of(wasm);
        for payload in Parser::new(0).parse_all(wasm) {
            dissection.add(&payload.map_err(not_wasm)?)?;
        }
        Ok(dissection.unit)
    }

    /// The hash of the bytes, as a token must have it: upper-case hexadecimal SHA-256.
    pub(crate) fn hash(&self) -> String {
        HEXUPPER.encode(&Sha256::digest(&self.bare))
    }
}

/// A file that is being split, and the levels around the parser's position.
struct Dissection<'a> {
    wasm: &'a [u8],
    unit: Unit<'a>,
    around: Vec<(u8, Vec<u8>)>,
}

impl<'a> Dissection<'a> {
    fn of(wasm: &'a [u8]) -> Self {
        Self {
            wasm,
            unit: Unit {
                bare: Vec::with_capacity(wasm.len()),
                tokens: Vec::new(),
                nested: false,
            },
            around: Vec::new(),
        }
    }

    fn add(&mut self, payload: &Payload<'a>) -> Result<(), Error> {
        match payload {
            Version { range, .. } => {
                let header = self.bytes(range.clone())?;
                self.unit.bare.extend_from_slice(header);
            }
            ModuleSection { .. } | ComponentSection { .. } => self.open(payload)?,
            End(_) => self.close(),
            CustomSection(section) if Section::named(section.name()).is_some() => {
                self.token(section.data());
            }
            other => self.copy(other)?,
        }
        Ok(())
    }

    fn open(&mut self, payload: &Payload<'a>) -> Result<(), Error> {
        if self.around.len() == MAX_DEPTH {
            return Err(Error::TooDeep(MAX_DEPTH));
        }
        if let Some((id, _)) = payload.as_section() {
            self.around.push((id, mem::take(&mut self.unit.bare)));
        }
        Ok(())
    }

    fn close(&mut self) {
        if let Some((id, outer)) = self.around.pop() {
            let inner = mem::replace(&mut self.unit.bare, outer);
            append(&mut self.unit.bare, id, &inner);
        }
    }

    fn token(&mut self, token: &'a [u8]) {
        if self.around.is_empty() {
            self.unit.tokens.push(token);
        } else {
            self.unit.nested = true;
        }
    }

    fn copy(&mut self, payload: &Payload<'a>) -> Result<(), Error> {
        if let Some((id, range)) = payload.as_section() {
            let content = self.bytes(range)?;
            append(&mut self.unit.bare, id, content);
        }
        Ok(())
    }

    fn bytes(&self, range: std::ops::Range<usize>) -> Result<&'a [u8], Error> {
        let past_the_end = || Error::NotWasm("a section reaches past the end".to_owned());
        self.wasm.get(range).ok_or_else(past_the_end)
    }
}

/// Writes a section: id, length in the shortest form, content.
fn append(bytes: &mut Vec<u8>, id: u8, content: &[u8]) {
    bytes.push(id);
    content.encode(bytes);
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn not_wasm(error: BinaryReaderError) -> Error {
    // Some have more lines, with the bytes themselves.
    let message = error.message().lines().next().unwrap_or_default();
    Error::NotWasm(format!("{message} at byte {}", error.offset()))
}
