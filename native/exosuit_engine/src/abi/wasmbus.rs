//! The wasmbus ABI: an operation and a payload go in, a response or an error comes out, over nine imports.
//!
//! An instance starts with its exports `_initialize`, `_start`, `start` and `wapc_init`, as far as it has them.
//! Each call is then one call of `__guest_call`, during which the guest fetches its input and leaves its answer
//! by imports. These imports have two names, `wasmbus` and `wapc`: the ABI is that of waPC.
//!
//! The result of a call depends on the guest:
//!
//! | the guest | the caller gets |
//! |---|---|
//! | returns 1 | its last response, or an empty one |
//! | sets an error by `__guest_error` | that text, whatever it returns |
//! | leaves the error of a host call unread | that error with its code, so that a refusal reaches the caller as it is |
//! | returns anything else | an error that names the code |
//! | traps, exits, or reaches a limit or the deadline | that error; the instance is dropped |
//!
//! - [`imports`]: the functions that the guest can call.
//! - [`memory`]: copies between the guest's memory and the host, with every range checked.
//! - [`state`]: the data of the store.
//! - [`guest`]: an instance and its calls.

mod guest;
mod imports;
mod memory;
mod state;

use std::sync::{Arc, Weak};

use bytes::Bytes;
use exosuit_core::{Context, Invocation, Origin, Target};
use wasmtime::{
    ExternType, FuncType, Instance, InstancePre, ModuleExport, Store, TypedFunc, ValType,
    WasmParams, WasmResults,
};
use wasmtime_wasi::I32Exit;

use self::guest::Answering;
use self::state::{Call, WasmbusState};
use super::guest::{Guest, Pool, PoolSlot};
use super::store::bounded;
use super::{preview1, stubs};
use crate::Error;
use crate::actor_shared::ActorShared;

pub(crate) use self::guest::WasmbusGuest;
pub(super) use self::imports::{WasmbusLinker, linker};

/// The export that serves a call. A module that has it is an actor.
pub(super) const GUEST_CALL: &str = "__guest_call";
/// The export through which both sides exchange bytes.
const MEMORY: &str = "memory";

/// Run before the first call, in this order: what a reactor and what a command of WASI exports.
const BEFORE_THE_CALL: [&str; 2] = ["_initialize", "_start"];

/// Run after these: what guests of waPC and of `AssemblyScript` export. An export of such a name and
/// another type is something else.
const AFTER_THE_START: [&str; 2] = ["start", "wapc_init"];

/// A linked module that has the exports of the ABI.
pub(crate) struct PreparedModule {
    instance: InstancePre<WasmbusState>,
    // Indices of exports, looked up once: by name, each instance would compare texts.
    memory: ModuleExport,
    guest_call: ModuleExport,
    /// The start functions that the module has, in their order.
    before: Vec<ModuleExport>,
    unanswered: Vec<String>,
}

impl PreparedModule {
    /// Checks the exports and links the imports. An error says what a wasmbus module needs.
    pub(super) fn new(linker: &WasmbusLinker, module: &wasmtime::Module) -> Result<Self, Error> {
        check_memory(module)?;
        let engine = module.engine();
        let answering = FuncType::new(engine, [ValType::I32, ValType::I32], [ValType::I32]);
        let plain = FuncType::new(engine, [], []);
        let before = BEFORE_THE_CALL.map(|name| function(module, name, &plain));
        let before = before.into_iter().collect::<Result<Vec<_>, _>>()?;
        let after = AFTER_THE_START.map(|name| function(module, name, &plain).unwrap_or_default());
        let guest_call = function(module, GUEST_CALL, &answering)?
            .ok_or_else(|| missing("function", GUEST_CALL))?;
        let (instance, unanswered) =
            stubs::linked(linker, module).map_err(|error| unlinked(&error))?;
        Ok(Self {
            instance,
            memory: index(module, MEMORY)?,
            guest_call,
            before: before.into_iter().chain(after).flatten().collect(),
            unanswered,
        })
    }

    /// The names of the imports that became stubs.
    pub(super) fn unanswered(&self) -> &[String] {
        &self.unanswered
    }

