//! Compiling: once per content, in turns, and only while somebody waits.
//!
//! The steps of [`Compiler::compile`]:
//!
//! 1. Check size and magic number; hash the bytes. The hash is the module's [`Digest`].
//! 2. Find the module in memory, or join a compile of the same content that runs already.
//! 3. Load its code from the cache on disk.
//! 4. Wait for a turn ([`Turns`]), compile, and write the code to the cache.
//!
//! Steps 1 to 3 need no turn, so that known modules never wait behind a long compile. Step 4 runs in a process
//! of its own per module ([`Program`]). Without that program it runs in this process, and only if no function of
//! the module is so large that it could run for long ([`bodies`]).
//!
//! # Tasks and waiters
//!
//! Each compile is a task of Tokio ([`CompileJob`]). Callers wait for it on a watch channel, so a caller that
//! gives up costs nothing, and one that comes later joins. The task watches whether any receiver is left, and
//! ends with the last one: a stranger's module must not occupy a turn that nobody wants. Hashing, files and
//! linking run on blocking threads, because each may take a tenth of a second.
//!
//! The table of compiles is keyed by content *and* limits: a caller that allows five minutes must not get the
//! failure of one that allowed a second. Once compiled, content alone is the key.
//!
//! # What a caller may meet
//!
//! | at that moment the content is | the caller |
//! |---|---|
//! | in use by an actor, or held by Elixir | gets it at once |
//! | being compiled, under the same limits | waits for that compile |
//! | being compiled, under other limits | starts a compile of its own |
//! | in the cache on disk | waits for the file to be read and linked |
//! | unknown | waits for a turn, and for the compile |
//!
//! # Locks
//!
//! The one lock here, of [`Modules`], is held for look-ups and changes of two tables, never for a compile or a file.
//! The drop of a [`CompileJob`] takes it as well: no job may be dropped while it is held.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{oneshot, watch};

use crate::abi::Linkers;
use crate::cache::{Cache, compatibility};
use crate::code::Code;
use crate::configuration::setup;
use crate::engine_core::EngineCore;
use crate::kind::kind;
use crate::module::Compiled;
use crate::program::Program;
use crate::turns::Turns;
use crate::{CompileLimits, Digest, EngineOptions, Error, Module, bodies};

/// Compiles modules for one engine, and knows all modules that are in use. Its jobs hold it, so it outlives its engine
/// until they have ended.
pub(crate) struct Compiler {
    core: Arc<EngineCore>,
    linkers: Arc<Linkers>,
    backend: CompileBackend,
    /// The turns of step 4.
    turns: Arc<Turns>,
    /// The error says why it is not used; `None` if the options ask for no cache.
    cache: Result<Cache, Option<String>>,
    /// The size of the largest module that is accepted.
    module_bytes: usize,
    /// A lock of threads: it is never held across an await.
    modules: Mutex<Modules>,
    counts: Counts,
}

/// The ways to compile. Chosen once, when the engine is made.
enum CompileBackend {
    /// A process for each module.
    Program(Program),
    /// Threads of this process. wasmtime compiles the functions of a module in parallel on the thread pool
    /// that it is called from; a pool of our own leaves the global one, and a core, to others.
    Threads(ThreadPool),
}

/// The modules in use, and the compiles that run. Entries of modules that were dropped are removed at the next
/// compile, so there are never more than were in use at one time, and one for each compile since.
#[derive(Default)]
struct Modules {
    /// Weak, because the actors that run a module keep it.
    ready: HashMap<Digest, Weak<Compiled>>,
    /// Each with its number, by which a job that ends removes its own entry and never a successor's.
    compiling: HashMap<CompileKey, (u64, watch::Sender<Outcome>)>,
    /// The number of the last compile.
    last: u64,
}

/// A compile is shared by callers that want the same content under the same limits.
type CompileKey = (Digest, CompileLimits);

/// The result of a compile; `None` while it runs. Cloned for each waiter, which costs a counter or a short text.
type Outcome = Option<Result<Module, Error>>;

/// The numbers behind [`Stats`]. Relaxed: nothing is ordered by them.
#[derive(Default)]
struct Counts {
    compiled: AtomicU64,
    loaded: AtomicU64,
    shared: AtomicU64,
    not_cached: AtomicU64,
}

/// The counters of an engine, for those who measure it. They never fall.
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

