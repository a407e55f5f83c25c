//! Holds a guest to its limits on memory and tables, and remembers when it reached one.

use wasmtime::ResourceLimiter;

use crate::Limits;
use crate::configuration::{
    CORE_INSTANCES_PER_COMPONENT, MEMORIES_PER_COMPONENT, TABLES_PER_COMPONENT,
};

/// Refuses growth as Wasm has it (`memory.grow` gives -1), so that a guest may cope. One that does
/// not traps, and `reached` then says why.
pub(crate) struct Limiter {
    limits: Limits,
    /// What all memories of the instance have by now.
    memory: usize,
    reached: Option<String>,
}

impl Limiter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            memory: 0,
            reached: None,
        }
    }

    /// For another call of the same instance, which keeps the memory that it has.
    pub(crate) fn forget(&mut self) {
        self.reached = None;
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Which limit was reached, if any.
    pub(crate) fn reached(&self) -> Option<&str> {
        self.reached.as_deref()
    }

    fn admit(&mut self, desired: usize, limit: usize, what: impl FnOnce() -> String) -> bool {
        let fits = desired <= limit;
        if !fits {
            self.reached = Some(format!("the guest reached its {}", what()));
        }
        fits
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
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
        }
        Ok(fits)
    }

    fn table_growing(
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
        CORE_INSTANCES_PER_COMPONENT as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_PER_COMPONENT as usize
    }

    fn tables(&self) -> usize {
        TABLES_PER_COMPONENT as usize
    }
}
