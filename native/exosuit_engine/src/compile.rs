//! Compiling: once per content, in turns, and no longer than somebody waits.
//!
//! Whatever needs no compile needs no turn either: digests are made, and code that is in memory or in
//! the cache is found, beside the compiles that run. What is left is compiled by [`Program`], a
//! process of its own per module; or in this process, where there is no such program, if no function
//! of the module is too large for that.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{oneshot, watch};

use crate::cache::{Cache, compatibility};
use crate::code::Code;
use crate::configuration::setup;
use crate::module::{Compiled, Digest};
use crate::program::Program;
use crate::turns::Turns;
use crate::{Engine, EngineOptions, Error, Module, Stats, abi, bodies};

/// The limits of one compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CompileLimits {
    /// From the moment when it is its turn.
    pub time: Duration,
    /// The memory limit of the compiling process.
    pub memory_bytes: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            time: Duration::from_mins(5),
            memory_bytes: 4 << 30,
        }
    }
}

/// The compilers, the cache, and the compiles in progress.
pub(crate) struct Compiler {
    by: By,
    turns: Arc<Turns>,
    cache: Result<Cache, Option<String>>,
    module_bytes: usize,
    modules: Mutex<Modules>,
    counts: Counts,
}

/// The compiler.
enum By {
    Program(Program),
    /// wasmtime compiles the functions of a module in parallel: on these threads, since it is called
    /// from one of them, and on no other.
    Threads(ThreadPool),
}

/// The contents that are known. One whose module is gone makes room at the next compile.
#[derive(Default)]
struct Modules {
    ready: HashMap<Digest, Weak<Compiled>>,
    compiling: HashMap<Order, (u64, watch::Sender<Outcome>)>,
    last: u64,
}

/// Two who ask for one content share its compile if they allow it the same.
type Order = (Digest, CompileLimits);

type Outcome = Option<Result<Module, Error>>;

#[derive(Default)]
struct Counts {
    compiled: AtomicU64,
    loaded: AtomicU64,
    shared: AtomicU64,
    not_cached: AtomicU64,
}

impl Compiler {
    pub(crate) fn new(engine: &wasmtime::Engine, options: EngineOptions) -> Result<Self, Error> {
        let threads = options.compile_threads.max(1);
        let by = match options.compiler.filter(|path| path.is_file()) {
            Some(path) => By::Program(Program {
                path,
                compatibility: compatibility(engine),
                threads,
            }),
            None => By::Threads(pool(threads)?),
        };
        let cache = match options.cache {
            Some(directory) => Cache::open(directory, engine, options.cache_bytes).map_err(Some),
            None => Err(None),
        };
        Ok(Self {
            by,
            turns: Turns::new(options.compile_jobs),
            cache,
            module_bytes: options.module_bytes,
            modules: Mutex::default(),
            counts: Counts::default(),
        })
    }

    pub(crate) fn cache_refusal(&self) -> Option<&str> {
        self.cache.as_ref().err()?.as_deref()
    }

    /// Whether each compile is a process of its own.
    pub(crate) fn is_apart(&self) -> bool {
        matches!(self.by, By::Program(_))
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            compiled: self.counts.compiled.load(Relaxed),
            loaded: self.counts.loaded.load(Relaxed),
            shared: self.counts.shared.load(Relaxed),
            not_cached: self.counts.not_cached.load(Relaxed),
        }
    }

    fn check(&self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > self.module_bytes {
            return Err(Error::TooLarge {
                size: bytes.len(),
                max: self.module_bytes,
            });
        }
        abi::kind(bytes).map(drop)
    }
}

fn pool(threads: usize) -> Result<ThreadPool, Error> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|n| format!("exosuit-compile-{n}"))
        // Waiters see their channel closed; without a handler the process would abort.
        .panic_handler(|_| {})
        .build()
        .map_err(setup)
}

pub(crate) async fn compile(
    engine: Engine,
    bytes: Bytes,
    tenant: String,
    limits: CompileLimits,
) -> Result<Module, Error> {
    engine.compiler().check(&bytes)?;
    let content = bytes.clone();
    // Hashing 50 MiB takes a tenth of a second: not on the caller's thread.
    let digest = blocking(move || Digest::of(&content)).await?;
    let mut outcome = match find((digest, limits), &engine, bytes, tenant) {
        Ok(module) => return Ok(module),
        Err(outcome) => outcome,
    };
    let outcome = outcome.wait_for(Outcome::is_some).await;
    let outcome = outcome.map_err(|_| Error::Compiler)?.clone();
    outcome.unwrap_or(Err(Error::Compiler))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Error::Compiler)
}

