//! The functions that a wasmbus guest can call: the nine of `wasmbus` or `wapc`, and WASI preview 1.
//!
//! | function | it |
//! |---|---|
//! | `__guest_request(operation, payload)` | writes operation and payload of the call to these addresses |
//! | `__guest_response(pointer, length)` | takes the response |
//! | `__guest_error(pointer, length)` | takes an error |
//! | `__host_call(binding, namespace, operation, payload)`, each with its length | calls out; 1 or -1 |
//! | `__host_response_len()`, `__host_response(pointer)` | give the answer of the last host call, once |
//! | `__host_error_len()`, `__host_error(pointer)` | give the error of the last host call, once |
//! | `__console_log(pointer, length)` | writes a line to the log |
//!
//! A range outside of the guest's memory, a text that is not UTF-8 and a message beyond the limit are traps: they are
//! mistakes of the guest's language runtime, and the ABI has no way to report them. A call that is refused or fails is
//! not: `__host_call` returns -1, and the guest may read why.
//!
//! Only `__host_call` waits. The fiber of the guest waits with it; the thread that polls the call does not.

use bytes::Bytes;
use exosuit_core::{Invocation, LogGate, LogLevel, Origin, Reply, Target};
use wasmtime::Caller;

use super::super::preview1;
use super::memory::{Range, memory};
use super::state::WasmbusState;
use crate::Error;
use crate::configuration::setup;
use crate::explain::cut;

/// The names of the module with the nine: that of the OTP era, and that of waPC.
const MODULES: [&str; 2] = ["wasmbus", "wapc"];

/// The longest error text of a guest that is passed on.
const MAX_ERROR: usize = 8 << 10;

/// Success and failure of `__host_call`.
const DONE: i32 = 1;
const FAILED: i32 = -1;

/// The linker of wasmbus modules.
pub(in crate::abi) type WasmbusLinker = wasmtime::Linker<WasmbusState>;

/// Makes the linker for all wasmbus modules; once per engine.
pub(in crate::abi) fn linker(engine: &wasmtime::Engine) -> Result<WasmbusLinker, Error> {
    let mut linker = WasmbusLinker::new(engine);
    link(&mut linker).map_err(setup)?;
    Ok(linker)
}

/// Defines the functions under both names.
fn link(linker: &mut WasmbusLinker) -> wasmtime::Result<()> {
    preview1::add_to_linker(linker, WasmbusState::sandbox)?;
    MODULES
        .iter()
        .try_for_each(|module| link_as(linker, module))
}

/// Defines the nine functions under one of the names.
fn link_as(linker: &mut WasmbusLinker, module: &str) -> wasmtime::Result<()> {
    linker
        .func_wrap(module, "__guest_request", guest_request)?
        .func_wrap(module, "__guest_response", guest_response)?
        .func_wrap(module, "__guest_error", guest_error)?
        .func_wrap_async(module, "__host_call", |caller, call: HostCall| {
            Box::new(host_call(caller, call))
        })?
        .func_wrap(
            module,
            "__host_response_len",
            |caller: Caller<'_, WasmbusState>| length(caller.data().call.host_response.len()),
        )?
        .func_wrap(module, "__host_response", host_response)?
        .func_wrap(
            module,
            "__host_error_len",
            |caller: Caller<'_, WasmbusState>| length(host_error_length(caller.data())),
        )?
        .func_wrap(module, "__host_error", host_error)?
        .func_wrap(module, "__console_log", console_log)?;
    Ok(())
}

/// `__guest_request`: copies operation and payload to where the guest wants them.
fn guest_request(
    mut caller: Caller<'_, WasmbusState>,
    operation: u32,
    payload: u32,
) -> wasmtime::Result<()> {
    let range = |what, pointer| Range {
        import: "__guest_request",
        what,
        pointer,
    };
    let (memory, state) = memory(&mut caller)?;
    range("an operation", operation).write(memory, state.call.operation.as_bytes())?;
    range("a payload", payload).write(memory, &state.call.payload)?;
    Ok(())
}

/// `__guest_response`: takes the guest's answer. A second one replaces the first.
fn guest_response(
    mut caller: Caller<'_, WasmbusState>,
    pointer: u32,
    length: u32,
) -> wasmtime::Result<()> {
    let range = Range {
        import: "__guest_response",
        what: "a response",
        pointer,
    };
    let (memory, state) = memory(&mut caller)?;
    state.call.response = message(range, memory, length, state)?;
    Ok(())
}

/// `__guest_error`: takes the guest's error. It wins over a response and over the return code.
fn guest_error(
    mut caller: Caller<'_, WasmbusState>,
    pointer: u32,
    length: u32,
) -> wasmtime::Result<()> {
    let range = Range {
        import: "__guest_error",
        what: "an error",
        pointer,
    };
    let (memory, state) = memory(&mut caller)?;
    let text = String::from_utf8_lossy(range.read(memory, length)?);
    state.call.error = Some(cut(&text, MAX_ERROR).to_owned());
    Ok(())
}

