//! HTTP requests of a guest: each is a call through the router, to whatever client it is linked to.

use std::future::Future;
use std::time::Duration;

use exosuit_core::{Code, Exchange, Payload, Reply};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::body::{from_guest, to_guest};
use super::caller::Caller;

const CONTRACT: &str = "wasi:http";
const OPERATION: &str = "wasi:http/outgoing-handler@0.2.0#handle";

/// A task that goes on beside the response.
type Beside = Box<dyn Future<Output = Result<(), Error>> + Send>;

type Sending = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Beside), Error>> + Send>;

/// What a guest may write to a body before somebody reads: each body that it has open holds as much.
const CHUNK: usize = 64 << 10;

impl WasiHttpHooks for Caller {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Beside,
    ) -> Sending {
        let caller = self.clone();
        let options = options.unwrap_or_default();
        Box::new(async move {
            let response = send(&caller, request, options).await?;
            let beside: Beside = Box::new(async { Ok(()) });
            Ok((response, beside))
        })
    }
}

async fn send(
    caller: &Caller,
    request: http::Request<WasiBody>,
    options: RequestOptions,
) -> Result<http::Response<WasiBody>, Error> {
    let exchange = Exchange::new(request.map(from_guest));
    let payload = Payload::Http(Box::new(exchange));
    let answer = caller.call(CONTRACT, OPERATION.to_owned(), payload);
    let answer = match patience(&options) {
        None => answer.await,
        Some(patience) => tokio::time::timeout(patience, answer)
            .await
            .map_err(|_| Error::ConnectionTimeout)?,
    };
    let response = answer.and_then(Reply::into_http).map_err(refused)?;
    Ok(response.map(|body| to_guest(body, options.between_bytes_timeout)))
}

/// Who connects is not known here: the two times are one until the head of the response is there.
fn patience(options: &RequestOptions) -> Option<Duration> {
    match (options.connect_timeout, options.first_byte_timeout) {
        (Some(connect), Some(first_byte)) => Some(connect.saturating_add(first_byte)),
        (one, other) => one.or(other),
    }
}

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
