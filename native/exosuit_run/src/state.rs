//! The data of an instance, and the hooks through which it sends requests.

use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt;
use wasmtime::component::ResourceTable;
use wasmtime::{Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
    default_send_request,
};

use crate::grants::Grants;

/// The data of a component's instance.
pub(crate) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    hooks: Hooks,
    limits: StoreLimits,
}

/// The data of an instance of a core module.
pub(crate) struct ModuleState {
    pub(crate) wasi: WasiP1Ctx,
    limits: StoreLimits,
}

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
            limits: limits(max_memory),
        }
    }
}

impl ModuleState {
    pub(crate) fn new(wasi: WasiP1Ctx, max_memory: usize) -> Self {
        let limits = limits(max_memory);
        Self { wasi, limits }
    }
}

fn limits(max_memory: usize) -> StoreLimits {
    StoreLimitsBuilder::new().memory_size(max_memory).build()
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
                eprintln!(
                    "exosuit: a request to {host} was refused: allow it with --allow-host {host}"
                );
                return Err(Error::HttpRequestDenied);
            }
            let (response, io) = default_send_request(request, options).await?;
            let io: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(io);
            Ok((response.map(BodyExt::boxed_unsync), io))
        })
    }
}
