//! The one engine of the VM. All hosts of a VM share it: its pool of instances, its cache of
//! compiled code, and its limits.

use std::path::PathBuf;
use std::sync::OnceLock;

use exosuit_core::{Code, Error};
use exosuit_engine::{Allocator, Engine, EngineOptions, Parts};
use rustler::{Binary, Env, NifMap, Term};

use crate::runtime;
use crate::term::{failure, ok};

/// The engine, once `engine_start` has run.
static ENGINE: OnceLock<Engine> = OnceLock::new();

/// The engine, or an error if the application has not been started.
pub(crate) fn engine() -> Result<&'static Engine, Error> {
    let absent = || {
        Error::new(
            Code::Internal,
            "the application exosuit has not been started",
        )
    };
    ENGINE.get().ok_or_else(absent)
}

/// The limits of the engine. Elixir has checked them.
#[derive(NifMap)]
#[rustler(decode)]
struct EngineLimits {
    /// How many instances may exist at the same time.
    pool_slots: u32,
    /// How many of them one actor may have.
    actor_share: u32,
    /// The largest module in bytes.
    module_bytes: usize,
    /// How many core instances, memories and tables one component may have.
    core_instances: u32,
    memories: u32,
    tables: u32,
}

impl EngineLimits {
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

/// Starts the runtime and the engine, unless they run. Returns a text for the log: how instances
/// are allocated, where compiled code is cached, and which program compiles. It maps memory and
/// touches files.
#[rustler::nif(schedule = "DirtyIo")]
fn engine_start(
    env: Env<'_>,
    cache_dir: Option<String>,
    compiler: String,
    limits: EngineLimits,
) -> Term<'_> {
    match start(limits.options(cache_dir, compiler)) {
        Ok(engine) => ok(env, describe(engine)),
        Err(error) => failure(env, &error),
    }
}

/// Lists the imports of a module that the host does not implement. It does not compile the code.
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
        // Another process may have set it in the meantime; its engine serves as well.
        let _ = ENGINE.set(Engine::new(options)?);
    }
    engine()
}

/// The text for the log.
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
