//! A request in, an invocation out, a response back, each whole: actors of wasmbus.

use bytes::Bytes;
use exosuit_core::{Error, Reply};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::contract::{self, OPERATION, Payload};
use super::endpoint::Endpoint;
use super::listener::Terms;
use super::refusal::Refusal;
use super::unread::{expects, linger, refuse_larger};

/// The unit in which buffered bytes are counted: a semaphore counts no further than 2^61, and a
/// permit is taken in 32 bits.
const UNIT: u64 = 1_024;

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

/// Makes a request a call of the actor, and its answer a response.
pub(crate) async fn exchange(
    endpoint: &Endpoint,
    request: Request<Incoming>,
    terms: &Terms,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let most = endpoint.whole_body();
    let expects = expects(&request);
    let (head, body) = request.into_parts();
    let declared = body.size_hint().exact();
    let body = refuse_larger(body, expects, most)?;

    // Paid for as it comes: who only announces a body takes nothing from the others.
    let mut taken = terms.budget.nothing()?;
    let mut payload = Payload::begin(&head, declared).map_err(|e| Refusal::Call(e.code))?;
    let whole = read_body(body, &mut payload, most, |length| {
        terms.budget.raise(&mut taken, length)
    });
    timeout(terms.limits.body_timeout, whole)
        .await
        .map_err(|_| Refusal::Request(StatusCode::REQUEST_TIMEOUT))??;

    let answer = endpoint.call(OPERATION, payload.finish().into()).await?;
    let response = |answer: Reply| contract::response(&answer.into_bytes()?, &head.method);
    response(answer).map_err(|error: Error| endpoint.report(OPERATION, error))
}

async fn read_body(
    mut body: Incoming,
    payload: &mut Payload,
    most: u64,
    mut admit: impl FnMut(u64) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Request(StatusCode::BAD_REQUEST))?;
        let Ok(part) = frame.into_data() else {
            continue;
        };
        let length = payload.body_length() + part.len() as u64;
        if length > most {
            linger(body);
            return Err(Refusal::Request(StatusCode::PAYLOAD_TOO_LARGE));
        }
        admit(length)?;
        payload.push(&part);
    }
    Ok(())
}
