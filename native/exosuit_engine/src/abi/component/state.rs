//! What an instance and the call that it serves know: the data of its store, as WASI and the other
//! imports see it.

use std::sync::Arc;
use std::time::Instant;

use exosuit_core::Context;
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::super::store::Limited;
use super::caller::Caller;
use crate::actor_shared::ActorShared;
use crate::limiter::Limiter;
use crate::sandbox::{self, Sandbox};
use crate::{Error, explain};

/// How many things the host keeps for a guest: streams, headers, requests under way. With the bounds
/// on the size of each, all of them are no more than what guests have of memory.
const MAX_RESOURCES: usize = 4_096;

/// The size of one collection of headers, as it is kept.
const MAX_FIELDS: usize = 64 << 10;

/// What an instance knows, and of its call: who calls.
pub(crate) struct State {
    pub(super) caller: Caller,
    pub(super) limiter: Limiter,
    pub(super) table: ResourceTable,
    /// Made when the guest first uses it: most import more of WASI than they call. Where it may
    /// fail, it is made before the guest runs.
    wasi: Option<Box<Sandbox<WasiCtx>>>,
    http: WasiHttpCtx,
}

impl State {
    pub(super) async fn new(actor: &Arc<ActorShared>, context: Context) -> Result<Self, Error> {
        let wasi = match actor.grants.directories.as_slice() {
            [] => None,
            _ => Some(sandbox::open(actor).await?),
        };
        Ok(Self::with(actor, context, wasi))
    }

    /// For a guest whose standard streams are not the usual ones.
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
            caller: Caller { actor, context },
            table,
            wasi: wasi.map(|wasi| Box::new(wasi.build(WasiCtxBuilder::build))),
            http,
        }
    }

    /// Goes on with another call. What the guest holds of the last one is its own.
    pub(super) fn serve(&mut self, context: Context) {
        self.caller.context = context;
    }

    /// How many bytes values may take as wasmtime holds them: as much as the guest has of memory.
    pub(super) fn max_value_bytes(&self) -> usize {
        self.limiter.limits().max_value_bytes()
    }

    /// The guest has returned.
    pub(super) fn conclude(&self) {
        if let Some(sandbox) = &self.wasi {
            sandbox.end_lines();
        }
    }

    /// Why the guest did not return.
    pub(super) fn explain(&self, error: &wasmtime::Error) -> Error {
        explain::explain(error, &self.limiter)
    }
}

impl Limited for State {
    fn limiter(&mut self) -> &mut Limiter {
        &mut self.limiter
    }

    fn deadline(&self) -> Instant {
        self.caller.context.deadline
    }
}

impl WasiView for State {
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

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.caller,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