impl Compiler {
    /// Chooses how to compile and opens the cache. Touches files. Only missing threads are an error.
    pub(crate) fn new(
        core: Arc<EngineCore>,
        linkers: Arc<Linkers>,
        options: EngineOptions,
    ) -> Result<Arc<Self>, Error> {
        let engine = core.wasmtime();
        let threads = options.compile_threads.max(1);
        let backend = match options.compiler.filter(|path| path.is_file()) {
            Some(path) => CompileBackend::Program(Program {
                path,
                compatibility: compatibility(engine),
                threads,
            }),
            None => CompileBackend::Threads(pool(threads)?),
        };
        let cache = match options.cache {
            Some(directory) => Cache::open(directory, engine, options.cache_bytes).map_err(Some),
            None => Err(None),
        };
        Ok(Arc::new(Self {
            backend,
            turns: Turns::new(options.compile_jobs),
            cache,
            module_bytes: options.module_bytes,
            modules: Mutex::default(),
            counts: Counts::default(),
            core,
            linkers,
        }))
    }

    /// Why the cache that the options ask for is not used.
    pub(crate) fn cache_refusal(&self) -> Option<&str> {
        self.cache.as_ref().err()?.as_deref()
    }

    /// Whether each compile is a process of its own.
    pub(crate) fn is_apart(&self) -> bool {
        matches!(self.backend, CompileBackend::Program(_))
    }

    /// Reads the counters, one after the other.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            compiled: self.counts.compiled.load(Relaxed),
            loaded: self.counts.loaded.load(Relaxed),
            shared: self.counts.shared.load(Relaxed),
            not_cached: self.counts.not_cached.load(Relaxed),
        }
    }

    /// The cheap checks: the size, and the magic number.
    fn check(&self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > self.module_bytes {
            return Err(Error::TooLarge {
                size: bytes.len(),
                max: self.module_bytes,
            });
        }
        kind(bytes).map(drop)
    }
}

/// The threads that compile in this process. A panic of the compiler ends one job, and the thread goes on.
fn pool(threads: usize) -> Result<ThreadPool, Error> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|n| format!("exosuit-compile-{n}"))
        // Waiters see their channel closed; without a handler the process would abort.
        .panic_handler(|_| {})
        .build()
        .map_err(setup)
}

impl Compiler {
    /// Compiles a module, or finds it. See [`Engine::compile_for`](crate::Engine::compile_for).
    ///
    /// `Error::Compiler` stands for a job that ended without an outcome: it panicked, or the runtime is shutting down.
    pub(crate) async fn compile(
        self: Arc<Self>,
        bytes: Bytes,
        tenant: String,
        limits: CompileLimits,
    ) -> Result<Module, Error> {
        self.check(&bytes)?;
        let content = bytes.clone();
        // Hashing 50 MiB takes a tenth of a second: not on the caller's thread.
        let digest = blocking(move || Digest::of(&content)).await?;
        let mut outcome = match self.find_or_start((digest, limits), bytes, tenant) {
            Ok(module) => return Ok(module),
            Err(outcome) => outcome,
        };
        let outcome = outcome.wait_for(Outcome::is_some).await;
        let outcome = outcome.map_err(|_| Error::Compiler)?.clone();
        outcome.unwrap_or(Err(Error::Compiler))
    }

    /// The module if it is in memory; else the channel of its compile, which is started if none runs.
    ///
    /// Look-up and entry are one step under the lock, so two callers never start the same compile. The receiver is
    /// made under the lock as well: a job that has one cannot be found abandoned.
    fn find_or_start(
        self: &Arc<Self>,
        key: CompileKey,
        bytes: Bytes,
        tenant: String,
    ) -> Result<Module, watch::Receiver<Outcome>> {
        let mut modules = self.modules.lock();
        let ready = modules.ready.get(&key.0).and_then(Weak::upgrade);
        let compiling = modules.compiling.get(&key);
        let shared = match (ready, compiling) {
            (Some(module), _) => Some(Ok(Module(module))),
            (None, Some((_, outcome))) => Some(Err(outcome.subscribe())),
            (None, None) => None,
        };
        if let Some(shared) = shared {
            self.counts.shared.fetch_add(1, Relaxed);
            return shared;
        }
        modules.ready.retain(|_, module| module.strong_count() > 0);
        let (done, outcome) = watch::channel(None);
        modules.last += 1;
        let number = modules.last;
        modules.compiling.insert(key, (number, done.clone()));
        let job = CompileJob {
            compiler: Arc::clone(self),
            key,
            number,
            done,
        };
        tokio::spawn(job.run(bytes, tenant));
        Err(outcome)
    }

    /// Steps 3 and 4. The turn is released before the code is linked and written: others may compile then.
    ///
    /// Dropping the future gives the turn back, and ends the process of the compile. In this process a compile that
    /// has begun goes on to its end, and its turn is given to another one meanwhile.
    async fn load_or_compile(
        self: &Arc<Self>,
        (digest, limits): CompileKey,
        bytes: Bytes,
        tenant: &str,
    ) -> Result<Module, Error> {
        let loading = Arc::clone(self);
        if let Some(module) = blocking(move || loading.load(digest)).await? {
            return module;
        }
        let turn = self.turns.acquire(tenant).await?;
        let code = match &self.backend {
            CompileBackend::Program(program) => program.compile(bytes, limits).await?,
            CompileBackend::Threads(threads) => {
                let engine = self.core.wasmtime().clone();
                compile_here(threads, engine, bytes).await?.into()
            }
        };
        drop(turn);
        self.counts.compiled.fetch_add(1, Relaxed);
        let caching = Arc::clone(self);
        blocking(move || caching.prepare_and_cache(digest, &code)).await?
    }