/// The module, if it is there, or else where its compile will tell of it, begun if there was none.
fn find(
    order: Order,
    engine: &Engine,
    bytes: Bytes,
    tenant: String,
) -> Result<Module, watch::Receiver<Outcome>> {
    let compiler = engine.compiler();
    let mut modules = compiler.modules.lock();
    let ready = modules.ready.get(&order.0).and_then(Weak::upgrade);
    let compiling = modules.compiling.get(&order);
    let shared = match (ready, compiling) {
        (Some(module), _) => Some(Ok(Module(module))),
        (None, Some((_, outcome))) => Some(Err(outcome.subscribe())),
        (None, None) => None,
    };
    if let Some(shared) = shared {
        compiler.counts.shared.fetch_add(1, Relaxed);
        return shared;
    }
    modules.ready.retain(|_, module| module.strong_count() > 0);
    let (done, outcome) = watch::channel(None);
    modules.last += 1;
    let number = modules.last;
    modules.compiling.insert(order, (number, done.clone()));
    let job = Job {
        engine: engine.clone(),
        order,
        number,
        done,
    };
    tokio::spawn(job.run(bytes, tenant));
    Err(outcome)
}

/// Brings one module, and clears its place in the table whatever happens.
struct Job {
    engine: Engine,
    order: Order,
    number: u64,
    done: watch::Sender<Outcome>,
}

impl Job {
    async fn run(self, bytes: Bytes, tenant: String) {
        let outcome = tokio::select! {
            outcome = bring(&self.engine, self.order, bytes, &tenant) => outcome,
            () = self.deserted() => return,
        };
        if let Ok(module) = &outcome {
            let ready = Arc::downgrade(&module.0);
            let mut modules = self.engine.compiler().modules.lock();
            modules.ready.insert(self.order.0, ready);
        }
        self.done.send_replace(Some(outcome));
    }

    /// Waits until nobody waits for this any more. From then on nobody finds it either.
    async fn deserted(&self) {
        loop {
            self.done.closed().await;
            let mut modules = self.engine.compiler().modules.lock();
            if self.done.receiver_count() == 0 {
                modules.forget(self);
                return;
            }
        }
    }
}

impl Modules {
    fn forget(&mut self, job: &Job) {
        let found = self.compiling.get(&job.order);
        if found.is_some_and(|(number, _)| *number == job.number) {
            self.compiling.remove(&job.order);
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.engine.compiler().modules.lock().forget(self);
    }
}

async fn bring(
    engine: &Engine,
    (digest, limits): Order,
    bytes: Bytes,
    tenant: &str,
) -> Result<Module, Error> {
    let compiler = engine.compiler();
    let loading = engine.clone();
    if let Some(module) = blocking(move || load(&loading, digest)).await? {
        return module;
    }
    let turn = compiler.turns.take(tenant).await?;
    let code = match &compiler.by {
        By::Program(program) => program.compile(bytes, limits).await?,
        By::Threads(threads) => compile_here(threads, engine, bytes).await?.into(),
    };
    drop(turn);
    compiler.counts.compiled.fetch_add(1, Relaxed);
    let keeping = engine.clone();
    blocking(move || keep(&keeping, digest, &code)).await?
}

/// Compiles in this process, where nothing can end it: so only what is sure to end soon.
async fn compile_here(
    threads: &ThreadPool,
    engine: &Engine,
    bytes: Bytes,
) -> Result<Vec<u8>, Error> {
    let (done, code) = oneshot::channel();
    let engine = engine.clone();
    threads.spawn(move || {
        let compiled =
            bodies::check(&bytes).and_then(|()| Code::precompile(engine.wasmtime(), &bytes));
        // The waiter may be gone.
        let _ = done.send(compiled);
    });
    code.await.map_err(|_| Error::Compiler)?
}

/// The cached code of this content.
fn load(engine: &Engine, digest: Digest) -> Option<Result<Module, Error>> {
    let Compiler { cache, counts, .. } = engine.compiler();
    let code = cache.as_ref().ok()?.load(&digest)?;
    counts.loaded.fetch_add(1, Relaxed);
    Some(prepare(engine, digest, &code))
}

/// Makes a module of code that was compiled just now, and keeps it.
fn keep(engine: &Engine, digest: Digest, code: &[u8]) -> Result<Module, Error> {
    let Compiler { cache, counts, .. } = engine.compiler();
    let prepared = prepare(engine, digest, &taken(engine, code)?)?;
    if let Ok(cache) = cache
        && cache.store(&digest, code).is_err()
    {
        counts.not_cached.fetch_add(1, Relaxed);
    }
    Ok(prepared)
}

#[expect(
    unsafe_code,
    reason = "compiled code is taken as it is; there is no other way in"
)]
fn taken(engine: &Engine, code: &[u8]) -> Result<Code, Error> {
    // SAFETY: `Code::precompile` made these bytes, in this process or in the program that was found
    // to be compatible, and they came through a pipe that nobody else has.
    unsafe { Code::deserialize(engine.wasmtime(), code) }.ok_or(Error::Compiler)
}

fn prepare(engine: &Engine, digest: Digest, code: &Code) -> Result<Module, Error> {
    let compiled = Compiled::new(engine.clone(), digest, code)?;
    Ok(Module(Arc::new(compiled)))
}
