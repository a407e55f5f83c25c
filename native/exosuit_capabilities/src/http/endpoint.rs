//! A request in, an invocation out, a response back.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use exosuit_core::{
    Code, Context, Contract, Deliver, Error, Id, Invocation, LinkName, Notice, Observe, Origin,
    Reply, Target, bounded,
};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{timeout, timeout_at};

use super::contract::{self, OPERATION, Payload};
use super::refusal::Refusal;
use super::settings::Limits;

/// The unit in which buffered bytes are counted: a semaphore counts no further than 2^61, and a
/// permit is taken in 32 bits.
const UNIT: u64 = 1_024;

/// How long a client that sends too much is listened to, so that it comes to read the answer
/// instead of finding its connection reset.
const LINGER: Duration = Duration::from_secs(5);

/// The router ends the call at its deadline and takes note of it. Should it not, this does.
pub(crate) const GRACE: Duration = Duration::from_millis(250);

/// Where the requests of one listener go.
pub(crate) struct Endpoint {
    pub(crate) provider: Id,
    pub(crate) actor: Id,
    pub(crate) contract: Contract,
    pub(crate) link: LinkName,
    pub(crate) deliver: Weak<dyn Deliver>,
    pub(crate) observe: Arc<dyn Observe>,
}

/// The bytes that a listener may buffer for all its connections.
pub(crate) struct Budget(Semaphore);

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        let units = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(Semaphore::MAX_PERMITS);
        Self(Semaphore::new(units.min(Semaphore::MAX_PERMITS)))
    }

    fn nothing(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.0.try_acquire_many(0).map_err(|_| Refusal::Full)
    }

    /// Takes what is missing to so many bytes in all.
    fn raise<'a>(&'a self, taken: &mut SemaphorePermit<'a>, bytes: u64) -> Result<(), Refusal> {
        let units = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(usize::MAX);
        let missing = units.saturating_sub(taken.num_permits());
        if missing > 0 {
            let missing = u32::try_from(missing).unwrap_or(u32::MAX);
            let more = self.0.try_acquire_many(missing);
            taken.merge(more.map_err(|_| Refusal::Full)?);
        }
        Ok(())
    }
}

impl Endpoint {
    /// Answers a request, in any case.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        limits: &Limits,
        budget: &Budget,
    ) -> Response<Full<Bytes>> {
        self.exchange(request, limits, budget)
            .await
            .unwrap_or_else(Refusal::response)
    }

    async fn exchange(
        &self,
        request: Request<Incoming>,
        limits: &Limits,
        budget: &Budget,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let (head, body) = request.into_parts();
        if head.method == Method::CONNECT {
            return Err(Refusal::Request(StatusCode::NOT_IMPLEMENTED));
        }
        let expects = head.headers.contains_key(header::EXPECT);
        let declared = body.size_hint().exact();
        if declared.is_some_and(|length| length > limits.max_body_bytes) {
            // A client that waits for leave to send has not sent, and must not be given it.
            if !expects {
                linger(body);
            }
            return Err(Refusal::Request(StatusCode::PAYLOAD_TOO_LARGE));
        }
        // Paid for as it comes: who only announces a body takes nothing from the others.
        let mut taken = budget.nothing()?;
        let mut payload = Payload::begin(&head, declared).map_err(|e| Refusal::Call(e.code))?;
        let whole = read_body(body, &mut payload, limits, |length| {
            budget.raise(&mut taken, length)
        });
        timeout(limits.body_timeout, whole)
            .await
            .map_err(|_| Refusal::Request(StatusCode::REQUEST_TIMEOUT))??;

        let answer = self.call(payload.finish(), limits).await?;
        contract::response(&answer, &head.method).map_err(|error| self.report(error))
    }

    async fn call(&self, payload: Bytes, limits: &Limits) -> Result<Bytes, Refusal> {
        let deliver = self.deliver.upgrade();
        let deliver = deliver.ok_or(Refusal::Call(Code::Unavailable))?;
        let deadline = Instant::now() + limits.timeout;
        let call = deliver.deliver(Invocation {
            origin: self.origin(),
            target: Target::Actor(self.actor.to_string()),
            operation: OPERATION.to_owned(),
            payload: payload.into(),
            context: Context::until(deadline),
        });
        bounded(call, deadline + GRACE, None)
            .await
            .and_then(Reply::into_bytes)
            .map_err(|error| Refusal::Call(error.code))
    }

    /// The router has taken note of a call that failed. That an answer is no response it cannot see.
    fn report(&self, error: Error) -> Refusal {
        let code = error.code;
        self.observe.observe(Notice::CallFailed {
            origin: self.origin(),
            target: self.actor.to_string(),
            operation: OPERATION.to_owned(),
            error,
        });
        Refusal::Call(code)
    }

    fn origin(&self) -> Origin {
        Origin::Provider {
            id: self.provider.clone(),
            contract: self.contract.clone(),
            link: self.link.clone(),
        }
    }
}

async fn read_body(
    mut body: Incoming,
    payload: &mut Payload,
    limits: &Limits,
    mut admit: impl FnMut(u64) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Request(StatusCode::BAD_REQUEST))?;
        let Ok(part) = frame.into_data() else {
            continue;
        };
        let length = payload.body_length() + part.len() as u64;
        if length > limits.max_body_bytes {
            linger(body);
            return Err(Refusal::Request(StatusCode::PAYLOAD_TOO_LARGE));
        }
        admit(length)?;
        payload.push(&part);
    }
    Ok(())
}

/// Reads on for a while and forgets what it reads.
fn linger(mut body: Incoming) {
    tokio::spawn(async move {
        let end = tokio::time::Instant::now() + LINGER;
        while let Ok(Some(Ok(_))) = timeout_at(end, body.frame()).await {}
    });
}
