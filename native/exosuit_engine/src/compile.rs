//! Compiling: on threads of its own, once per content.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{oneshot, watch};

use crate::cache::Cache;
use crate::code::Code;
use crate::configuration::setup;
use crate::module::{Compiled, Digest};
use crate::{Engine, EngineOptions, Error, Module, Stats, abi};

/// The threads that compile, what they have compiled, and what they are at.
pub(crate) struct Compiler {
    /// wasmtime compiles the functions of a module in parallel: on these threads, since it is
    /// called from one of them, and on no other.
    threads: ThreadPool,
    cache: Result<Cache, Option<String>>,
    module_bytes: usize,
    flights: Mutex<HashMap<Digest, Flight>>,
    counts: Counts,
}

/// A content that is known. One whose module is gone makes room at the next compilation.
enum Flight {
    Landed(Weak<Compiled>),
    Flying(watch::Receiver<Outcome>),
}

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
        let threads = ThreadPoolBuilder::new()
            .num_threads(options.compile_threads.max(1))
            .thread_name(|n| format!("exosuit-compile-{n}"))
            // Those who wait see their channel closed; without a handler the process would abort.
            .panic_handler(|_| {})
            .build()
            .map_err(setup)?;
        let cache = match options.cache {
            Some(directory) => Cache::open(directory, engine, options.cache_bytes).map_err(Some),
            None => Err(None),
        };
        Ok(Self {
            threads,
            cache,
            module_bytes: options.module_bytes,
            flights: Mutex::default(),
            counts: Counts::default(),
        })
    }

    pub(crate) fn cache_refusal(&self) -> Option<&str> {
        self.cache.as_ref().err()?.as_deref()
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

pub(crate) async fn compile(engine: Engine, bytes: Bytes) -> Result<Module, Error> {
    engine.compiler().check(&bytes)?;
    let digest = digest(engine.compiler(), bytes.clone()).await?;
    let mut landing = match board(&engine, digest, bytes) {
        Ok(module) => return Ok(module),
        Err(landing) => landing,
    };
    let outcome = landing.wait_for(Outcome::is_some).await;
    let outcome = outcome.map_err(|_| Error::Compiler)?.clone();
    outcome.unwrap_or(Err(Error::Compiler))
}

/// Hashing 50 MiB takes a tenth of a second: not on the caller's thread either.
async fn digest(compiler: &Compiler, bytes: Bytes) -> Result<Digest, Error> {
    let (done, digest) = oneshot::channel();
    compiler.threads.spawn(move || {
        // A caller that has gone needs no digest.
        let _ = done.send(Digest::of(&bytes));
    });
    digest.await.map_err(|_| Error::Compiler)
}

/// The module, if it is there, or else the flight that brings it, started if there was none.
fn board(
    engine: &Engine,
    digest: Digest,
    bytes: Bytes,
) -> Result<Module, watch::Receiver<Outcome>> {
    let compiler = engine.compiler();
    let mut flights = compiler.flights.lock();
    let shared = match flights.get(&digest) {
        Some(Flight::Landed(module)) => module.upgrade().map(|module| Ok(Module(module))),
        Some(Flight::Flying(landing)) => Some(Err(landing.clone())),
        None => None,
    };
    if let Some(shared) = shared {
        compiler.counts.shared.fetch_add(1, Relaxed);
        return shared;
    }
    flights.retain(|_, flight| match flight {
        Flight::Landed(module) => module.strong_count() > 0,
        Flight::Flying(_) => true,
    });
    let (land, landing) = watch::channel(None);
    flights.insert(digest, Flight::Flying(landing.clone()));
    let pilot = Pilot {
        engine: engine.clone(),
        digest,
        land,
    };
    compiler.threads.spawn(move || pilot.fly(&bytes));
    Err(landing)
}

/// Brings one module, and clears its place in the table whatever happens.
struct Pilot {
    engine: Engine,
    digest: Digest,
    land: watch::Sender<Outcome>,
}

impl Pilot {
    fn fly(self, bytes: &[u8]) {
        let outcome = build(&self.engine, self.digest, bytes);
        if let Ok(module) = &outcome {
            let landed = Flight::Landed(Arc::downgrade(&module.0));
            let mut flights = self.engine.compiler().flights.lock();
            flights.insert(self.digest, landed);
        }
        self.land.send_replace(Some(outcome));
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        let mut flights = self.engine.compiler().flights.lock();
        if let Some(Flight::Flying(_)) = flights.get(&self.digest) {
            flights.remove(&self.digest);
        }
    }
}

fn build(engine: &Engine, digest: Digest, bytes: &[u8]) -> Result<Module, Error> {
    let Compiler { cache, counts, .. } = engine.compiler();
    let cached = cache.as_ref().ok().and_then(|cache| cache.load(&digest));
    if let Some(code) = cached {
        counts.loaded.fetch_add(1, Relaxed);
        return prepare(engine, digest, &code);
    }
    let code = Code::compile(engine.wasmtime(), bytes)?;
    counts.compiled.fetch_add(1, Relaxed);
    let prepared = prepare(engine, digest, &code)?;
    if let Ok(cache) = cache
        && cache.store(&digest, &code).is_err()
    {
        counts.not_cached.fetch_add(1, Relaxed);
    }
    Ok(prepared)
}

fn prepare(engine: &Engine, digest: Digest, code: &Code) -> Result<Module, Error> {
    let compiled = Compiled::new(engine.clone(), digest, code)?;
    Ok(Module(Arc::new(compiled)))
}
