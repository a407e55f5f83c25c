//! The status of each failure.

use bytes::Bytes;
use exosuit_core::Code;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;

/// The reason why a request is not answered by its actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request itself is at fault.
    Request(StatusCode),
    /// The budget of buffers or of HTTP/2 requests is used up: 503.
    Full,
    /// The call failed.
    Call(Code),
}

impl Refusal {
    /// The status for the client.
    fn status(self) -> StatusCode {
        match self {
            Self::Request(status) => status,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::Call(code) => status(code),
        }
    }

    /// The response: a status without a body. Details stay in the log, since strangers read this.
    pub(crate) fn response(self) -> Response<Full<Bytes>> {
        let status = self.status();
        let reason = status.canonical_reason().unwrap_or("Error");
        let mut response = Response::new(Full::from(format!("{reason}\n")));
        *response.status_mut() = status;

        let headers = response.headers_mut();
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, text);
        // A 404 may be kept by caches unless they are told not to; none of these lasts.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The status of a failed call: 503 if trying again may help, 504 after its deadline, 404 if there is no such
/// target, and 502 if the actor is at fault or may not be called.
fn status(code: Code) -> StatusCode {
    match code {
        Code::Unavailable | Code::Overloaded | Code::Dropped | Code::ExpiredClaims => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Code::Deadline => StatusCode::GATEWAY_TIMEOUT,
        Code::UnknownTarget => StatusCode::NOT_FOUND,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_GATEWAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_status() {
        for code in Code::ALL {
            let expected = match code.as_str() {
                "unavailable" | "overloaded" | "dropped" | "expired_claims" => 503,
                "deadline" => 504,
                "unknown_target" => 404,
                "internal" => 500,
                _ => 502,
            };
            let response = Refusal::Call(*code).response();
            assert_eq!(response.status().as_u16(), expected, "{code}");
            let told_when = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(told_when, expected == 503, "{code}");
        }
    }
}
