//! The data of an instance, and the hooks through which it sends requests.

use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
    default_send_request,
};

use crate::grants::Grants;
use crate::say::say;

/// The data of a component's instance.
pub(crate) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    hooks: Hooks,
    limits: Limits,
}

/// The data of an instance of a core module.
pub(crate) struct ModuleState {
    pub(crate) wasi: WasiP1Ctx,
    limits: Limits,
}

/// The memories of all modules in a store, and elements of tables, of which each takes memory here as well.
struct Limits {
    memory_left: usize,
    elements_left: usize,
}

/// What a store may have at most. A component of a scripting language has a dozen of each.
const MAX_ELEMENTS: usize = 10_000_000;
const MAX_PARTS: usize = 1_000;

/// Sends the requests of a program to the hosts that it was granted.
struct Hooks {
    grants: Arc<Grants>,
}

impl State {
    pub(crate) fn new(wasi: WasiCtx, grants: Arc<Grants>, max_memory: usize) -> Self {
        Self {
            wasi,
            table: ResourceTable::new(),
            http: WasiHttpCtx::new(),
            hooks: Hooks { grants },
            limits: Limits::new(max_memory),
        }
    }
}

impl ModuleState {
    pub(crate) fn new(wasi: WasiP1Ctx, max_memory: usize) -> Self {
        let limits = Limits::new(max_memory);
        Self { wasi, limits }
    }
}

impl Limits {
    fn new(max_memory: usize) -> Self {
        Self {
            memory_left: max_memory,
            elements_left: MAX_ELEMENTS,
        }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(take(&mut self.memory_left, desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(take(
            &mut self.elements_left,
            desired.saturating_sub(current),
        ))
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}

/// Takes so many of what is left, unless that is too little.
fn take(left: &mut usize, count: usize) -> bool {
    let Some(rest) = left.checked_sub(count) else {
        return false;
    };
    *left = rest;
    true
}

/// A store for a component. It lets other tasks run between the slices of its guest, so that timeouts hold.
pub(crate) fn store(engine: &wasmtime::Engine, state: State) -> Store<State> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limits);
    sliced(&mut store);
    store
}

/// A store for a core module.
pub(crate) fn module_store(engine: &wasmtime::Engine, state: ModuleState) -> Store<ModuleState> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limits);
    sliced(&mut store);
    store
}

fn sliced<T: 'static>(store: &mut Store<T>) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}

type Sent = (
    Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let is_allowed = self.grants.allows_request(request.uri());
        Box::new(async move {
            if !is_allowed {
                let host = request.uri().host().unwrap_or_default();
                say(format_args!(
                    "a request to {host} was refused: allow it with --allow-host {host}"
                ));
                return Err(Error::HttpRequestDenied);
            }
            let (response, io) = default_send_request(request, options).await?;
            let io: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(io);
            Ok((response.map(BodyExt::boxed_unsync), io))
        })
    }
}
