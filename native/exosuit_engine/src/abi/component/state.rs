//! The data in the store of a component's instance: what WASI and the other imports need to know of the
//! instance, of its actor, and of the call that it serves.
//!
//! wasmtime hands it to every host function. Most of it belongs to the instance and stays for all of its calls:
//! what a warm guest has opened remains open. Only the context changes with the call, and with it deadline and
//! depth.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use exosuit_core::Context;
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::super::store::Limited;
use super::caller::Caller;
use super::held::{HeldResources, MAX_RESOURCES};
use crate::actor_shared::ActorShared;
use crate::limiter::Limiter;
use crate::sandbox::{self, Sandbox};
use crate::{Error, explain};

/// The size of one collection of headers, as it is kept.
const MAX_FIELDS: usize = 64 << 10;

/// A number that no other instance has, nor a process of the BEAM: the last four bits of their numbers are not 0.
///
/// It names the instance as the owner of the resources that its calls get (`Context::caller`), as the number of a
/// process does for calls from Elixir.
pub(super) fn instance_number() -> NonZeroU64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Relaxed).wrapping_add(1);
    NonZeroU64::new(number << 4).unwrap_or(NonZeroU64::MAX)
}

/// The data of one instance. Only the call's context in `caller` changes from one call to the next.
///
/// | field | lives as long as | bounded by |
/// |---|---|---|
/// | `table` | the instance | [`MAX_RESOURCES`] entries, headers by [`MAX_FIELDS`] |
/// | `held` | the instance | [`MAX_RESOURCES`] handles |
/// | `limiter` | the instance; the reached limit: the call | `Limits` |
/// | `wasi`, `http` | the instance | the grants |
/// | `caller.context` | the call | its deadline |
pub(crate) struct ComponentState {
    pub(super) caller: Caller,
    pub(super) limiter: Limiter,
    /// The resources of WASI and of `wasi:keyvalue` that the guest has.
    pub(super) table: ResourceTable,
    /// The resources of providers and other actors that the guest has.
    pub(super) held: HeldResources,
    /// Made when the guest first uses it: most guests import more of WASI than they call, and making it
    /// costs as much as a call. With directories it may fail, and is therefore made before the guest runs.
    wasi: Option<Box<Sandbox<WasiCtx>>>,
    /// The bound on headers, for wasmtime.
    http: WasiHttpCtx,
}

impl ComponentState {
    /// The data of a fresh instance. Opens the directories that the actor was granted.
    pub(super) async fn new(actor: &Arc<ActorShared>, context: Context) -> Result<Self, Error> {
        let wasi = match actor.grants.directories.as_slice() {
            [] => None,
            _ => Some(sandbox::open(actor).await?),
        };
        Ok(Self::with(actor, context, wasi))
    }

    /// The same with a sandbox that is there already: for a program, whose output is its answer.
    pub(super) fn with(
        actor: &Arc<ActorShared>,
        context: Context,
        wasi: Option<Sandbox<WasiCtxBuilder>>,
    ) -> Self {
        let actor = Arc::clone(actor);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_FIELDS);
        Self {
            limiter: Limiter::new(actor.limits, actor.engine.parts()),
            caller: Caller {
                actor,
                context,
                number: instance_number(),
            },
            table,
            held: HeldResources::default(),
            wasi: wasi.map(|wasi| Box::new(wasi.build(WasiCtxBuilder::build))),
            http,
        }
    }

    /// Begins another call. Resources that the guest holds from the last call stay open.
    pub(super) fn serve(&mut self, context: Context) {
        self.caller.context = context;
    }

    /// How many bytes values may take as wasmtime holds them: as much as the guest has of memory.
    pub(super) fn max_value_bytes(&self) -> usize {
        self.limiter.limits().max_value_bytes()
    }

    /// Ends the call: passes an unfinished line of output on to the log.
    pub(super) fn conclude(&self) {
        if let Some(sandbox) = &self.wasi {
            sandbox.end_lines();
        }
    }

    /// The error of a guest that did not return, by what wasmtime says and which limit was reached.
    pub(super) fn explain(&self, error: &wasmtime::Error) -> Error {
        explain::explain(error, &self.limiter)
    }
}

impl Limited for ComponentState {
    fn limiter(&mut self) -> &mut Limiter {
        &mut self.limiter
    }

    fn deadline(&self) -> Instant {
        self.caller.context.deadline
    }
}

impl WasiView for ComponentState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let actor = &self.caller.actor;
        let sandbox = || {
            let sandbox = sandbox::without_directories(actor);
            Box::new(sandbox.build(WasiCtxBuilder::build))
        };
        WasiCtxView {
            ctx: &mut self.wasi.get_or_insert_with(sandbox).wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for ComponentState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.caller,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
