//! Whether bytes are a module, a component, or no Wasm at all.
//!
//! All that compiles asks here first: a text file that was given in the place of a module gets an error that says so,
//! before it costs a thread or a process.

use crate::Error;
use crate::explain::cut;

/// The kinds of Wasm that an ABI here is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Core Wasm, version 1.
    Module,
    /// The component model, in any version: wasmtime refuses those that it does not know.
    Component,
}

/// The kind by the first eight bytes: the magic number, a version, and a layer. Says nothing about the rest.
///
/// | bytes 4 to 7 | kind |
/// |---|---|
/// | `01 00 00 00` | a module |
/// | any two, then `01 00` | a component |
/// | anything else | [`Error::Module`], with the version that would be right |
///
/// The error for other bytes shows the first eight of them, with those that are not UTF-8 replaced: `"(module "` tells
/// its reader at once that this is a text.
pub(crate) fn kind(bytes: &[u8]) -> Result<Kind, Error> {
    match bytes {
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => Ok(Kind::Module),
        [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => Ok(Kind::Component),
        [b'\0', b'a', b's', b'm', ..] => Err(Error::Module(
            "the module is of a version of Wasm that is not known here, expected version 1"
                .to_owned(),
        )),
        _ => Err(Error::Module(format!(
            "the bytes are not Wasm: expected them to begin with \"\\0asm\", they begin with {:?}",
            cut(&String::from_utf8_lossy(&bytes[..bytes.len().min(8)]), 8)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_modules_and_components_pass() {
        assert_eq!(kind(b"\0asm\x01\0\0\0"), Ok(Kind::Module));
        assert_eq!(kind(b"\0asm\x0d\0\x01\0"), Ok(Kind::Component));
        for bad in [
            &b""[..],
            b"\0as",
            b"\0asm\x02\0\0\0",
            b"(module)",
            b"\xff\xfe\xff\xfe\xff",
        ] {
            assert!(matches!(kind(bad), Err(Error::Module(_))), "{bad:?} passed");
        }
    }
}
