//! `--http`: serves a component of `wasi:http` on an address.
//!
//! The handler of wasmtime-wasi-http gives requests to instances. An instance of 0.3 takes several requests at a time
//! and many in all; one of 0.2 takes one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Sleep, sleep, timeout};
use wasmtime::component::{Component, GuestTaskId};
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyHandler, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState,
    WorkerStatus,
};
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView as _, p2, p3};

use crate::grants::{Grants, Network};
use crate::link::link;
use crate::say::say;
use crate::state::{self, State};

/// How many requests an instance of WASI 0.3 takes in all, and at a time, as other hosts have it.
const MAX_USES: usize = 128;
const MAX_AT_ONCE: usize = 16;

/// How long an instance without requests is kept for the next one.
const IDLE: Duration = Duration::from_secs(1);

/// How many instances there are at a time. Requests for which there is none wait.
const MAX_INSTANCES: usize = 1_024;

/// How long running requests have at the end.
const DRAIN: Duration = Duration::from_secs(10);

/// How much later than a request its instance ends, so that the client has its answer by then.
const GRACE: Duration = Duration::from_secs(1);

/// How long a client has for the head of a request.
const HEAD: Duration = Duration::from_secs(30);

/// What is served, and with what.
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) grants: Arc<Grants>,
    pub(crate) network: Arc<Network>,
    pub(crate) arguments: Vec<String>,
    pub(crate) max_memory: usize,
    /// How long a request may take.
    pub(crate) timeout: Duration,
}

