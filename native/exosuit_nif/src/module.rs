//! Compiled code, and compiles that processes wait for.
//!
//! `Exosuit.Wasm` calls these NIFs. A compile takes between milliseconds and minutes, in a process of
//! its own (see `program` in `exosuit_engine`), and is bounded in time and memory. Nothing here waits
//! for it: the process in Elixir waits in a `receive`, and a task of Tokio answers it.
//!
//! A process that is killed while it waits leaves nothing behind. Its [`Compiling`] aborts the task;
//! the engine ends the compile if no other process waits for the same content.
//!
//! | the wait ends with | the process gets |
//! |---|---|
//! | the code | `{:ok, module}` |
//! | a module that is not valid, or beyond the limits of a compile | `invalid_module` |
//! | a full queue of compiles | `overloaded` |
//! | a compiler that died | `internal` |
//! | `module_cancel`, or a handle that was collected | `dropped` |
//! | the process itself | – |

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use exosuit_engine::{CompileLimits, Module};
use rustler::types::atom;
use rustler::{Atom, Binary, Encoder, Env, LocalPid, Monitor, Resource, ResourceArc, Term};
use tokio::task::AbortHandle;

use crate::engine::engine;
use crate::names;
use crate::reply::{Reply, To};
use crate::runtime::{Reaped, runtime};
use crate::term::{failure, ok};

/// Compiled code, for as long as Elixir or a running instance holds it. Dropping the last one
/// unmaps it, on Tokio: garbage collection runs on schedulers, and unmapping may take milliseconds.
pub(crate) struct CompiledModule(Reaped<Module>);

#[rustler::resource_impl]
impl Resource for CompiledModule {}

impl CompiledModule {
    /// The code, for the engine. A clone of it is cheap.
    pub(crate) fn module(&self) -> &Module {
        &self.0
    }
}

/// A process that waits for a compile. Several processes may wait for the same one; the engine
/// stops it when none does.
///
/// It gives up in three cases: `module_cancel`, the end of the process, and garbage collection of the
/// handle. So the process must hold the handle in a variable until the answer is there.
#[derive(Default)]
pub(crate) struct Compiling(OnceLock<AbortHandle>);

#[rustler::resource_impl]
impl Resource for Compiling {
    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.abort();
    }
}

impl Compiling {
    /// Ends the task that waits. Its reply then answers `dropped`, unless it has answered before.
    fn abort(&self) {
        if let Some(task) = self.0.get() {
            task.abort();
        }
    }
}

impl Drop for Compiling {
    fn drop(&mut self) {
        self.abort();
    }
}

/// Compiles a module for a tenant within limits (milliseconds, bytes), or takes it from the cache.
///
/// Returns `{:ok, compiling}`, and promises an answer with the compiled module. The calling process
/// must hold `compiling` while it waits. Copying the bytes may take long, so it runs on a dirty
/// scheduler.
///
/// A tenant is the issuer of the code. Compiles of tenants take turns, so one that starts a hundred
/// actors delays another by one compile. `time` counts from the turn, not from this call.
///
/// Errors of the answer: `invalid_module` (not Wasm, too large, or beyond the limits of a compile),
/// `overloaded` (too many compiles wait), `internal` (the compiler died).
#[rustler::nif(schedule = "DirtyCpu")]
fn module_compile<'a>(
    env: Env<'a>,
    bytes: Binary<'a>,
    tenant: String,
    (time, memory_bytes): (u64, u64),
    (pid, reference): To<'a>,
) -> Term<'a> {
    let engine = match engine() {
        Ok(engine) => engine,
        Err(error) => return failure(env, &error),
    };
    let limits = CompileLimits {
        time: Duration::from_millis(time),
        memory_bytes,
    };
    let bytes = Bytes::copy_from_slice(&bytes);
    let module = engine.compile_for(tenant, bytes, limits);
    let compiling = ResourceArc::new(Compiling::default());
    let reply = Reply::new(pid, reference.in_env(env));
    let task = runtime().spawn(async move {
        let module = module.await.map_err(exosuit_core::Error::from);
        reply.send(module.map(|module| ResourceArc::new(CompiledModule(Reaped::new(module)))));
    });
    // No other thread has it yet, so the cell is empty.
    let _ = compiling.0.set(task.abort_handle());
    if compiling.monitor(Some(env), &env.pid()).is_none() {
        compiling.abort();
    }
    ok(env, compiling)
}

/// Stops waiting for a compile. Has no effect if it has finished. Elixir calls it after the answer,
/// too, which keeps the handle alive until then.
#[rustler::nif]
fn module_cancel(compiling: ResourceArc<Compiling>) -> Atom {
    compiling.abort();
    atom::ok()
}

/// Lists the imports of compiled code that the host does not implement, each with the reason. This
/// list is exact for components, where [`engine_unanswered`](crate::engine) may not see all imports.
#[rustler::nif]
fn module_unanswered(module: ResourceArc<CompiledModule>) -> Vec<String> {
    module.module().unanswered().to_vec()
}

/// Makes atoms of the names in the types of compiled code: fields, cases and flags. Returns an
/// error if the VM has made as many as it may (see `names`), and then the actor does not start.
///
/// It runs once for each compile, on a dirty scheduler: a component may have thousands of names.
#[rustler::nif(schedule = "DirtyCpu")]
fn module_names(env: Env<'_>, module: ResourceArc<CompiledModule>) -> Term<'_> {
    match names::make(env, &module.module().names()) {
        Ok(()) => atom::ok().encode(env),
        Err(error) => failure(env, &error),
    }
}
