//! The one engine of the VM. All hosts of a VM share it: its pool of instances, its cache of
//! compiled code, and its limits.
//!
//! `Exosuit.Application` starts it before any host. It is never stopped: threads of a library cannot
//! be joined while the VM may still call it, and compiled code must stay mapped as long as an instance
//! may run it. If the application is stopped and started again within a VM, it finds the engine
//! running, with the limits of the first start.

use std::path::PathBuf;
use std::sync::OnceLock;

use exosuit_core::{Code, Error};
use exosuit_engine::{Allocator, Engine, EngineOptions, Parts};
use rustler::{Binary, Env, NifMap, Term};

use crate::runtime;
use crate::term::{failure, ok};

/// The engine, once `engine_start` has run.
static ENGINE: OnceLock<Engine> = OnceLock::new();

/// The engine, or the error `internal` if the application has not been started. Costs one atomic
/// read, so every NIF asks anew.
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
    /// How many instances may exist at the same time, over all hosts of the VM. 0 for no pool.
    pool_slots: u32,
    /// How many percent of them one actor may have, so that no actor takes the pool from all others.
    actor_share: u32,
    /// The largest module in bytes, before it is compiled.
    module_bytes: usize,
    /// How many core instances, memories and tables one component may have. Each memory and table
    /// takes a slot of its own, so a component of many parts uses up the pool sooner.
    core_instances: u32,
    memories: u32,
    tables: u32,
}

impl EngineLimits {
    /// The options for the engine. `compiler` is the path of `exosuit-compile`; if there is no such
    /// file, the engine compiles in this process. Threads and concurrent compiles follow the machine.
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
///
/// A missing pool, cache or compiler is not an error, and the text says what is missing and why: a
/// container may forbid so much address space, or a directory may not be writable. Such an engine
/// works, and is slower or bounds less. Only an engine that cannot run at all is an error (`internal`).
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

/// Lists the imports of a module that the host does not implement, each with the reason. It does not
/// compile the code: it keeps types and imports alone, and links these. Bytes that are not valid have
/// an empty list; compiling them reports what is wrong.
#[rustler::nif(schedule = "DirtyCpu")]
fn engine_unanswered<'a>(env: Env<'a>, bytes: Binary<'a>) -> Term<'a> {
    match engine() {
        Ok(engine) => ok(env, engine.unanswered(&bytes)),
        Err(error) => failure(env, &error),
    }
}

/// Starts the runtime and the engine, unless they run. Two processes may do this at the same time.
fn start(options: EngineOptions) -> Result<&'static Engine, Error> {
    runtime::start()?;
    if ENGINE.get().is_none() {
        // Another process may have set it in the meantime; its engine serves as well.
        let _ = ENGINE.set(Engine::new(options)?);
    }
    engine()
}

/// The text for the log. Anything beyond "instances come from a pool" deserves a look by the operator.
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
