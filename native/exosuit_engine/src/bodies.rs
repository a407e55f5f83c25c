//! A bound on the size of functions, for modules that are compiled in this process.
//!
//! Cranelift takes more than linear time for a function, and cannot be interrupted. With `exosuit-compile` a process
//! ends at its limits; without it, nothing would end the compile of a function that was made to take hours. So such
//! a module is refused here, and the error says which program is missing.

use wasmparser::{Parser, Payload};

use crate::Error;

/// The largest function that is compiled in this process. Cranelift takes seconds and some hundred
/// megabytes for it; real ones are below a fifth of that.
const MAX_BYTES: usize = 1 << 20;

/// Whether all functions, those of nested modules among them, are small enough. The error is `invalid_module`.
///
/// This bounds the time of one function. A module of very many functions may still take minutes.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Error> {
    // The compiler refuses unreadable code, with the reason.
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        if let Payload::CodeSectionEntry(body) = payload {
            let size = body.range().len();
            if size > MAX_BYTES {
                return Err(Error::Module(format!(
                    "a function of the module has {size} bytes, {MAX_BYTES} at most are compiled \
                     without the program exosuit-compile beside the library"
                )));
            }
        }
    }
    Ok(())
}
