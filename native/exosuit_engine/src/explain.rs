//! Turns the errors of wasmtime into errors for the caller.
//!
//! An error of wasmtime may hold one of ours (a host function failed), one of WASI (an exit), a trap, or anything
//! else. Its texts may contain names of the guest, which choose their own length: every text is cut.
//!
//! | wasmtime says | the caller gets |
//! |---|---|
//! | an [`Error`] of this crate, from a host function | that error |
//! | an exit of WASI | `Exit` |
//! | the pool is full | `Overloaded` |
//! | the table of resources is full | `Limit` |
//! | the stack overflowed | `Limit`, and where |
//! | any trap after a limit was reached in this call | `Limit`: the limit, then the trap |
//! | any other trap | `Trap`: `unreachable in panic, called by main` |

use rustc_demangle::demangle;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::{I32Exit, ResourceTableError};

use crate::Error;
use crate::configuration::WASM_STACK;
use crate::limiter::Limiter;

/// The frames of a trap that an error names: where it happened, and the caller of that. Names are of the guest: who
/// builds it without them gets the numbers of functions.
const FRAMES: usize = 2;

/// The longest name of a function in an error, the longest text of an unknown failure, and the
/// longest error of a guest's own that is passed on.
pub(crate) const MAX_NAME: usize = 120;
pub(crate) const MAX_TEXT: usize = 1_024;
pub(crate) const MAX_GUEST_ERROR: usize = 8 << 10;

/// The error of a guest that did not return.
///
/// Order matters: a reached limit explains a trap better than the trap itself, because guests abort when
/// `memory.grow` fails.
pub(crate) fn explain(error: &wasmtime::Error, limiter: &Limiter) -> Error {
    if let Some(error) = error.downcast_ref::<Error>() {
        return error.clone();
    }
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return Error::Exit(*status);
    }
    if let Some(error) = error.downcast_ref::<PoolConcurrencyLimitError>() {
        return Error::Overloaded(error.to_string());
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return Error::Limit(
            "the guest reached its limit on resources of the host: it opens and does not drop them"
                .to_owned(),
        );
    }
    let text = trap_text(error);
    match (error.downcast_ref::<Trap>(), limiter.reached()) {
        (Some(Trap::StackOverflow), _) => Error::Limit(format!(
            "the guest reached its stack limit of {WASM_STACK} bytes{}",
            frames(error)
        )),
        (_, Some(reached)) => Error::Limit(format!("{reached}, then: {text}")),
        _ => Error::Trap(text),
    }
}

/// The reason, and where it happened: `unreachable in panic, called by main`.
fn trap_text(error: &wasmtime::Error) -> String {
    let headline = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => format!("{:#}", error.root_cause()),
    };
    let headline = headline.strip_prefix("wasm trap: ").unwrap_or(&headline);
    format!("{}{}", cut(headline, MAX_TEXT), frames(error))
}

/// ` in inner, called by outer`, as far as that is known.
fn frames(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return String::new();
    };
    let names = backtrace.frames().iter().take(FRAMES).map(name);
    let chain = names.collect::<Vec<_>>().join(", called by ");
    if chain.is_empty() {
        chain
    } else {
        format!(" in {chain}")
    }
}

/// The name of a function, as its language writes it; its number if the module has no names.
fn name(frame: &wasmtime::FrameInfo) -> String {
    match frame.func_name() {
        Some(name) => cut(&format!("{:#}", demangle(name)), MAX_NAME).to_owned(),
        None => format!("function {}", frame.func_index()),
    }
}

/// The start of `text`, at most `max` bytes, without a broken character.
///
/// All texts of guests pass through here before they become a part of an error, which is copied, logged and sent.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
