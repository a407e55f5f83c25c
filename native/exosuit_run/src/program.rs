//! Programs: `_start` of WASI preview 1, `wasi:cli/run` of 0.2 and 0.3.

use std::sync::Arc;

use wasmtime::component::Component;
use wasmtime::{Engine, Module};
use wasmtime_wasi::{I32Exit, WasiCtxBuilder, p1, p2, p3};

use crate::grants::Grants;
use crate::link::link;
use crate::say::say;
use crate::state::{self, ModuleState, State};

/// The status of a program that trapped or failed otherwise, as a shell reports one that was aborted.
const FAILED: i32 = 134;

/// Runs a core module that exports `_start`. Returns its exit status.
pub(crate) async fn run_module(
    engine: &Engine,
    module: &Module,
    mut wasi: WasiCtxBuilder,
    max_memory: usize,
) -> wasmtime::Result<i32> {
    let mut linker = wasmtime::Linker::<ModuleState>::new(engine);
    p1::add_to_linker_async(&mut linker, |state| &mut state.wasi)?;
    let state = ModuleState::new(wasi.build_p1(), max_memory);
    let mut store = state::module_store(engine, state);
    let ended = async {
        let instance = linker.instantiate_async(&mut store, module).await?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
        start.call_async(&mut store, ()).await
    };
    Ok(status(ended.await.map(Ok)))
}

/// Runs a component that exports `wasi:cli/run`. Returns its exit status.
pub(crate) async fn run_component(
    engine: &Engine,
    component: &Component,
    mut wasi: WasiCtxBuilder,
    grants: &Arc<Grants>,
    max_memory: usize,
) -> wasmtime::Result<i32> {
    let prepared = link(engine, component)?;
    let state = State::new(wasi.build(), Arc::clone(grants), max_memory);
    let mut store = state::store(engine, state);
    if let Ok(prepared) = p3::bindings::CommandPre::new(prepared.clone()) {
        let command = match prepared.instantiate_async(&mut store).await {
            Ok(command) => command,
            Err(error) => return Ok(status(Err(error))),
        };
        let ended = store
            .run_concurrent(async |accessor| command.wasi_cli_run().call_run(accessor).await)
            .await;
        return Ok(status(ended.flatten()));
    }
    let prepared = p2::bindings::CommandPre::new(prepared)?;
    let ended = async {
        let command = prepared.instantiate_async(&mut store).await?;
        command.wasi_cli_run().call_run(&mut store).await
    };
    Ok(status(ended.await))
}

/// The exit status of a program that has begun. Reports an error on stderr.
fn status(ended: wasmtime::Result<Result<(), ()>>) -> i32 {
    let error = match ended {
        Ok(Ok(())) => return 0,
        Ok(Err(())) => return 1,
        Err(error) => error,
    };
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return *status;
    }
    say(format_args!("the program failed: {error:?}"));
    FAILED
}
