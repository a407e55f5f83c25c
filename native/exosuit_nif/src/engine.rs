//! The one engine of the VM.

use std::path::PathBuf;
use std::sync::OnceLock;

use exosuit_core::{Code, Error};
use exosuit_engine::{Allocator, Engine, EngineOptions, Parts};
use rustler::{Binary, Env, NifMap, Term};

use crate::runtime;
use crate::term::{failure, ok};

static ENGINE: OnceLock<Engine> = OnceLock::new();

/// The engine.
pub(crate) fn engine() -> Result<&'static Engine, Error> {
    let absent = || {
        Error::new(
            Code::Internal,
            "the application exosuit has not been started",
        )
    };
    ENGINE.get().ok_or_else(absent)
}

/// The limits of the engine, which Elixir has checked.
#[derive(NifMap)]
#[rustler(decode)]
struct Limits {
    pool_slots: u32,
    actor_share: u32,
    module_bytes: usize,
    core_instances: u32,
    memories: u32,
    tables: u32,
}

impl Limits {
    fn options(self, cache_dir: Option<String>, compiler: String) -> EngineOptions {
        EngineOptions {
            cache: cache_dir.map(PathBuf::from),
            compiler: Some(PathBuf::from(compiler)),
            pool_slots: self.pool_slots,
            actor_share: self.actor_share,
            module_bytes: self.module_bytes,
            parts: Parts {
                core_instances: self.core_instances,
                memories: self.memories,
                tables: self.tables,
            },
            ..EngineOptions::default()
        }
    }
}

/// Starts runtime and engine, unless they run. Says how instances are allocated, where compiled code
/// is kept, and what compiles it. It maps memory and touches files.
#[rustler::nif(schedule = "DirtyIo")]
fn engine_start(
    env: Env<'_>,
    cache_dir: Option<String>,
    compiler: String,
    limits: Limits,
) -> Term<'_> {
    match start(limits.options(cache_dir, compiler)) {
        Ok(engine) => ok(env, describe(engine)),
        Err(error) => failure(env, &error),
    }
}

/// Lists the imports of a module that nothing here can answer, without a compilation of its code.
#[rustler::nif(schedule = "DirtyCpu")]
fn engine_unanswered<'a>(env: Env<'a>, bytes: Binary<'a>) -> Term<'a> {
    match engine() {
        Ok(engine) => ok(env, engine.unanswered(&bytes)),
        Err(error) => failure(env, &error),
    }
}

fn start(options: EngineOptions) -> Result<&'static Engine, Error> {
    runtime::start()?;
    if ENGINE.get().is_none() {
        // Another VM process may have been first; its engine serves as well.
        let _ = ENGINE.set(Engine::new(options)?);
    }
    engine()
}

fn describe(engine: &Engine) -> String {
    let allocator = match engine.allocator() {
        Allocator::Pooling => "instances come from a pool".to_owned(),
        Allocator::OnDemand { reason } => format!("instances are allocated on demand: {reason}"),
    };
    let refusal = engine.cache_refusal();
    let cache = refusal.map(|refusal| format!("compiled code is not kept: {refusal}"));
    let compiler = (!engine.compiles_apart()).then(|| {
        "exosuit-compile is not beside the library: the time and memory of compiles are not limited"
            .to_owned()
    });
    let parts: Vec<_> = [Some(allocator), cache, compiler]
        .into_iter()
        .flatten()
        .collect();
    parts.join("; ")
}
