//! HTTP requests of a guest. Each is a call through the router, so that links decide which client sends it
//! and to which hosts.
//!
//! wasmtime calls [`WasiHttpHooks::send_request`] when the guest calls `outgoing-handler`; the guest then waits for a
//! future response. Dropping the instance drops the request. Refusals become the error codes of `wasi:http`, which a
//! guest can match: a missing link or a host that the link does not allow is `HTTP-request-denied`.
//!
//! | the router or the provider says | the guest gets |
//! |---|---|
//! | `denied`, `missing_link`, `missing_claim`, `expired_claims` | `HTTP-request-denied` |
//! | `deadline` | `connection-timeout` |
//! | `unavailable` | `connection-refused` |
//! | `overloaded` | `connection-limit-reached` |
//! | anything else | `internal-error`, with the text |
//! | nothing within the timeouts of the guest's own | `connection-timeout` |
//! | the body of the response pauses for too long | `connection-read-timeout`, from the body |

use std::future::Future;
use std::time::Duration;

use exosuit_core::{Code, Exchange, Payload, Reply};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::body::{from_guest, to_guest};
use super::caller::Caller;

/// The contract of the link, and the operation: for all versions of 0.2 the same.
const CONTRACT: &str = "wasi:http";
const OPERATION: &str = "wasi:http/outgoing-handler@0.2.0#handle";

/// Work that wasmtime does beside the response: none here, since the client does it.
type BackgroundWork = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// The type that wasmtime wants of [`WasiHttpHooks::send_request`].
type Sending =
    Box<dyn Future<Output = Result<(http::Response<WasiBody>, BackgroundWork), Error>> + Send>;

/// The bytes that a guest may write to a body before somebody reads. Each open body holds that much memory.
const CHUNK: usize = 64 << 10;

impl WasiHttpHooks for Caller {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: BackgroundWork,
    ) -> Sending {
        let caller = self.clone();
        let options = options.unwrap_or_default();
        Box::new(async move {
            let response = send(&caller, request, options).await?;
            let background: BackgroundWork = Box::new(async { Ok(()) });
            Ok((response, background))
        })
    }
}

/// Sends the request through the router, and waits for the head of its response.
///
/// The body of the request is still being written by the guest: the client behind the router polls it. Dropping the
/// answer, at a timeout or with the instance, drops the request.
async fn send(
    caller: &Caller,
    request: http::Request<WasiBody>,
    options: RequestOptions,
) -> Result<http::Response<WasiBody>, Error> {
    let exchange = Exchange::new(request.map(from_guest));
    let payload = Payload::Http(Box::new(exchange));
    let answer = caller.call(CONTRACT, OPERATION.to_owned(), payload);
    let answer = match head_timeout(&options) {
        None => answer.await,
        Some(head_timeout) => tokio::time::timeout(head_timeout, answer)
            .await
            .map_err(|_| Error::ConnectionTimeout)?,
    };
    let response = answer.and_then(Reply::into_http).map_err(refused)?;
    Ok(response.map(|body| to_guest(body, options.between_bytes_timeout)))
}

/// The time until the head of the response. The client that connects is behind the router, so the timeouts
/// for connecting and for the first byte become one.
fn head_timeout(options: &RequestOptions) -> Option<Duration> {
    match (options.connect_timeout, options.first_byte_timeout) {
        (Some(connect), Some(first_byte)) => Some(connect.saturating_add(first_byte)),
        (one, other) => one.or(other),
    }
}

/// The error code of `wasi:http` for an error of the host. Other errors keep their text.
fn refused(error: exosuit_core::Error) -> Error {
    match error.code {
        Code::Denied | Code::MissingLink | Code::MissingClaim | Code::ExpiredClaims => {
            Error::HttpRequestDenied
        }
        Code::Deadline => Error::ConnectionTimeout,
        Code::Unavailable => Error::ConnectionRefused,
        Code::Overloaded => Error::ConnectionLimitReached,
        _ => Error::InternalError(Some(error.detail)),
    }
}
