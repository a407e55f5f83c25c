//! Holds a guest to its limits on memory and tables, and remembers which limit it reached.
//!
//! wasmtime asks before each growth, also for what a module starts with. Each instance has a limiter of its own,
//! in the data of its store. What is not counted here is bounded elsewhere: the stack by `configuration`, values
//! of calls by the store's fuel, resources of the host by the table of a component, log lines by the gate.
//!
//! # What happens beyond a limit
//!
//! | limit | the guest sees | the caller sees |
//! |---|---|---|
//! | memory | `memory.grow` returns -1 | nothing, or `limit` if the guest traps later in the call |
//! | table elements | `table.grow` returns -1 | the same |
//! | size at the start | it does not start | `invalid_module` when the actor is made, or `limit` |
//! | memories, tables, core instances | it does not start | `trap`; with a pool, its module is not loaded |
//!
//! A guest that reaches a limit and goes on may answer well: its instance then serves again, and the note of the limit
//! is forgotten ([`Limiter::forget`]).

use wasmtime::ResourceLimiterAsync;
use wasmtime_wasi::async_trait;

use crate::slice::leave_scheduler;
use crate::{Limits, Parts};

/// The most memory of a guest that runs on a scheduler of the BEAM: `memory.fill` and `memory.copy` of so much take
/// about a millisecond, and nothing interrupts them: they check the epoch when they begin.
const MAX_MEMORY_ON_SCHEDULER: usize = 8 << 20;

/// Refuses growth beyond the limits: `memory.grow` returns -1, so that a guest can handle it. Most guests abort
/// instead, and [`Self::reached`] then explains the trap.
///
/// Asynchronous, because a growth may be the moment when the guest gets too large for a scheduler.
pub(crate) struct Limiter {
    limits: Limits,
    parts: Parts,
    /// The bytes of all memories of the instance together. Memories never shrink, so this only grows.
    memory: usize,
    /// The limit that was reached last in this call, in words.
    reached: Option<String>,
}

impl Limiter {
    /// A limiter for a fresh instance.
    pub(crate) fn new(limits: Limits, parts: Parts) -> Self {
        Self {
            limits,
            parts,
            memory: 0,
            reached: None,
        }
    }

    /// Forgets reached limits before another call of the instance. Its memory still counts.
    pub(crate) fn forget(&mut self) {
        self.reached = None;
    }

    /// The limits of the actor.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Moves the call to Tokio if the guest has too much memory to run on a scheduler of the BEAM. Called when
    /// memory grows, and before a warm instance serves another call.
    pub(crate) async fn leave_scheduler_if_large(&self) {
        if self.memory > MAX_MEMORY_ON_SCHEDULER {
            leave_scheduler().await;
        }
    }

    /// Which limit was reached, if any.
    pub(crate) fn reached(&self) -> Option<&str> {
        self.reached.as_deref()
    }

    /// Whether the desired size is within the limit. If not, notes which limit that was. The text is made only then.
    fn admit(&mut self, desired: usize, limit: usize, what: impl FnOnce() -> String) -> bool {
        let fits = desired <= limit;
        if !fits {
            self.reached = Some(format!("the guest reached its {}", what()));
        }
        fits
    }
}

/// wasmtime asks here. `desired` is the new size of one memory or table, in bytes or elements, and `current` its old
/// one, which is 0 for a fresh instance. A module's own maximum is checked by wasmtime before.
#[async_trait]
impl ResourceLimiterAsync for Limiter {
    async fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let limit = self.limits.memory_bytes;
        let all = self.memory.saturating_add(desired - current.min(desired));
        let fits = self.admit(all, limit, || format!("memory limit of {limit} bytes"));
        if fits {
            self.memory = all;
            self.leave_scheduler_if_large().await;
        }
        Ok(fits)
    }

    async fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let limit = self.limits.table_elements;
        Ok(self.admit(desired, limit, || {
            format!("table limit of {limit} elements")
        }))
    }

    fn instances(&self) -> usize {
        self.parts.core_instances as usize
    }

    fn memories(&self) -> usize {
        self.parts.memories as usize
    }

    fn tables(&self) -> usize {
        self.parts.tables as usize
    }
}
