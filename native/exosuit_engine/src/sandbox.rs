//! What a guest sees of its host through WASI, whatever its ABI: clocks, random numbers, a log for
//! its output, and what it was granted.

use std::path::Path;
use std::sync::Arc;

use exosuit_core::LogLevel;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::actor::Shared;
use crate::lines::Output;
use crate::{Directory, Error, WasiGrants};

/// The first argument of every guest: the name of the program, where there is no file.
const PROGRAM: &str = "main.wasm";

/// The grants with each directory by the one path that leads to it now: what a symbolic link on the
/// way is turned to later makes no difference. Reads the file system.
pub(crate) fn located(mut grants: WasiGrants) -> Result<WasiGrants, Error> {
    for directory in &mut grants.directories {
        let refused = |reason: String| refused(directory.host.display().to_string(), reason);
        let host = directory.host.canonicalize();
        let host = host.map_err(|error| refused(error.to_string()))?;
        if !host.is_dir() {
            return Err(refused("it is not a directory".to_owned()));
        }
        directory.host = host;
    }
    Ok(grants)
}

/// What one guest sees: at first what it is made of, then what WASI made of that.
pub(crate) struct Sandbox<C> {
    pub(crate) wasi: C,
    output: [Output; 2],
}

impl<C> Sandbox<C> {
    /// Passes on what the guest has written without an end: what comes is of another call.
    pub(crate) fn end_lines(&self) {
        self.output.iter().for_each(Output::end_line);
    }
}

impl Sandbox<WasiCtxBuilder> {
    pub(crate) fn build<C>(mut self, build: impl FnOnce(&mut WasiCtxBuilder) -> C) -> Sandbox<C> {
        Sandbox {
            wasi: build(&mut self.wasi),
            output: self.output,
        }
    }
}

/// All that the guest was granted. It opens directories: a few microseconds for each.
pub(crate) fn open(actor: &Arc<Shared>) -> Result<Sandbox<WasiCtxBuilder>, Error> {
    let mut sandbox = without_directories(actor);
    for Directory {
        host,
        guest,
        writable,
    } in &actor.grants.directories
    {
        let permissions = if *writable {
            FsPerms::ReadWrite
        } else {
            FsPerms::ReadOnly
        };
        // By the name that the guest knows: whoever calls it need not learn the other.
        preopen(&mut sandbox.wasi, host, guest, permissions)
            .map_err(|error| refused(guest.clone(), error.root_cause().to_string()))?;
    }
    Ok(sandbox)
}

/// The same for a guest that was granted no directory, where nothing can fail.
pub(crate) fn without_directories(actor: &Arc<Shared>) -> Sandbox<WasiCtxBuilder> {
    let output = [LogLevel::Info, LogLevel::Warning].map(|level| Output::new(actor.clone(), level));
    let mut wasi = WasiCtxBuilder::new();
    let [stdout, stderr] = output.clone();
    wasi.arg(PROGRAM)
        .args(&actor.grants.arguments)
        .envs(&actor.grants.environment)
        .stdout(stdout)
        .stderr(stderr);
    Sandbox { wasi, output }
}

fn preopen(
    wasi: &mut WasiCtxBuilder,
    host: &Path,
    guest: &str,
    permissions: FsPerms,
) -> wasmtime::Result<()> {
    wasi.preopened_dir(host, guest, permissions).map(|_wasi| ())
}

fn refused(directory: String, reason: String) -> Error {
    Error::Directory { directory, reason }
}
