//! The one engine of the VM.

use std::path::PathBuf;
use std::sync::OnceLock;

use exosuit_core::{Code, Error};
use exosuit_engine::{Allocator, Engine, EngineOptions};
use rustler::{Env, Term};

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

/// Starts runtime and engine, unless they run. Says how instances are allocated, and where compiled
/// code is kept. It maps memory and touches files.
#[rustler::nif(schedule = "DirtyIo")]
fn engine_start(env: Env<'_>, cache_dir: Option<String>) -> Term<'_> {
    match start(cache_dir) {
        Ok(engine) => ok(env, describe(engine)),
        Err(error) => failure(env, &error),
    }
}

fn start(cache_dir: Option<String>) -> Result<&'static Engine, Error> {
    runtime::start()?;
    if ENGINE.get().is_none() {
        let options = EngineOptions {
            cache: cache_dir.map(PathBuf::from),
            ..EngineOptions::default()
        };
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
    match engine.cache_refusal() {
        Some(refusal) => format!("{allocator}; compiled code is not kept: {refusal}"),
        None => allocator,
    }
}
