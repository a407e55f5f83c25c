//! A request answered by its endpoint: with whole bodies, or with bodies that stream.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Full};
use hyper::body::Incoming;

use super::endpoint::{Endpoint, RequestContext};
use super::settings::Form;
use super::streamed::{self, Streamed};
use super::whole;

/// Answers a request, in any case: a failure is a response, too. Runs in the task of the connection, and ends with
/// it if the client goes away.
pub(crate) async fn answer(
    endpoint: &Endpoint,
    request: Request<Incoming>,
    context: RequestContext<'_>,
) -> Response<Either<Full<Bytes>, Streamed>> {
    let answer = match endpoint.form {
        Form::Whole => {
            let answer = whole::exchange(endpoint, request, context).await;
            answer.map(|answer| answer.map(Either::Left))
        }
        Form::Streamed => {
            let answer = streamed::exchange(endpoint, request, context).await;
            answer.map(|answer| answer.map(Either::Right))
        }
    };
    answer.unwrap_or_else(|refusal| refusal.response().map(Either::Left))
}
