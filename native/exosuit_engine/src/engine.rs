//! The engine: compiles modules and makes actors of them.
//!
//! A facade: every function here hands over to the module that does the work. `exosuit_nif` makes one engine for the
//! VM, and all hosts of the VM share it. Its parts live until the last module, actor and instance are dropped, because
//! each of them holds the [`EngineCore`].
//!
//! | part | shared by | dropped with |
//! |---|---|---|
//! | [`EngineCore`]: wasmtime, the ticker, the pool | all modules and instances | the last of them |
//! | [`Linkers`]: the host functions of each ABI | the compiler, [`Engine::unanswered`] | the engine and its compiles |
//! | [`Compiler`]: cache, turns, modules in use | all compiles | the engine and its compiles |

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
///
/// Two engines in a process work, but share nothing: each reserves a pool of its own, has a thread of its own that
/// interrupts guests, and compiles what the other one has compiled. Tests do that.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

/// The state that the clones of an engine share.
struct Inner {
    core: Arc<EngineCore>,
    /// Whether there is a pool. Never changes: the pool is reserved at the start, or not at all.
    allocator: Allocator,
    /// Also held by the compiler, which links each module once, right after its compile.
    linkers: Arc<Linkers>,
    compiler: Arc<Compiler>,
}

impl Engine {
    /// Sets everything up. Takes milliseconds and touches files: not for a scheduler thread.
    ///
    /// A pool that does not fit into the address space, a cache that cannot be used and a missing compiler are not
    /// errors: see [`allocator`](Self::allocator), [`cache_refusal`](Self::cache_refusal) and
    /// [`compiles_apart`](Self::compiles_apart). Starts the thread that interrupts guests.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] if wasmtime refuses this machine, or if a thread cannot be started.
    ///
    /// ```
    /// use exosuit_engine::{Allocator, Engine, EngineOptions};
    ///
    /// let engine = Engine::new(EngineOptions { pool_slots: 0, ..EngineOptions::default() })?;
    /// assert!(matches!(engine.allocator(), Allocator::OnDemand { .. }));
    /// assert_eq!(engine.cache_refusal(), None);
    /// assert!(!engine.compiles_apart());
    /// # Ok::<(), exosuit_engine::Error>(())
    /// ```
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

    /// Compiles a module, or finds it compiled: by this engine, or by an earlier one in the cache. A module that is
    /// found need not wait for others that are being compiled.
    ///
    /// `tenant` is the issuer of the code, or an empty text for unsigned code. Compiles of different tenants take
    /// turns. Whoever asks for the same bytes meanwhile waits for the same result; a compile that nobody waits for any
    /// more, as all their futures were dropped, ends.
    ///
    /// The future must be polled inside a Tokio runtime: hashing, files and the compiler use its blocking threads.
    ///
    /// # Errors
    ///
    /// - [`Error::TooLarge`], and [`Error::Module`] for bytes that are not Wasm, or not valid, or of no ABI that runs
    ///   here.
    /// - [`Error::CompileTime`] and [`Error::CompileEnded`] at the limits.
    /// - [`Error::Overloaded`] if too many compiles wait already.
    /// - [`Error::Compiler`] if the compiler died, and [`Error::Setup`] if its program does not start.
    pub fn compile_for(
        &self,
        tenant: String,
        bytes: Bytes,
        limits: CompileLimits,
    ) -> impl Future<Output = Result<Module, Error>> + Send + 'static {
        Arc::clone(&self.0.compiler).compile(bytes, tenant, limits)
    }

    /// Lists the imports that nothing here can answer, each with the reason. Reads types alone and compiles no code:
    /// for those who refuse such a module before its compilation. A module that is not valid has none; its compilation
    /// says what is wrong with it.
    ///
    /// The list is empty as well for a binary that defines something before its last import, which toolchains rarely
    /// write. [`Module::unanswered`] is exact, and needs the compile.
    ///
    /// ```
    /// use exosuit_engine::{Engine, EngineOptions};
    ///
    /// let engine = Engine::new(EngineOptions { pool_slots: 0, ..EngineOptions::default() })?;
    /// let module = wat::parse_str(r#"(module (import "env" "abort" (func (param i32))))"#)?;
    /// assert_eq!(engine.unanswered(&module), ["`env::abort`"]);
    /// assert!(engine.unanswered(b"not Wasm").is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unanswered(&self, bytes: &[u8]) -> Vec<String> {
        let imports = skeleton::imports(bytes).and_then(|imports| {
            let code = Code::compile(self.0.core.wasmtime(), &imports).ok()?;
            unanswered(&self.0.linkers, &code).ok()
        });
        imports.unwrap_or_default()
    }

    /// An actor that runs a module. Its limits must leave room for what the module starts with, and the directories
    /// that it is granted must be there: they are looked for, which may block for ten seconds. Nothing is instantiated
    /// yet: [`Actor::rehearse`] does that.
    ///
    /// # Errors
    ///
    /// [`Error::Oversized`] for the limits, [`Error::Directory`] for a directory, and [`Error::Setup`] if the thread
    /// that looks for directories does not start.
    pub fn actor(&self, module: &Module, options: ActorOptions) -> Result<Actor, Error> {
        Actor::new(module, options)
    }

    /// The memory in which instances are made, and the reason if it is not a pool. The log of the VM's start says it.
    pub fn allocator(&self) -> &Allocator {
        &self.0.allocator
    }

    /// Why compiled code is not kept on disk although the options ask for it. `None` also if they ask for no cache.
    pub fn cache_refusal(&self) -> Option<&str> {
        self.0.compiler.cache_refusal()
    }

    /// Whether each module is compiled by a process of its own, which its limits hold. If not, [`CompileLimits`] have
    /// no effect, and modules with a function of more than 1 MiB are refused.
    pub fn compiles_apart(&self) -> bool {
        self.0.compiler.is_apart()
    }

    /// The counters of its work so far: for tests and measurements. They are read one by one, so a compile that ends
    /// meanwhile may be in one and not yet in another.
    pub fn stats(&self) -> Stats {
        self.0.compiler.stats()
    }
}