/// Serves until the process is told to end by SIGINT or SIGTERM, then waits for running requests.
pub(crate) async fn serve(
    server: Server,
    component: &Component,
    address: SocketAddr,
) -> Result<(), String> {
    let prepared = prepare(&server.engine, component)?;
    let request_timeout = server.timeout;
    let is_ending = Arc::new(AtomicBool::new(false));
    let handler = ProxyHandler::new(Instances {
        server,
        prepared,
        is_ending: Arc::clone(&is_ending),
        slots: Arc::new(Semaphore::new(MAX_INSTANCES)),
    });
    let mut stop = Signals::new()?;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("--http {address}: {error}"))?;
    let bound = listener.local_addr().map_err(|error| error.to_string())?;
    say(format_args!("serving on http://{bound}/ (Ctrl-C ends it)"));
    let (ending, ended) = watch::channel(());
    loop {
        let stream = tokio::select! {
            () = stop.next() => break,
            accepted = listener.accept() => accepted,
        };
        match stream {
            Ok((stream, _peer)) => {
                let connection = Connection {
                    handler: handler.clone(),
                    timeout: request_timeout,
                    address: bound,
                };
                tokio::spawn(connection.run(stream, ended.clone()));
            }
            // Out of file descriptors, most likely: connections end.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
    drop((listener, ended));
    let _ = ending.send(());
    tokio::select! {
        () = ending.closed() => {}
        () = stop.next() => {}
        () = sleep(DRAIN) => say(format_args!("requests that still run are dropped")),
    }
    is_ending.store(true, SeqCst);
    Ok(())
}

/// The signals that end the process.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, String> {
        let signal = |kind| signal(kind).map_err(|error| format!("cannot handle signals: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Links a component that exports a handler of WASI 0.3 or 0.2.
fn prepare(engine: &Engine, component: &Component) -> Result<ProxyPre<State>, String> {
    let linked = link(engine, component).map_err(|error| format!("{error:#}"))?;
    if let Ok(service) = p3::bindings::ServicePre::new(linked.clone()) {
        return Ok(ProxyPre::P3(service));
    }
    match p2::bindings::ProxyPre::new(linked) {
        Ok(proxy) => Ok(ProxyPre::P2(proxy)),
        Err(_) => Err(
            "the component exports no HTTP handler: expected wasi:http/handler of WASI 0.3, or \
             wasi:http/incoming-handler of 0.2"
                .to_owned(),
        ),
    }
}

/// One connection of a client.
struct Connection {
    handler: ProxyHandler<Instances>,
    timeout: Duration,
    address: SocketAddr,
}

impl Connection {
    async fn run(self, stream: TcpStream, mut ended: watch::Receiver<()>) {
        let service = service_fn(|request| self.answer(request));
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let mut serving = std::pin::pin!(serving);
        // Clients may break off at any time.
        let _ = tokio::select! {
            done = serving.as_mut() => done,
            _ = ended.changed() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<WasiBody>, Infallible> {
        let request = request.map(|body| body.map_err(Error::Hyper).boxed_unsync());
        let Some(request) = absolute(request, self.address) else {
            return Ok(failure(StatusCode::BAD_REQUEST));
        };
        // The handler has timeouts of its own, which do not hold while a guest computes or blocks.
        Ok(
            match timeout(self.timeout, self.handler.handle((), request)).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => {
                    say(format_args!("a request failed: {error:?}"));
                    failure(StatusCode::INTERNAL_SERVER_ERROR)
                }
                Err(_late) => {
                    let seconds = self.timeout.as_secs_f64();
                    say(format_args!(
                        "a request took longer than {seconds} s (--timeout)"
                    ));
                    failure(StatusCode::GATEWAY_TIMEOUT)
                }
            },
        )
    }
}

/// The request with scheme and authority in its address, where guests expect them. A client that names no host means
/// this address. `None` if the host that it names is none.
fn absolute(request: Request<WasiBody>, address: SocketAddr) -> Option<Request<WasiBody>> {
    let (mut head, body) = request.into_parts();
    if head.uri.authority().is_none() {
        let authority = match head.headers.get(http::header::HOST) {
            Some(host) => host.to_str().ok()?.parse().ok()?,
            None => address.to_string().parse().ok()?,
        };
        let mut parts = head.uri.into_parts();
        parts.scheme = Some(http::uri::Scheme::HTTP);
        parts.authority = Some(authority);
        head.uri = http::Uri::from_parts(parts).ok()?;
    }
    Some(Request::from_parts(head, body))
}

/// An answer without a body.
fn failure(status: StatusCode) -> Response<WasiBody> {
    let body = Full::new(Bytes::new()).map_err(|never: Infallible| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response
}

/// Makes instances for the handler.
struct Instances {
    server: Server,
    prepared: ProxyPre<State>,
    is_ending: Arc<AtomicBool>,
    slots: Arc<Semaphore>,
}

impl HandlerState for Instances {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Uses;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Uses>> {
        let server = &self.server;
        // The requests that waited so long have their answers already.
        let slot = Arc::clone(&self.slots).acquire_owned();
        let slot = timeout(server.timeout, slot).await??;
        let wasi = server.grants.builder(&server.network, &server.arguments);
        let mut wasi = wasi.map_err(wasmtime::Error::msg)?;
        wasi.inherit_stdout().inherit_stderr();
        let state = State::new(wasi.build(), Arc::clone(&server.grants), server.max_memory);
        let mut store = state::store(&server.engine, state);
        let instantiating = self.prepared.instantiate_async(&mut store);
        let proxy = timeout(server.timeout, instantiating).await??;
        let (max_in_all, max_at_once) = match self.prepared {
            ProxyPre::P2(_) => (1, 1),
            ProxyPre::P3(_) => (MAX_USES, MAX_AT_ONCE),
        };
        Ok(Instance {
            store,
            proxy,
            view: State::http,
            expiration: Expiration {
                timeout: server.timeout,
                alarm: Box::pin(sleep(server.timeout)),
            },
            state: Uses {
                _slot: slot,
                timeout: server.timeout,
                max_in_all,
                max_at_once,
                is_ending: Arc::clone(&self.is_ending),
            },
        })
    }
}

/// Ends an instance that is idle, or whose requests take too long.
struct Expiration {
    timeout: Duration,
    alarm: Pin<Box<Sleep>>,
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        let limit = match status {
            WorkerStatus::Idle => IDLE,
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.timeout + GRACE,
        };
        self.alarm.as_mut().reset((start + limit).into());
        self.alarm.as_mut().poll(cx)
    }
}

/// How many requests an instance takes.
struct Uses {
    /// One of those that all instances have together.
    _slot: OwnedSemaphorePermit,
    timeout: Duration,
    max_in_all: usize,
    max_at_once: usize,
    /// The process ends, and its instances with it: that is no failure.
    is_ending: Arc<AtomicBool>,
}

impl WorkerState for Uses {
    type StoreData = State;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.max_in_all {
            ShouldAccept::Never
        } else if concurrent >= self.max_at_once {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, State>,
        (): (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(sleep(self.timeout + GRACE))
    }

    fn drop(&self, store: Store<State>, result: wasmtime::Result<()>) {
        drop(store);
        if let Err(error) = result
            && !self.is_ending.load(SeqCst)
        {
            say(format_args!("an instance ended: {error:?}"));
        }
    }
}
