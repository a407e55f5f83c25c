//! WASI preview 1 for modules: wasmtime's own, except for random bytes, which are filled in pieces.
//!
//! Used by wasmbus modules and programs. The functions of WASI find their context in the data of the store, and the
//! guest's memory by the name of its export, as preview 1 says.

use wasmtime::{Caller, Extern, Linker};
use wasmtime_wasi::p1::{self, WasiP1Ctx};

use crate::random::Pieces;

pub(super) const WASI: &str = "wasi_snapshot_preview1";

/// The memory that WASI reads and writes.
const MEMORY: &str = "memory";

/// The WASI error for a range outside of the memory.
const FAULT: i32 = 21;

/// Adds WASI to a linker. `wasi` gets it out of the data of the store.
pub(super) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    wasi: impl Fn(&mut T) -> &mut WasiP1Ctx + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    p1::add_to_linker_async(linker, wasi)?;
    linker.allow_shadowing(true);
    linker.func_wrap_async(WASI, "random_get", |caller, (pointer, length)| {
        Box::new(random_get(caller, pointer, length))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Fills a range of the guest's memory. The range is checked for each piece: memory may grow between two of them,
/// and never shrinks.
async fn random_get<T: Send>(
    mut caller: Caller<'_, T>,
    pointer: u32,
    length: u32,
) -> wasmtime::Result<i32> {
    let Some(Extern::Memory(memory)) = caller.get_export(MEMORY) else {
        return Ok(FAULT);
    };
    let start = pointer as usize;
    let mut pieces = Pieces::of(length as usize);
    while let Some(piece) = pieces.next().await {
        let bytes = memory.data_mut(&mut caller);
        let Some(bytes) = bytes.get_mut(start + piece.start..start + piece.end) else {
            return Ok(FAULT);
        };
        getrandom::fill(bytes)?;
    }
    Ok(0)
}
