//! The floor of HTTP to a component: hyper before `ProxyPre`, as `wasmtime serve` has it, with the
//! pool's best settings. No router, links, limits, deadlines or log.

use std::future::Future;
use std::sync::Arc;

use anyhow::Result;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{self, Linker, ResourceTable, ResourceType};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::plain::engine;
use crate::serve::listen;

/// Compiled and linked.
pub(crate) struct Component(ProxyPre<State>);

#[derive(Default)]
struct State {
    table: ResourceTable,
    /// Made when the guest first asks for it, which for this request it need not.
    wasi: Option<WasiCtx>,
    http: WasiHttpCtx,
    hooks: NoRequests,
}

/// The guest is not to send any.
#[derive(Default)]
struct NoRequests;

/// A task that goes on beside the response.
type Beside = Box<dyn Future<Output = Result<(), Error>> + Send>;

type Sending = Box<dyn Future<Output = Result<(Response<WasiBody>, Beside), Error>> + Send>;

impl WasiHttpHooks for NoRequests {
    fn send_request(
        &mut self,
        _request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Beside,
    ) -> Sending {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

impl Component {
    pub(crate) fn new(wasm: &[u8]) -> wasmtime::Result<Self> {
        // `serve` has epochs only where it is given a time limit.
        let engine = engine(false)?;
        let component = component::Component::new(&engine, wasm)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        for package in ["wasi:config/", "wasi:keyvalue/", "wasi:logging/"] {
            refuse(&mut linker, &component, package)?;
        }
        Ok(Self(ProxyPre::new(linker.instantiate_pre(&component)?)?))
    }

    /// A fresh instance for each request. It goes on by itself while its body is read.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> wasmtime::Result<Response<WasiBody>> {
        let mut store = Store::new(self.0.engine(), State::default());
        let (set, response) = oneshot::channel();
        let request = request.map(|body| body.map_err(|_| Error::HttpProtocolError).boxed_unsync());
        let request = store
            .data_mut()
            .http()
            .new_incoming_request(Scheme::Http, request)?;
        let outparam = store.data_mut().http().new_response_outparam(set)?;
        let guest = tokio::spawn(async move {
            let proxy = self.0.instantiate_async(&mut store).await?;
            let handler = proxy.wasi_http_incoming_handler();
            handler.call_handle(&mut store, request, outparam).await
        });
        match response.await {
            Ok(response) => Ok(response?),
            Err(_unset) => {
                guest.await??;
                wasmtime::bail!("the guest set no response")
            }
        }
    }
}

/// The guest imports that package, too, and does not use it here.
fn refuse(
    linker: &mut Linker<State>,
    component: &component::Component,
    package: &str,
) -> wasmtime::Result<()> {
    let engine = component.engine();
    for (name, import) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(interface) = import.ty else {
            continue;
        };
        if !name.starts_with(package) {
            continue;
        }
        let mut instance = linker.instance(name)?;
        for (name, export) in interface.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => instance.func_new(name, |_, _, _, _| {
                    wasmtime::bail!("this is a floor of calls that do not need it")
                })?,
                ComponentItem::Resource(_) => {
                    instance.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Serves until the program ends, and says at which port.
pub(crate) fn start(component: Component) -> Result<u16> {
    let component = Arc::new(component);
    listen(move |request| {
        let answer = Arc::clone(&component).answer(request);
        async move { answer.await.unwrap_or_else(|error| failed(&error)) }
    })
}

fn failed(error: &wasmtime::Error) -> Response<WasiBody> {
    eprintln!("the floor's component failed: {error:#}");
    let empty = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(empty);
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = || WasiCtxBuilder::new().build();
        WasiCtxView {
            ctx: self.wasi.get_or_insert_with(wasi),
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
