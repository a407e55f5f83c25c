//! Answers HTTP requests with a component: `wasi:http/incoming-handler`.
//!
//! The guest gets the request and sets the response, and may go on to write the body of that response for
//! as long as the call lasts. [`handle`] returns as soon as the response is set; the body that it returns
//! brings the running guest with it.
//!
//! # Who polls the guest
//!
//! The guest is a future and has no task of its own, for two reasons: a call that ends within its first poll
//! never touches Tokio, and a client that reads slowly slows the guest that writes for it. Who polls it
//! changes over its life:
//!
//! 1. Until the guest sets the response, the caller of [`handle`] polls it.
//! 2. From then on, the reader of the body polls it ([`Streaming`], through [`Sending`]).
//! 3. If the reader has the whole body and the guest still runs, the guest gets a task to finish in.
//!
//! A guest that has returned and may serve again ([`Returned`]) goes back to the pool at once, even if its
//! body has not been read yet.
//!
//! # How it ends
//!
//! | what happens | then |
//! |---|---|
//! | the guest returns without a response | an error; a guest that keeps its `response-outparam` is dropped |
//! | the guest sets an error code as its response | the caller gets it as an error; a running guest is dropped |
//! | the guest traps before it has set a response | the caller gets the trap |
//! | the guest traps later | the body ends with the error; the head is out already |
//! | the client goes away before the end of the body | the body is dropped, and the guest with it |
//! | the client stops reading | the guest waits; at the deadline a watchdog drops it ([`Sending`]) |
//! | the actor is stopped, or the grace of an update ends | the guest is dropped, and the body ends with an error |
//!
//! # What it holds
//!
//! The lease of the exchange: the slot of the call in the router, and the count of running calls. It is held until
//! the guest has returned, not until the response is set: a drain waits for the whole body, and a guest that still
//! writes counts against the `instances` of its actor. While the guest waits for bytes of the request, the router may
//! lend the slot to another call.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;

use exosuit_core::{Body, Context, Error as CallError, Exchange, Lease, Reply, bounded};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use tokio::sync::oneshot::{self, Sender};
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::{WasiHttpView, p2::body::HyperOutgoingBody};

use super::super::guest::Pool;
use super::body::{from_guest, to_guest};
use super::guest::ComponentGuest;
use super::prepared::PreparedComponent;
use super::returned::Returned;
use super::sending::{Run, Sending};
use super::streaming::{ResponseGuest, Streaming};
use crate::Error;
use crate::actor_shared::{ActorShared, ReportLosses};
use crate::explain::{MAX_TEXT, cut};

/// The response as the guest sets it, or the error code that it sets in its place. Body and head are apart: the guest
/// may not have written any of the body yet.
type Head = Result<http::Response<HyperOutgoingBody>, ErrorCode>;

/// Answers a request.
///
/// Fails if the guest fails before it sets a response, or returns without one. Later failures end the body with an
/// error.
///
/// Until it returns, everything that it started is a part of its own future: dropping it drops the guest, and the
/// lease with it. Then the guest moves into the body of the response ([`Streaming`]), together with `end`, which tells
/// the watchdog when the call is over.
///
/// # What may happen first
///
/// Guest and channel are polled together in one `poll_fn`:
///
/// | the guest | the channel | then |
/// |---|---|---|
/// | waits | is empty | pending: one of the two wakes this task |
/// | waits | has the head | the response is out, and the guest runs on in the body |
/// | returned | has the head | the response is out, and the guest serves again once its body is emptied |
/// | waits or returned | is closed | the guest gave the response up: an error of the guest |
/// | returned | is empty | the guest is dropped, which closes the channel: the same error |
///
/// A trap is an error at once, whatever the channel has: the guest is dropped, and its body would have no end.
pub(super) async fn handle(
    prepared: &Arc<PreparedComponent>,
    actor: &Arc<ActorShared>,
    pool: &Weak<Pool>,
    context: Context,
    exchange: Exchange,
) -> Result<Reply, Error> {
    let Exchange { request, lease } = exchange;
    // The answer to HEAD has no body, whatever length its header announces.
    let headless = request.method() == Method::HEAD;
    // For the watchdog of the body: ends at the deadline or with the lease, and says which. `bounded` around a future
    // that never ends is just that.
    let withdrawn = lease.withdrawn.clone();
    let end = async move {
        let never = pending::<Result<Infallible, CallError>>();
        let Err(error) = bounded(never, context.deadline, Some(&withdrawn)).await;
        error
    };
    let (set, head) = oneshot::channel();
    let call = OwnedCall {
        prepared: Arc::clone(prepared),
        actor: Arc::clone(actor),
        pool: Weak::clone(pool),
        context,
    };
    let guest = call.serve(request, set);
    // `None` once the guest has returned: a future must not be polled after that.
    let mut run = Some(run(Arc::clone(actor), context, lease, guest));
    let mut returned = None;

    // Polls the guest and the channel of the response together. The order matters: the guest is polled
    // first, because it is the guest that fills the channel.
    let mut head = pin!(head);
    let head = poll_fn(|task| {
        if let Some(running) = &mut run
            && let Poll::Ready(ended) = running.as_mut().poll(task)
        {
            run = None;
            match ended {
                Ok(guest) => returned = guest,
                Err(error) => return Poll::Ready(Err(Error::Host(error))),
            }
        }
        let polled = head.as_mut().poll(task).map(Ok);
        if polled.is_pending() && returned.take().is_some() {
            // The guest returned without setting the response. Dropping the guest closed the channel,
            // so this poll is ready, with an error. Without it nothing would wake this task again.
            return head.as_mut().poll(task).map(Ok);
        }
        polled
    });
    let response = match head.await? {
        Ok(Ok(response)) => response,
        // Also if the guest still runs: dropping `run` at the return of this function ends it.
        no_response => {
            returned.into_iter().for_each(Returned::leave);
            return Err(match no_response {
                Ok(Err(code)) => refused(&code),
                _ => Error::Guest("the guest set no response".to_owned()),
            });
        }
    };
    let (parts, body) = response.into_parts();
    // With it, `Streaming` can tell a reader that has everything from one that went away.
    let left = if headless {
        Some(0)
    } else {
        length(&parts.headers)
    };
    let guest = match run {
        Some(run) => ResponseGuest::Runs(Sending::new(run, end)),
        None => ResponseGuest::Returned(returned),
    };
    let body = Streaming::new(from_guest(body), left, guest, Arc::clone(actor));
    Ok(Reply::Http(Box::new(http::Response::from_parts(
        parts,
        body.boxed(),
    ))))
}

