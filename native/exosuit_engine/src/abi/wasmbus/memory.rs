//! Copies between the memory of a wasmbus guest and the host. Every range is checked, because the guest chooses
//! both pointer and length.
//!
//! Slices of the memory are valid until the guest runs again: no function here keeps one across an await, which
//! the borrow of the store guarantees.

use wasmtime::{Caller, Extern};

use super::state::WasmbusState;
use crate::Error;

/// Where a guest wants bytes to be read or written. The other fields are for errors.
#[derive(Clone, Copy)]
pub(super) struct Range {
    /// The function that the guest called: `__host_call`.
    pub(super) import: &'static str,
    /// The argument: `a payload`.
    pub(super) what: &'static str,
    /// An address in the guest's memory. Its length comes with the operation.
    pub(super) pointer: u32,
}

/// The longest name of a binding, a namespace or an operation: past all that are in use.
const MAX_NAME: u32 = 1_024;

impl Range {
    /// The range, if all of it is in the memory. An empty range may begin at its end, but not behind it.
    ///
    /// Pointer and length are added in `usize`, and the sum is checked: `u32::MAX` and 1 must not become 0.
    fn find<'a>(&self, memory: &'a mut [u8], length: usize) -> Result<&'a mut [u8], Error> {
        let size = memory.len();
        let start = self.pointer as usize;
        start
            .checked_add(length)
            .and_then(|end| memory.get_mut(start..end))
            .ok_or(Error::OutOfBounds {
                import: self.import,
                what: self.what,
                pointer: self.pointer,
                length,
                memory: size,
            })
    }

    /// The bytes of the range, without a copy.
    pub(super) fn read<'a>(&self, memory: &'a mut [u8], length: u32) -> Result<&'a [u8], Error> {
        self.find(memory, length as usize).map(|bytes| &*bytes)
    }

    /// The text of the range: a name, which is short, since the host copies it more than once.
    pub(super) fn name(&self, memory: &mut [u8], length: u32) -> Result<String, Error> {
        if length > MAX_NAME {
            return Err(Error::Limit(format!(
                "{} was given {} of {length} bytes, more than the limit of {MAX_NAME} bytes",
                self.import, self.what
            )));
        }
        let text = str::from_utf8(self.read(memory, length)?).map_err(|_| Error::NotText {
            import: self.import,
            what: self.what,
        })?;
        Ok(text.to_owned())
    }

    /// Writes bytes to the start of the range.
    pub(super) fn write(&self, memory: &mut [u8], bytes: &[u8]) -> Result<(), Error> {
        self.find(memory, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }
}

/// The guest's memory and the data of its store, borrowed together. Looked up anew for each import, since a memory that
/// grows may move.
pub(super) fn memory<'a>(
    caller: &'a mut Caller<'_, WasmbusState>,
) -> wasmtime::Result<(&'a mut [u8], &'a mut WasmbusState)> {
    let export = caller.data().memory;
    match caller.get_module_export(&export) {
        Some(Extern::Memory(memory)) => Ok(memory.data_and_store_mut(caller)),
        _ => Err(wasmtime::format_err!("the guest's memory is gone")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(pointer: u32) -> Range {
        Range {
            import: "__guest_error",
            what: "a text",
            pointer,
        }
    }

    #[test]
    fn ranges_end_where_the_memory_ends() {
        let mut memory = *b"abcdefgh";
        assert_eq!(at(6).read(&mut memory, 2), Ok(&b"gh"[..]));
        assert_eq!(at(8).read(&mut memory, 0), Ok(&b""[..]));
        assert_eq!(at(7).write(&mut memory, b"H"), Ok(()));
        for (pointer, length) in [(7, 2), (9, 0), (0, 9), (u32::MAX, 1), (0, u32::MAX)] {
            let error = at(pointer).read(&mut memory, length);
            assert!(
                matches!(error, Err(Error::OutOfBounds { .. })),
                "{pointer} {length}"
            );
        }
        assert!(at(7).write(&mut memory, b"xy").is_err());
        assert_eq!(&memory, b"abcdefgH");
    }

    #[test]
    fn text_must_be_utf8() {
        let mut memory = *b"\xc3\xa9\xc3";
        assert_eq!(at(0).name(&mut memory, 2), Ok("é".to_owned()));
        assert!(matches!(
            at(0).name(&mut memory, 3),
            Err(Error::NotText { .. })
        ));
    }
}
