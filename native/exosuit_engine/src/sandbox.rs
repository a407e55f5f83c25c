//! The parts of the host that guests of every ABI see through WASI: clocks, random numbers, a log for their output,
//! and the grants of the actor.
//!
//! Everything else is denied: no environment, no files, no sockets. `wasmtime_wasi` enforces this. This module
//! builds its context from the grants.
//!
//! | the guest asks for | it gets |
//! |---|---|
//! | its arguments | `main.wasm`, and those that were granted |
//! | its environment | the variables that were granted |
//! | standard input | nothing; a program gets the payload of its call |
//! | standard output and error | lines of the log, at the levels info and warning |
//! | clocks, random numbers | those of the machine, or of a test |
//! | files | the granted directories |
//! | sockets, addresses | nothing: the context allows none |
//!
//! # Directories
//!
//! They are looked at twice. When the actor is made, [`located`] resolves each to a path without symbolic links, so
//! that changing a link later does not change the permission. For each fresh instance, [`open`] opens that path: an
//! instance holds file descriptors, and a file system may be mounted anew in between.
//!
//! A file system may hang, and nothing can interrupt a thread in it. So both steps run on threads of their own, whose
//! number is bounded, for the process ([`located`]) and for each actor ([`open`]): a hanging mount costs the calls of
//! one actor, and a few threads.
//!
//! | step | thread | at most | a hanging file system costs |
//! |---|---|---|---|
//! | [`located`] | `exosuit-locate` | 16 in the process | ten seconds of the caller, and the thread |
//! | [`open`] | a blocking thread of Tokio | 4 for each actor | the call, up to its deadline, and the thread |

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use exosuit_core::LogLevel;
use tokio::task::{spawn_blocking, yield_now};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::actor_shared::ActorShared;
use crate::configuration::setup;
use crate::lines::Output;
use crate::simulation::SeededRandom;
use crate::{Directory, Error, WasiGrants};

/// How many instances of an actor may open their directories at once. Each takes a thread, and keeps it
/// as long as the file system does not answer.
pub(crate) const MAX_OPENING: usize = 4;

/// The first argument of every guest: the name of the program, where there is no file.
const PROGRAM: &str = "main.wasm";

/// How long a file system has to say where the directories of an actor are.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How many threads may wait for file systems that do not say it. Of the process, as threads are.
static WAITING: AtomicUsize = AtomicUsize::new(0);
const MAX_WAITING: usize = 16;

/// Resolves the directories of the grants to paths without symbolic links, so that a link that is changed later leads
/// nowhere else. Asks the file system on a thread of its own, and waits at most ten seconds: a network file system may
/// never answer.
///
/// Blocks the calling thread: `exosuit_nif` calls it on a dirty scheduler or a blocking thread. The error names the
/// first directory if it is not known which one hangs.
pub(crate) fn located(grants: WasiGrants) -> Result<WasiGrants, Error> {
    let Some(first) = grants.directories.first() else {
        return Ok(grants);
    };
    let directory = first.host.display().to_string();
    let hangs = |reason: &str| refused(directory.clone(), reason.to_owned());
    if WAITING.fetch_add(1, SeqCst) >= MAX_WAITING {
        WAITING.fetch_sub(1, SeqCst);
        return Err(hangs("file systems of other directories do not answer"));
    }
    let (done, located) = mpsc::channel();
    let locating = thread::Builder::new().name("exosuit-locate".to_owned());
    let locating = locating.spawn(move || {
        // Nobody may be waiting any more.
        let _ = done.send(locate(grants));
        WAITING.fetch_sub(1, SeqCst);
    });
    locating.map_err(setup)?;
    located
        .recv_timeout(ANSWER_TIMEOUT)
        .unwrap_or_else(|_| Err(hangs("its file system does not answer")))
}

/// Resolves the directories; may block. The error names the path as the operator wrote it.
fn locate(mut grants: WasiGrants) -> Result<WasiGrants, Error> {
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

/// The sandbox of one guest: first the builder of its WASI context, then the context. `C` is `WasiCtxBuilder`, then
/// the context of preview 1 or of WASI 0.2.
pub(crate) struct Sandbox<C> {
    /// The builder, or the context.
    pub(crate) wasi: C,
    /// stdout and stderr, to end their last lines with a call.
    output: [Output; 2],
    /// The random numbers of a test.
    pub(crate) random: Option<SeededRandom>,
}

impl<C> Sandbox<C> {
    /// Passes an unfinished line of output on to the log: what follows belongs to another call.
    pub(crate) fn end_lines(&self) {
        self.output.iter().for_each(Output::end_line);
    }
}

impl Sandbox<WasiCtxBuilder> {
    /// Makes the context: `build` chooses between that of preview 1 and that of WASI 0.2.
    pub(crate) fn build<C>(mut self, build: impl FnOnce(&mut WasiCtxBuilder) -> C) -> Sandbox<C> {
        Sandbox {
            wasi: build(&mut self.wasi),
            output: self.output,
            random: self.random,
        }
    }
}

/// Makes a sandbox with everything that the actor was granted. Directories are opened on a thread that may block, so
/// that a file system that does not answer delays this call alone.
///
/// The permit goes with the thread and not with the call: a call that is dropped at its deadline leaves the thread in
/// the file system, and the thread must count until it is free.
pub(crate) async fn open(actor: &Arc<ActorShared>) -> Result<Sandbox<WasiCtxBuilder>, Error> {
    if actor.grants.directories.is_empty() {
        return Ok(without_directories(actor));
    }
    let permit = Arc::clone(&actor.opening).acquire_owned().await;
    let actor = Arc::clone(actor);
    let opening = spawn_blocking(move || {
        let opened = with_directories(&actor);
        drop(permit);
        opened
    });
    // The inline poll on a scheduler of the BEAM ends here: it must not depend on the file system.
    yield_now().await;
    opening.await.map_err(setup)?
}

/// Opens the directories; may block.
fn with_directories(actor: &Arc<ActorShared>) -> Result<Sandbox<WasiCtxBuilder>, Error> {
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
        // The error names the path that the guest knows: its callers should not learn paths of the host.
        preopen(&mut sandbox.wasi, host, guest, permissions)
            .map_err(|error| refused(guest.clone(), error.root_cause().to_string()))?;
    }
    Ok(sandbox)
}

/// Makes a sandbox without directories. This cannot fail.
pub(crate) fn without_directories(actor: &Arc<ActorShared>) -> Sandbox<WasiCtxBuilder> {
    let output = [LogLevel::Info, LogLevel::Warning].map(|level| Output::new(actor.clone(), level));
    let mut wasi = WasiCtxBuilder::new();
    let [stdout, stderr] = output.clone();
    wasi.arg(PROGRAM)
        .args(&actor.grants.arguments)
        .envs(&actor.grants.environment)
        .stdout(stdout)
        .stderr(stderr);
    actor.simulated.apply(&mut wasi);
    Sandbox {
        wasi,
        output,
        random: actor.simulated.random.clone(),
    }
}

/// Opens one directory. A guest cannot leave it, neither by `..` nor by a symbolic link in it.
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