/// The error of a guest that set an error code in place of a response. The code may contain a text of
/// the guest, so its length is bounded.
fn refused(code: &ErrorCode) -> Error {
    let code = format!("{code:?}");
    Error::Guest(format!("the guest answered with {}", cut(&code, MAX_TEXT)))
}

/// The run of the guest, bounded by the deadline of the call and by the withdrawal of its lease, when the actor stops.
/// It holds the lease until it ends, so that the call counts as running until then.
///
/// Boxed, because it moves from the caller to the body while it runs. `bounded` is inside and not around: who polls
/// the run changes, and each of them must be bound. A guest that nobody polls is ended by the watchdog instead.
fn run(
    actor: Arc<ActorShared>,
    context: Context,
    lease: Lease,
    guest: impl Future<Output = Result<Option<Returned>, CallError>> + Send + 'static,
) -> Run {
    Box::pin(async move {
        let _losses = ReportLosses(&actor);
        // Moves the whole lease into the block. Without this line, the block would capture only the
        // field `withdrawn`, and the lease would be dropped at the start.
        let lease = lease;
        let guest = pin!(guest);
        let guest = actor.engine.ticker().during(guest);
        bounded(guest, context.deadline, Some(&lease.withdrawn)).await
    })
}

/// A call that may outlive its caller: everything is owned. The pool is weak, as in every call: warm instances go
/// with the actor.
struct OwnedCall {
    prepared: Arc<PreparedComponent>,
    actor: Arc<ActorShared>,
    pool: Weak<Pool>,
    context: Context,
}

impl OwnedCall {
    /// Runs the guest until it returns. Returns the guest if it may serve again.
    ///
    /// The guest gets the sender of `head` as its `response-outparam`. One that it neither sets nor drops stays in its
    /// table of resources until the guest is dropped: so a return alone does not close the channel.
    async fn serve(
        self,
        request: http::Request<Body>,
        head: Sender<Head>,
    ) -> Result<Option<Returned>, CallError> {
        let handler = self.prepared.handler.as_ref().ok_or_else(no_handler)?;
        let guest = self.prepared.guest(&self.actor, &self.pool, self.context);
        let (slot, mut guest) = guest.await?;
        let ComponentGuest { store, instance } = &mut guest;
        let served = async {
            let request = request.map(|body| to_guest(body, None));
            let mut http = store.data_mut().http();
            let scheme = match request.uri().scheme() {
                Some(scheme) if *scheme == http::uri::Scheme::HTTPS => Scheme::Https,
                _ => Scheme::Http,
            };
            let request = http.new_incoming_request(scheme, request)?;
            let response = http.new_response_outparam(head)?;
            let proxy = handler.load(&mut *store, instance)?;
            let handler = proxy.wasi_http_incoming_handler();
            handler.call_handle(store, request, response).await
        };
        let served = served.await;
        let state = guest.store.data();
        state.conclude();
        match served {
            Ok(()) => Ok(slot.is_kept().then_some(Returned { guest, slot })),
            Err(error) => Err(state.explain(&error).into()),
        }
    }
}

/// The error for a component that exports no handler of WASI 0.2. One of another version is linked, and never called.
fn no_handler() -> Error {
    Error::UnknownOperation(
        "the component does not answer HTTP: it exports no wasi:http/incoming-handler of 0.2"
            .to_owned(),
    )
}

/// The announced length of a body. A guest may announce what it likes: hyper holds the connection to it, and here it
/// only decides whether the guest may finish.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
