//! The configuration of wasmtime, and its allocator. Most numbers here were measured with an HTTP server.
//!
//! Compiled code depends on a part of these settings. The host and `exosuit-compile` both make them here, so that they
//! agree; a hash of them is in the name of each cached file.
//!
//! # The pool
//!
//! The pooling allocator reserves address space for all slots at once, and gives memory to a slot when it is used. A
//! fresh instance then costs a copy-on-write mapping, and dropping one a reset, microseconds each. Slots keep up to
//! [`MEMORY_KEPT_RESIDENT`] of their memory between instances: clearing that is cheaper than giving it back to the
//! system and faulting it in again. A container or `ulimit -v` may leave no room for the pool; then instances are
//! allocated one by one, slower, and without a bound on their number.
//!
//! With the default of 1 000 instances the pool has 2 000 slots for memories, of 4 GiB of address space each: about 8
//! TiB of the 128 TiB that a process has.
//!
//! # The settings that matter
//!
//! | setting | value | why |
//! |---|---|---|
//! | `concurrency_support` | off | costs half a microsecond per call of a component; only WASI 0.3 needs it |
//! | `epoch_interruption` | on | ends slices; costs guests some ten percent, where fuel would cost more |
//! | `cranelift_opt_level` | speed | code is compiled once and runs often |
//! | `max_wasm_stack` | 512 KiB | a guest that recurses without end traps, and does not reach the host's part |
//! | `async_stack_size` | 2 MiB | host functions run on the same stack, on what the guest leaves |
//! | `pagemap_scan` | if the kernel has it | finds the resident pages, so that only these are reset |
//! | `wasm_backtrace_max_frames` | 8 | an error names two of them |

use std::num::NonZeroUsize;

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::{Error, Parts};

/// The most that an actor's limit on table elements can be: what a slot of the pool holds.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 100_000;

/// The stack that Wasm may use; deep recursion in real guests stays under 100 KiB.
pub(crate) const WASM_STACK: usize = 512 << 10;

/// The whole stack of a fiber. Host functions run on what Wasm leaves, and an overflow there
/// aborts the process.
const FIBER_STACK: usize = 2 << 20;

/// The size of an instance's bookkeeping: past what a module of 50 MiB needs. A bound, not a cost.
const MAX_INSTANCE_SIZE: usize = 10 << 20;

// The bytes of a slot that are cleared, and not returned to the system, when its instance is dropped.
// Measured with an HTTP server on two cores: these doubled its requests per second.
const MEMORY_KEPT_RESIDENT: usize = 2 << 20;
const TABLE_KEPT_RESIDENT: usize = 512 << 10;

/// The memories and tables that instances have on average, for which the pool has room. Each slot of
/// a memory takes 4 GiB of address space, of the 128 TiB that a process has.
const MEMORIES: u32 = 2;
const TABLES: u32 = 3;

/// The memory in which instances are made. [`Engine::allocator`](crate::Engine::allocator) tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allocator {
    /// In slots that are reserved once: an instance takes microseconds. `pool_slots` bounds how many are alive.
    Pooling,
    /// In memory that is allocated for each instance, which is slower.
    OnDemand {
        /// Why there is no pool.
        reason: String,
    },
}

/// An engine with a pool if the address space has room for one.
///
/// Whether it has is found out by trying: wasmtime reserves all of it in `Engine::new`, and fails if the system
/// refuses. An error is left only if the engine without a pool cannot be made either.
pub(crate) fn build(pool_slots: u32, parts: Parts) -> Result<(wasmtime::Engine, Allocator), Error> {
    let reason = if pool_slots == 0 {
        "the options ask for no pool".to_owned()
    } else {
        match wasmtime::Engine::new(&pooling(pool_slots, parts)) {
            Ok(engine) => return Ok((engine, Allocator::Pooling)),
            Err(error) => format!("a pool of {pool_slots} instances does not fit here: {error:#}"),
        }
    };
    let engine = wasmtime::Engine::new(&common()).map_err(setup)?;
    Ok((engine, Allocator::OnDemand { reason }))
}

/// An engine that compiles code for an engine of [`build`], and never runs any. The allocator does not
/// change the code, so it needs no pool.
pub(crate) fn compiling() -> Result<wasmtime::Engine, Error> {
    wasmtime::Engine::new(&common()).map_err(setup)
}

/// An error of the set-up, with the whole chain of its causes.
pub(crate) fn setup(error: impl std::fmt::Display) -> Error {
    Error::Setup(format!("{error:#}"))
}

/// The settings of all engines, those that compile among them.
fn common() -> Config {
    let mut config = Config::new();
    config
        // Half a microsecond per call, and only WASI 0.3 needs it.
        .concurrency_support(false)
        // Lists of a fixed length stay off, as wasmtime has them by default: the sizes of their types saturate, and
        // nobody has tried what a guest can do with a field after such a list.
        .wasm_component_model_map(true)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(FIBER_STACK)
        .wasm_backtrace_max_frames(NonZeroUsize::new(8));
    config
}

/// How many memories and tables a pool with so many slots has. A pool that had the most that one instance may have,
/// for each of its instances, would not fit into the address space.
pub(crate) fn shared_parts(slots: u32) -> (u32, u32) {
    (slots.saturating_mul(MEMORIES), slots.saturating_mul(TABLES))
}

/// The settings of an engine with a pool of this many instances.
fn pooling(slots: u32, parts: Parts) -> Config {
    let (memories, tables) = shared_parts(slots);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        // The pool counts core instances and keeps no room for them: the slots are the bound.
        .total_core_instances(slots.saturating_mul(parts.core_instances.max(1)))
        .total_memories(memories)
        .total_tables(tables)
        .total_stacks(slots)
        .max_core_instances_per_component(parts.core_instances)
        .max_memories_per_component(parts.memories)
        .max_memories_per_module(parts.memories)
        .max_tables_per_component(parts.tables)
        .max_tables_per_module(parts.tables)
        .max_component_instance_size(MAX_INSTANCE_SIZE)
        .max_core_instance_size(MAX_INSTANCE_SIZE)
        .table_elements(MAX_TABLE_ELEMENTS)
        .linear_memory_keep_resident(MEMORY_KEPT_RESIDENT)
        .table_keep_resident(TABLE_KEPT_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    let mut config = common();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
