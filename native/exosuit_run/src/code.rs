//! The code of a file: compiled, or taken from the cache of an earlier run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use exosuit_engine::{Cache, Code};
use wasmtime::{Config, Engine};

use crate::say::say;

/// The compiled code of at most so many bytes is kept.
const CACHE_BYTES: u64 = 2 << 30;

/// The size from which on a compile is announced, as it takes seconds.
const LARGE: usize = 1 << 20;

/// How long a guest runs until other tasks have their turn.
const SLICE: Duration = Duration::from_millis(5);

/// An engine for all versions of WASI. A thread moves its clock, by which guests are interrupted.
pub(crate) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model_async(true)
        .wasm_component_model_map(true)
        .epoch_interruption(true);
    let engine = Engine::new(&config)?;
    let weak = engine.weak();
    std::thread::spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(SLICE);
        }
    });
    Ok(engine)
}

/// Compiles a module or component, unless its code is in the cache.
pub(crate) fn load(engine: &Engine, file: &Path) -> Result<Code, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let failed = |error: exosuit_engine::Error| format!("{}: {error}", file.display());
    let Some(cache) = cache(engine) else {
        return Code::compile(engine, &bytes).map_err(failed);
    };
    if bytes.len() > LARGE && !cache.has(&bytes) {
        let file = file.display();
        say(format_args!(
            "compiling {file}; later runs take the code from the cache"
        ));
    }
    let (code, kept) = cache.compile(&bytes).map_err(failed)?;
    if let Err(error) = kept {
        say(format_args!("the compiled code could not be kept: {error}"));
    }
    Ok(code)
}

/// The cache in the user's cache directory. Without one, each run compiles.
fn cache(engine: &Engine) -> Option<Cache> {
    let named = |variable| std::env::var_os(variable).map(PathBuf::from);
    let directory = named("XDG_CACHE_HOME").filter(|directory| directory.is_absolute());
    let directory = directory.or_else(|| Some(named("HOME")?.join(".cache")))?;
    // Whoever makes a cache in a directory that we happen to be in would choose the code that runs.
    if !directory.is_absolute() {
        return None;
    }
    match Cache::open(directory.join("exosuit/run"), engine, CACHE_BYTES) {
        Ok(cache) => Some(cache),
        Err(error) => {
            say(format_args!("{error}"));
            None
        }
    }
}