    /// Serves a call. The instance goes back to the pool if the guest returned, also with an error of its own.
    ///
    /// If the guest did not return, it is dropped here together with its slot.
    pub(super) async fn call(
        &self,
        actor: &Arc<ActorShared>,
        pool: &Weak<Pool>,
        invocation: Invocation,
    ) -> Result<Bytes, Error> {
        let call = Call::new(invocation)?;
        let lengths = call.lengths()?;
        let permit = actor.share.acquire(call.context.deadline).await?;
        let (slot, rested) = PoolSlot::acquire(pool, permit);
        let mut guest = match rested {
            Some(Guest::Wasmbus(rested)) => rested.with(call).await,
            _ => self.guest(actor, call).await?,
        };
        let answer = guest.call(lengths).await?;
        slot.leave(Guest::Wasmbus(guest));
        answer
    }

    /// Makes an instance and runs its start functions, as a call would, and drops it. Its call is an empty one, since
    /// start functions may read it.
    pub(super) async fn instantiate(
        &self,
        actor: &Arc<ActorShared>,
        context: Context,
    ) -> Result<(), Error> {
        let call = Call::new(Invocation {
            origin: Origin::Host,
            target: Target::Actor(actor.id.to_string()),
            operation: String::new(),
            payload: Bytes::new().into(),
            context,
        })?;
        self.guest(actor, call).await.map(drop)
    }

    /// Makes a fresh instance, and runs its start functions within the deadline of the call.
    async fn guest(&self, actor: &Arc<ActorShared>, call: Call) -> Result<WasmbusGuest, Error> {
        let state = WasmbusState::new(actor, call, self.memory).await?;
        let mut store = bounded(&actor.engine, state);
        match self.start(&mut store).await {
            Ok(guest_call) => Ok(WasmbusGuest { store, guest_call }),
            Err(error) => Err(store.data().explain(&error)),
        }
    }

    /// Instantiates the module and runs its start functions. wasmtime has run the start section before them.
    async fn start(&self, store: &mut Store<WasmbusState>) -> wasmtime::Result<Answering> {
        let instance = self.instance.instantiate_async(&mut *store).await?;
        for export in &self.before {
            let function = exported::<(), ()>(store, instance, export)?;
            let ended = function.call_async(&mut *store, ()).await;
            ended.or_else(exited_well)?;
        }
        exported(store, instance, &self.guest_call)
    }
}

/// An exported function whose type was checked when the module was linked.
fn exported<P: WasmParams, R: WasmResults>(
    store: &mut Store<WasmbusState>,
    instance: Instance,
    export: &ModuleExport,
) -> wasmtime::Result<TypedFunc<P, R>> {
    let function = instance
        .get_module_export(&mut *store, export)
        .and_then(wasmtime::Extern::into_func)
        .ok_or_else(|| wasmtime::format_err!("an export that was there is gone"))?;
    function.typed::<P, R>(&*store)
}

/// Takes `exit(0)` in a start function for success: commands end that way.
fn exited_well(error: wasmtime::Error) -> wasmtime::Result<()> {
    match error.downcast_ref() {
        Some(I32Exit(0)) => Ok(()),
        _ => Err(error),
    }
}

/// The imports take pointers of 32 bits, and copy without synchronization.
fn check_memory(module: &wasmtime::Module) -> Result<(), Error> {
    match module.get_export(MEMORY) {
        Some(ExternType::Memory(memory)) if !memory.is_64() && !memory.is_shared() => Ok(()),
        Some(_) => Err(Error::Module(format!(
            "the export {MEMORY:?} must be a memory of 32 bits that is not shared"
        ))),
        None => Err(missing("memory", MEMORY)),
    }
}

/// The exported function of this name, if there is one. An error if it has another type.
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

/// The index of an export, by which instances find it without comparing names.
fn index(module: &wasmtime::Module, name: &str) -> Result<ModuleExport, Error> {
    module
        .get_export_index(name)
        .ok_or_else(|| missing("item", name))
}

/// The error for a module without an export that the ABI needs.
fn missing(kind: &str, name: &str) -> Error {
    Error::Module(format!(
        "the module exports no {kind} {name:?}: expected a module of the wasmbus ABI"
    ))
}

/// The error for imports that cannot be linked: other than functions, or functions of another type.
fn unlinked(error: &wasmtime::Error) -> Error {
    Error::Module(format!(
        "{error:#}: a wasmbus module may import the nine functions of wasmbus and those of {}",
        preview1::WASI
    ))
}
