//! The engine: compiles modules and makes actors of them.
//!
//! A facade: every function here hands over to the module that does the work. `exosuit_nif` makes one
//! engine for the VM. Its parts live until the last module, actor and instance are dropped, because each
//! of them holds the [`EngineCore`].

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::abi::{Linkers, unanswered};
use crate::code::Code;
use crate::compile::{Compiler, Stats};
use crate::configuration::{self, Allocator};
use crate::engine_core::EngineCore;
use crate::{Actor, ActorOptions, CompileLimits, EngineOptions, Error, Module, skeleton};

/// Compiles modules and runs them. One per process; cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    core: Arc<EngineCore>,
    allocator: Allocator,
    /// Also held by the compiler, which links each module once, right after its compile.
    linkers: Arc<Linkers>,
    compiler: Arc<Compiler>,
}

impl Engine {
    /// Sets everything up. Takes milliseconds and touches files: not for a scheduler thread.
    ///
    /// A pool that does not fit into the address space, a cache that cannot be used and a missing compiler
    /// are not errors: see [`allocator`](Self::allocator), [`cache_refusal`](Self::cache_refusal) and
    /// [`compiles_apart`](Self::compiles_apart). Starts the thread that interrupts
    /// guests.
    pub fn new(options: EngineOptions) -> Result<Self, Error> {
        let (wasmtime, allocator) = configuration::build(options.pool_slots, options.parts)?;
        let linkers = Arc::new(Linkers::new(&wasmtime)?);
        let core = Arc::new(EngineCore::new(wasmtime, &options)?);
        Ok(Self(Arc::new(Inner {
            compiler: Compiler::new(Arc::clone(&core), Arc::clone(&linkers), options)?,
            core,
            allocator,
            linkers,
        })))
    }

    /// Compiles a module, or finds it compiled, in the name of nobody and within the default limits.
    pub fn compile(
        &self,
        bytes: Bytes,
    ) -> impl Future<Output = Result<Module, Error>> + Send + 'static {
        self.compile_for(String::new(), bytes, CompileLimits::default())
    }

    /// Compiles a module, or finds it compiled: by this engine, or by an earlier one in the cache.
    /// A module that is found need not wait for others that are being compiled.
    ///
    /// Compiles of different tenants take turns. Whoever asks for the same bytes meanwhile waits for the
    /// same result; a compile that nobody waits for any more, as all their futures were dropped, ends.
    ///
    /// The future must be polled inside a Tokio runtime: hashing, files and the compiler use its blocking
    /// threads.
    pub fn compile_for(
        &self,
        tenant: String,
        bytes: Bytes,
        limits: CompileLimits,
    ) -> impl Future<Output = Result<Module, Error>> + Send + 'static {
        Arc::clone(&self.0.compiler).compile(bytes, tenant, limits)
    }

    /// Lists the imports that nothing here can answer, each with the reason. Reads types alone and
    /// compiles no code: for those who refuse such a module before its compilation. A module that is
    /// not valid has none; its compilation says what is wrong with it.
    pub fn unanswered(&self, bytes: &[u8]) -> Vec<String> {
        let imports = skeleton::imports(bytes).and_then(|imports| {
            let code = Code::compile(self.0.core.wasmtime(), &imports).ok()?;
            unanswered(&self.0.linkers, &code).ok()
        });
        imports.unwrap_or_default()
    }

    /// An actor that runs a module. Its limits must leave room for what the module starts with, and
    /// the directories that it is granted must be there: they are looked for, which may block for ten
    /// seconds. Nothing is instantiated yet: [`Actor::rehearse`] does that.
    pub fn actor(&self, module: &Module, options: ActorOptions) -> Result<Actor, Error> {
        Actor::new(module, options)
    }

    /// The memory in which instances are made, and the reason if it is not a pool.
    pub fn allocator(&self) -> &Allocator {
        &self.0.allocator
    }

    /// Why compiled code is not kept on disk although the options ask for it.
    pub fn cache_refusal(&self) -> Option<&str> {
        self.0.compiler.cache_refusal()
    }

    /// Whether each module is compiled by a process of its own, which its limits hold.
    pub fn compiles_apart(&self) -> bool {
        self.0.compiler.is_apart()
    }

    /// The counters of its work so far: for tests and measurements.
    pub fn stats(&self) -> Stats {
        self.0.compiler.stats()
    }
}
