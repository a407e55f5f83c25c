//! The engine: what all modules and calls of a process share.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::abi::{Guest, Linkers, unanswered};
use crate::code::Code;
use crate::compile::Compiler;
use crate::configuration::{self, Allocator};
use crate::pool::Reserve;
use crate::share::Slots;
use crate::ticker::Ticker;
use crate::{Actor, ActorOptions, CompileLimits, EngineOptions, Error, Module, Parts, skeleton};

/// Compiles modules and runs them. One per process; cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    wasmtime: wasmtime::Engine,
    allocator: Allocator,
    linkers: Linkers,
    reserve: Arc<Reserve<Guest>>,
    slots: Option<Slots>,
    /// The limits of one instance.
    parts: Parts,
    ticker: Ticker,
    compiler: Compiler,
}

/// What an engine has done, for those who measure it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Modules that were compiled.
    pub compiled: u64,
    /// Modules whose code was read from the cache.
    pub loaded: u64,
    /// Requests for a module that was in memory, or being compiled, already.
    pub shared: u64,
    /// Compiled code that could not be written to the cache.
    pub not_cached: u64,
}

impl Engine {
    /// Sets everything up. Takes milliseconds and touches files: not for a scheduler thread.
    pub fn new(options: EngineOptions) -> Result<Self, Error> {
        let (wasmtime, allocator) = configuration::build(options.pool_slots, options.parts)?;
        Ok(Self(Arc::new(Inner {
            linkers: Linkers::new(&wasmtime)?,
            reserve: Reserve::new(),
            slots: Slots::of(&wasmtime, &options),
            parts: options.parts,
            ticker: Ticker::start(wasmtime.clone())?,
            compiler: Compiler::new(&wasmtime, options)?,
            wasmtime,
            allocator,
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
    /// What is found need not wait for what is being compiled.
    ///
    /// Compiles of different tenants take turns. Whoever asks for the same bytes meanwhile waits for the
    /// same result; a compile that nobody waits for any more, as all their futures were dropped, ends.
    pub fn compile_for(
        &self,
        tenant: String,
        bytes: Bytes,
        limits: CompileLimits,
    ) -> impl Future<Output = Result<Module, Error>> + Send + 'static {
        crate::compile::compile(self.clone(), bytes, tenant, limits)
    }

    /// Lists the imports that nothing here can answer, each with the reason. Reads types alone and
    /// compiles no code: for those who refuse such a module before its compilation. A module that is
    /// not valid has none; its compilation says what is wrong with it.
    pub fn unanswered(&self, bytes: &[u8]) -> Vec<String> {
        let imports = skeleton::imports(bytes).and_then(|imports| {
            let code = Code::compile(self.wasmtime(), &imports).ok()?;
            unanswered(self, &code).ok()
        });
        imports.unwrap_or_default()
    }

    /// An actor that runs a module. Its limits must leave room for what the module starts with, and
    /// the directories that it is granted must be there: they are looked for, which may block for ten
    /// seconds.
    pub fn actor(&self, module: &Module, options: ActorOptions) -> Result<Actor, Error> {
        Actor::new(module, options)
    }

    /// Where instances live, and why not in a pool.
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

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        self.0.compiler.stats()
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    pub(crate) fn parts(&self) -> Parts {
        self.0.parts
    }

    /// The slots of the pool, if there is one.
    pub(crate) fn slots(&self) -> Option<&Slots> {
        self.0.slots.as_ref()
    }

    pub(crate) fn linkers(&self) -> &Linkers {
        &self.0.linkers
    }

    /// When hardly a slot is left for a fresh instance, some that rest give theirs up.
    pub(crate) fn make_room(&self) {
        if self.slots().is_some_and(Slots::are_scarce) {
            self.0.reserve.give_up();
        }
    }

    /// Where the warm instances are that rest.
    pub(crate) fn reserve(&self) -> &Arc<Reserve<Guest>> {
        &self.0.reserve
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.0.ticker
    }

    pub(crate) fn compiler(&self) -> &Compiler {
        &self.0.compiler
    }
}
