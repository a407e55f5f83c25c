//! WASI preview 1 for modules: wasmtime's own, except for random bytes, which are filled in pieces.
//!
//! Used by wasmbus modules and programs. The functions of WASI find their context in the data of the store, and the
//! guest's memory by the name of its export, as preview 1 says.

use wasmtime::{Caller, Extern, Linker};
use wasmtime_wasi::p1::{self, WasiP1Ctx};

use crate::random::{self, Pieces};
use crate::sandbox::Sandbox;
use crate::simulation::SeededRandom;

pub(super) const WASI: &str = "wasi_snapshot_preview1";

/// The memory that WASI reads and writes.
const MEMORY: &str = "memory";

/// The WASI error for a range outside of the memory.
const FAULT: i32 = 21;

/// Adds WASI to a linker. `sandbox` gets it out of the data of the store.
pub(super) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    sandbox: impl Fn(&mut T) -> &mut Sandbox<WasiP1Ctx> + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    p1::add_to_linker_async(linker, move |data| &mut sandbox(data).wasi)?;
    linker.allow_shadowing(true);
    linker.func_wrap_async(
        WASI,
        "random_get",
        move |mut caller: Caller<'_, T>, (pointer, length)| {
            let seeded = sandbox(caller.data_mut()).random.clone();
            Box::new(random_get(caller, pointer, length, seeded))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Fills a range of the guest's memory. The range is checked for each piece: memory may grow between two of them, and
/// never shrinks. `start` and a piece cannot overflow together: both come from 32 bits.
async fn random_get<T: Send>(
    mut caller: Caller<'_, T>,
    pointer: u32,
    length: u32,
    seeded: Option<SeededRandom>,
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
        random::fill(bytes, seeded.as_ref())?;
    }
    Ok(0)
}
