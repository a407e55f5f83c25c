//! `wasi:http/incoming-handler`: a request in, a response out whose body the guest still sends.
//!
//! The guest has no task of its own. Until it has set the response, whoever waits for that runs it;
//! from then on whoever reads the body does. When the whole body has been read and the guest goes
//! on, it gets a task to finish in.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use exosuit_core::{Body, Context, Error as CallError, Exchange, Lease, Reply, bounded};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::oneshot::{self, Sender};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::{WasiHttpView, p2::body::HyperOutgoingBody};

use super::body::{from_guest, to_guest};
use super::sending::{Run, Sending};
use super::state::State;
use crate::Error;
use crate::actor::{Settled, Shared, ticking};
use crate::explain::{MAX_TEXT, cut, explain};

type Head = Result<http::Response<HyperOutgoingBody>, ErrorCode>;

/// Answers a request.
pub(super) async fn handle(
    handler: &ProxyPre<State>,
    actor: &Arc<Shared>,
    context: Context,
    exchange: Exchange,
) -> Result<Reply, Error> {
    let Exchange { request, lease } = exchange;
    let headless = request.method() == Method::HEAD;
    let withdrawn = lease.withdrawn.clone();
    let end = async move {
        let never = pending::<Result<Infallible, CallError>>();
        let Err(error) = bounded(never, context.deadline, Some(&withdrawn)).await;
        error
    };
    let (set, head) = oneshot::channel();
    let guest = serve(handler.clone(), Arc::clone(actor), context, request, set);
    let mut run = Some(run(Arc::clone(actor), context, lease, guest));

    // The guest runs until it has set the response; it may have ended with that.
    let mut head = pin!(head);
    let head = poll_fn(|task| {
        if let Some(running) = &mut run
            && let Poll::Ready(ended) = running.as_mut().poll(task)
        {
            run = None;
            if let Err(error) = ended {
                return Poll::Ready(Err(Error::Host(error)));
            }
        }
        head.as_mut().poll(task).map(Ok)
    });
    let response = match head.await? {
        Ok(Ok(response)) => response,
        Ok(Err(code)) => return Err(refused(&code)),
        Err(_) => return Err(Error::Guest("the guest set no response".to_owned())),
    };
    let (parts, body) = response.into_parts();
    let left = if headless {
        Some(0)
    } else {
        length(&parts.headers)
    };
    let body = Streaming {
        body: from_guest(body),
        guest: run.map(|run| Sending::new(run, end)),
        left,
        actor: Arc::clone(actor),
    };
    Ok(Reply::Http(Box::new(http::Response::from_parts(
        parts,
        body.boxed(),
    ))))
}

/// The code may come with a text of the guest's own.
fn refused(code: &ErrorCode) -> Error {
    let code = format!("{code:?}");
    Error::Guest(format!("the guest answered with {}", cut(&code, MAX_TEXT)))
}

/// The guest's run within the bounds of the call, which it keeps the lease of.
fn run(
    actor: Arc<Shared>,
    context: Context,
    lease: Lease,
    guest: impl Future<Output = Result<(), CallError>> + Send + 'static,
) -> Run {
    Box::pin(async move {
        let _settled = Settled(&actor);
        // All of it: the block would take no more than the field that it names.
        let lease = lease;
        let engine = actor.module.engine();
        let guest = pin!(guest);
        let guest = ticking(engine.ticker(), guest);
        bounded(guest, context.deadline, Some(&lease.withdrawn)).await
    })
}

async fn serve(
    handler: ProxyPre<State>,
    actor: Arc<Shared>,
    context: Context,
    request: http::Request<Body>,
    set: Sender<Head>,
) -> Result<(), CallError> {
    let state = State::new(&actor, context)?;
    let mut store = state.into_store(handler.engine());
    let served = async {
        let request = request.map(|body| to_guest(body, None));
        let mut http = store.data_mut().http();
        let request = http.new_incoming_request(Scheme::Http, request)?;
        let response = http.new_response_outparam(set)?;
        let proxy = handler.instantiate_async(&mut store).await?;
        let handler = proxy.wasi_http_incoming_handler();
        handler.call_handle(&mut store, request, response).await
    };
    match served.await {
        Ok(()) => Ok(()),
        Err(error) => Err(explain(&error, &store.data().limiter).into()),
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The body of a response, with the guest that sends it.
struct Streaming {
    body: Body,
    guest: Option<Sending>,
    /// What is still to be sent of an announced length; without one, until the end has been read.
    left: Option<u64>,
    actor: Arc<Shared>,
}

impl Streaming {
    fn count(&mut self, frame: &Frame<Bytes>) {
        let sent = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.left = self.left.map(|left| left.saturating_sub(sent));
    }
}

impl HttpBody for Streaming {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        if let Some(guest) = &self.guest
            && let Poll::Ready(ended) = guest.poll(task)
        {
            self.guest = None;
            if let Err(error) = ended {
                return Poll::Ready(Some(Err(error)));
            }
        }
        let frame = Pin::new(&mut self.body).poll_frame(task);
        match &frame {
            Poll::Ready(None) => self.left = Some(0),
            Poll::Ready(Some(Ok(frame))) => self.count(frame),
            _ => {}
        }
        frame
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Streaming {
    /// A guest whose reader has gone before the end has nobody to work for. One whose reader has
    /// all there is may have something left to do.
    fn drop(&mut self) {
        if let (Some(guest), Some(0)) = (&self.guest, self.left) {
            guest.finish(Arc::clone(&self.actor));
        }
    }
}