    /// Makes a module of cached code, if there is any.
    fn load(&self, digest: Digest) -> Option<Result<Module, Error>> {
        let code = self.cache.as_ref().ok()?.load(&digest)?;
        self.counts.loaded.fetch_add(1, Relaxed);
        Some(self.prepare(digest, &code))
    }

    /// Makes a module of freshly compiled code, and writes the code to the cache. A cache that cannot be
    /// written is counted and otherwise ignored: the module runs, and is compiled again at the next start.
    fn prepare_and_cache(&self, digest: Digest, code: &[u8]) -> Result<Module, Error> {
        let prepared = self.prepare(digest, &self.deserialize(code)?)?;
        if let Ok(cache) = &self.cache
            && cache.store(&digest, code).is_err()
        {
            self.counts.not_cached.fetch_add(1, Relaxed);
        }
        Ok(prepared)
    }

    /// Makes code of what was just compiled. Fails if it is too large for the pool.
    #[expect(
        unsafe_code,
        reason = "compiled code is taken as it is; there is no other way in"
    )]
    fn deserialize(&self, code: &[u8]) -> Result<Code, Error> {
        // SAFETY: `Code::precompile` made these bytes, in this process or in the program that was found
        // to be compatible, and they came through a pipe that nobody else has.
        unsafe { Code::deserialize(self.core.wasmtime(), code) }
    }

    /// Links the code. Blocks, for milliseconds with large components.
    fn prepare(&self, digest: Digest, code: &Code) -> Result<Module, Error> {
        let compiled = Compiled::new(Arc::clone(&self.core), &self.linkers, digest, code)?;
        Ok(Module(Arc::new(compiled)))
    }
}

/// Runs work on a thread that may block. A panic there is the error of a compiler that failed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Error::Compiler)
}

/// Compiles in this process. Nothing can interrupt that, so only modules pass whose compile ends soon.
async fn compile_here(
    threads: &ThreadPool,
    engine: wasmtime::Engine,
    bytes: Bytes,
) -> Result<Vec<u8>, Error> {
    let (done, code) = oneshot::channel();
    threads.spawn(move || {
        let compiled = bodies::check(&bytes).and_then(|()| Code::precompile(&engine, &bytes));
        // The waiter may be gone.
        let _ = done.send(compiled);
    });
    code.await.map_err(|_| Error::Compiler)?
}

/// One compile. Dropped, even by a panic, it leaves the table of compiles. Its waiters then see their channel closed,
/// and get the error of a compiler that failed.
///
/// Its `number` tells it from a later job of the same key, which may be in the table by then.
struct CompileJob {
    compiler: Arc<Compiler>,
    key: CompileKey,
    number: u64,
    done: watch::Sender<Outcome>,
}

impl CompileJob {
    /// The task. It enters the module before it tells the waiters, so that a caller that comes in between
    /// finds one or the other.
    async fn run(self, bytes: Bytes, tenant: String) {
        let outcome = tokio::select! {
            outcome = self.compiler.load_or_compile(self.key, bytes, &tenant) => outcome,
            () = self.abandoned() => return,
        };
        if let Ok(module) = &outcome {
            let ready = Arc::downgrade(&module.0);
            let mut modules = self.compiler.modules.lock();
            modules.ready.insert(self.key.0, ready);
        }
        self.done.send_replace(Some(outcome));
    }

    /// Ends when nobody waits for this compile any more. Looks again under the lock, and removes the compile from the
    /// table there, so that no caller can join it in between.
    ///
    /// `closed` alone does not suffice: it was true at some moment, and a caller may have subscribed since.
    async fn abandoned(&self) {
        loop {
            self.done.closed().await;
            let mut modules = self.compiler.modules.lock();
            if self.done.receiver_count() == 0 {
                modules.forget(self);
                return;
            }
        }
    }
}

impl Modules {
    /// Removes the entry of a job, unless another job has the key by now.
    fn forget(&mut self, job: &CompileJob) {
        let found = self.compiling.get(&job.key);
        if found.is_some_and(|(number, _)| *number == job.number) {
            self.compiling.remove(&job.key);
        }
    }
}

impl Drop for CompileJob {
    fn drop(&mut self) {
        self.compiler.modules.lock().forget(self);
    }
}