/// Pointer and length of binding, namespace, operation and payload. The binding is the name of the link; the namespace
/// is its contract, or the key or alias of an actor.
type HostCall = (u32, u32, u32, u32, u32, u32, u32, u32);

/// `__host_call`: calls another actor or a capability. The guest's fiber waits for the answer; no thread does.
///
/// Answer and error of the call before are forgotten first. An answer that is not bytes, as from a provider of WIT
/// interfaces, is an error.
async fn host_call(mut caller: Caller<'_, WasmbusState>, call: HostCall) -> wasmtime::Result<i32> {
    let invocation = outgoing(&mut caller, call)?;
    let WasmbusState { actor, call, .. } = caller.data_mut();
    call.host_response = Bytes::new();
    call.host_error = None;

    let answer = actor.call_out(invocation).await;

    let call = &mut caller.data_mut().call;
    match answer.and_then(Reply::into_bytes) {
        Ok(response) => {
            call.host_response = response;
            Ok(DONE)
        }
        Err(error) => {
            call.host_error = Some(error);
            Ok(FAILED)
        }
    }
}

/// The call that the guest makes. Its context is nested in that of the guest's own call: it has the same deadline at
/// most, and one level more.
fn outgoing(caller: &mut Caller<'_, WasmbusState>, call: HostCall) -> wasmtime::Result<Invocation> {
    let (binding, binding_length, namespace, namespace_length, operation, operation_length, ..) =
        call;
    let (.., payload, payload_length) = call;
    let range = |what, pointer| Range {
        import: "__host_call",
        what,
        pointer,
    };
    let (memory, state) = memory(caller)?;
    Ok(Invocation {
        origin: Origin::Actor(state.actor.id.clone()),
        target: Target::Import {
            namespace: range("a namespace", namespace).name(memory, namespace_length)?,
            link: range("a binding", binding).name(memory, binding_length)?,
        },
        operation: range("an operation", operation).name(memory, operation_length)?,
        payload: message(range("a payload", payload), memory, payload_length, state)?.into(),
        context: state.call.context.nested(),
    })
}

/// `__host_response`: copies the answer to the last `__host_call`, once.
fn host_response(mut caller: Caller<'_, WasmbusState>, pointer: u32) -> wasmtime::Result<()> {
    let range = Range {
        import: "__host_response",
        what: "room for a response",
        pointer,
    };
    let (memory, state) = memory(&mut caller)?;
    let response = std::mem::take(&mut state.call.host_response);
    range.write(memory, &response)?;
    Ok(())
}

/// A length for the guest. An answer of the host beyond 32 bits is a trap.
fn length(bytes: usize) -> wasmtime::Result<u32> {
    Ok(u32::try_from(bytes)?)
}

/// The length of the error of the last host call, so that the guest can make room; 0 if there is none, or if it was
/// read.
fn host_error_length(state: &WasmbusState) -> usize {
    let error = state.call.host_error.as_ref();
    error.map_or(0, |error| error.to_string().len())
}

/// `__host_error`: copies the error of the last `__host_call`, once. A guest that has read it handles it
/// itself; an unread one becomes the error of the guest's call.
fn host_error(mut caller: Caller<'_, WasmbusState>, pointer: u32) -> wasmtime::Result<()> {
    let range = Range {
        import: "__host_error",
        what: "room for an error",
        pointer,
    };
    let (memory, state) = memory(&mut caller)?;
    if let Some(error) = state.call.host_error.take() {
        range.write(memory, error.to_string().as_bytes())?;
    }
    Ok(())
}

/// `__console_log`: a line for the log, at the level debug.
fn console_log(
    mut caller: Caller<'_, WasmbusState>,
    pointer: u32,
    length: u32,
) -> wasmtime::Result<()> {
    let range = Range {
        import: "__console_log",
        what: "a line",
        pointer,
    };
    let (memory, state) = memory(&mut caller)?;
    let line = range.read(memory, length)?;
    // One byte more than is passed on, so that the gate marks the line as cut.
    let start = &line[..line.len().min(LogGate::MAX_LINE + 1)];
    let text = String::from_utf8_lossy(start);
    state
        .actor
        .log
        .write(&state.actor.id, LogLevel::Debug, &text);
    Ok(())
}

/// Copies a message out of the guest, up to the message limit.
fn message(
    range: Range,
    memory: &mut [u8],
    length: u32,
    state: &WasmbusState,
) -> Result<Bytes, Error> {
    let max = state.limiter.limits().message_bytes;
    let bytes = range.read(memory, length)?;
    if bytes.len() > max {
        return Err(Error::Limit(format!(
            "{} was given {} of {length} bytes, more than the limit of {max} bytes",
            range.import, range.what
        )));
    }
    Ok(Bytes::copy_from_slice(bytes))
}
