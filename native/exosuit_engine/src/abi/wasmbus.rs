//! The wasmbus ABI: operation and payload in, response or error out, over nine imports.
//!
//! A call is a fresh instance, its `_initialize` and `_start` where there are any, and then
//! `__guest_call`. [`imports`] is what the guest sees of its host, [`memory`] how the two exchange
//! bytes, [`state`] what a call knows.

mod imports;
mod memory;
mod state;

use std::sync::Arc;

use bytes::Bytes;
use exosuit_core::Invocation;
use wasmtime::{
    ExternType, FuncType, Instance, InstancePre, ModuleExport, Store, ValType, WasmParams,
    WasmResults,
};
use wasmtime_wasi::I32Exit;

use self::state::State;
use crate::Error;
use crate::actor::Shared;
use crate::explain::explain;

pub(super) use self::imports::linker;

pub(super) type Linker = wasmtime::Linker<State>;

pub(super) const GUEST_CALL: &str = "__guest_call";
const MEMORY: &str = "memory";
const WASI: &str = "wasi_snapshot_preview1";

/// Run before the first call, in this order: what a reactor and what a command exports.
const BEFORE_THE_CALL: [&str; 2] = ["_initialize", "_start"];

/// A module that has what the ABI asks for, and is linked.
pub(crate) struct Prepared {
    instance: InstancePre<State>,
    memory: ModuleExport,
    guest_call: ModuleExport,
    before: Vec<ModuleExport>,
}

impl Prepared {
    pub(super) fn new(linker: &Linker, module: &wasmtime::Module) -> Result<Self, Error> {
        check_memory(module)?;
        let engine = module.engine();
        let answering = FuncType::new(engine, [ValType::I32, ValType::I32], [ValType::I32]);
        let plain = FuncType::new(engine, [], []);
        let before = BEFORE_THE_CALL.map(|name| function(module, name, &plain));
        let before = before.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            instance: linker
                .instantiate_pre(module)
                .map_err(|error| unlinked(&error))?,
            memory: index(module, MEMORY)?,
            guest_call: function(module, GUEST_CALL, &answering)?
                .ok_or_else(|| missing("function", GUEST_CALL))?,
            before: before.into_iter().flatten().collect(),
        })
    }

    pub(super) async fn call(&self, actor: &Arc<Shared>, call: Invocation) -> Result<Bytes, Error> {
        let lengths = (
            addressable("the operation", call.operation.len())?,
            addressable(
                "the payload",
                call.payload.bytes().map_err(Error::Host)?.len(),
            )?,
        );
        let state = State::new(actor, call, self.memory)?;
        let mut store = state.into_store(self.instance.module().engine());
        match self.run(&mut store, lengths).await {
            Ok(code) => store.data_mut().conclude(code),
            Err(error) => Err(explain(&error, &store.data().limiter)),
        }
    }

    async fn run(&self, store: &mut Store<State>, lengths: (u32, u32)) -> wasmtime::Result<u32> {
        let instance = self.instance.instantiate_async(&mut *store).await?;
        for export in &self.before {
            let ended = invoke::<(), ()>(store, instance, export, ()).await;
            ended.or_else(exited_well)?;
        }
        invoke(store, instance, &self.guest_call, lengths).await
    }
}

async fn invoke<P: WasmParams + Sync, R: WasmResults + Sync>(
    store: &mut Store<State>,
    instance: Instance,
    export: &ModuleExport,
    parameters: P,
) -> wasmtime::Result<R> {
    let function = instance
        .get_module_export(&mut *store, export)
        .and_then(wasmtime::Extern::into_func)
        .ok_or_else(|| wasmtime::format_err!("an export that was there is gone"))?;
    let function = function.typed::<P, R>(&*store)?;
    function.call_async(store, parameters).await
}

/// A `_start` that ends by `exit(0)` has done its work.
fn exited_well(error: wasmtime::Error) -> wasmtime::Result<()> {
    match error.downcast_ref() {
        Some(I32Exit(0)) => Ok(()),
        _ => Err(error),
    }
}

fn addressable(what: &'static str, size: usize) -> Result<u32, Error> {
    u32::try_from(size).map_err(|_| Error::Unaddressable { what, size })
}

fn check_memory(module: &wasmtime::Module) -> Result<(), Error> {
    match module.get_export(MEMORY) {
        Some(ExternType::Memory(memory)) if !memory.is_64() && !memory.is_shared() => Ok(()),
        Some(_) => Err(Error::Module(format!(
            "the export {MEMORY:?} must be a memory of 32 bits that is not shared"
        ))),
        None => Err(missing("memory", MEMORY)),
    }
}

/// The function exported under that name, if there is one. It must be of that type.
fn function(
    module: &wasmtime::Module,
    name: &str,
    expected: &FuncType,
) -> Result<Option<ModuleExport>, Error> {
    match module.get_export(name) {
        None => Ok(None),
        Some(ExternType::Func(found)) if FuncType::eq(&found, expected) => {
            index(module, name).map(Some)
        }
        Some(_) => Err(Error::Module(format!(
            "the export {name:?} must be {expected}"
        ))),
    }
}

fn index(module: &wasmtime::Module, name: &str) -> Result<ModuleExport, Error> {
    module
        .get_export_index(name)
        .ok_or_else(|| missing("item", name))
}

fn missing(kind: &str, name: &str) -> Error {
    Error::Module(format!(
        "the module exports no {kind} {name:?}: expected a module of the wasmbus ABI"
    ))
}

fn unlinked(error: &wasmtime::Error) -> Error {
    Error::Module(format!(
        "{error:#}: a wasmbus module may import the nine functions of wasmbus and those of {WASI}"
    ))
}
