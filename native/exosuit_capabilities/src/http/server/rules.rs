//! Answers that a route gives without its actor: CORS preflights, refused methods, headers for caches.
//!
//! A route without rules has none to check: `read` returns `None`.

use bytes::Bytes;
use exosuit_core::Error;
use http::header::{ALLOW, CACHE_CONTROL, HeaderMap, HeaderValue, ORIGIN};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;

use super::cors::Cors;
use super::refusal::Refusal;
use crate::settings::{Settings, invalid};

/// The setting that lets only GET and HEAD reach the actor.
const READ_ONLY: &str = "readonly_mode";
/// The setting with a value of `cache-control`.
const CACHE: &str = "cache_control";

/// The rules of a route that do not need its actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    cors: Option<Cors>,
    /// Only GET and HEAD reach the actor.
    is_read_only: bool,
    /// `cache-control` for answers that have none.
    cache: Option<HeaderValue>,
}

impl Rules {
    /// The rules of these settings; `None` if there are none, so that requests cost nothing extra.
    pub(crate) fn read(settings: &Settings) -> Result<Option<Box<Self>>, Error> {
        let rules = Self {
            cors: Cors::read(settings)?,
            is_read_only: settings.flag(READ_ONLY)?.unwrap_or(false),
            cache: cache(settings)?,
        };
        let is_nothing = rules.cors.is_none() && !rules.is_read_only && rules.cache.is_none();
        Ok((!is_nothing).then(|| Box::new(rules)))
    }

    /// The answer that needs no actor: to a preflight, or 405 on a read-only route. `None` if the
    /// actor answers.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
        if let Some(cors) = self.cors.as_ref().filter(|_| Cors::is_preflight(request)) {
            let mut answer = Response::new(Full::default());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            cors.preflight(request.headers().get(ORIGIN), answer.headers_mut());
            return Some(answer);
        }
        let method = request.method();
        if !self.is_read_only || *method == Method::GET || *method == Method::HEAD {
            return None;
        }
        let mut answer = Refusal::Request(StatusCode::METHOD_NOT_ALLOWED).response();
        let allowed = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(ALLOW, allowed);
        self.finish(request.headers().get(ORIGIN), answer.headers_mut());
        Some(answer)
    }

    /// Adds the headers of the route to an answer of the actor.
    pub(crate) fn finish(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        if let Some(cors) = &self.cors {
            cors.finish(origin, answer);
        }
        if let Some(cache) = self
            .cache
            .as_ref()
            .filter(|_| !answer.contains_key(CACHE_CONTROL))
        {
            answer.insert(CACHE_CONTROL, cache.clone());
        }
    }
}

/// The value for caches. Empty means none.
fn cache(settings: &Settings) -> Result<Option<HeaderValue>, Error> {
    let Some(text) = settings.text(CACHE).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let value = HeaderValue::from_str(text);
    let value = value.map_err(|_| invalid(CACHE, text, "a value such as max-age=20"))?;
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use exosuit_core::HTTP_SERVER;

    use super::*;

    fn read(key: &'static str, value: &str) -> Result<Option<Box<Rules>>, Error> {
        let mut settings = Settings::new(&HTTP_SERVER);
        settings.put(key, value);
        Rules::read(&settings)
    }

    #[test]
    fn what_is_not_asked_for_costs_nothing() {
        for (key, value) in [("address", "x"), (READ_ONLY, "false"), (CACHE, "")] {
            assert_eq!(read(key, value), Ok(None), "{key}");
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (key, bad) in [(READ_ONLY, "yes"), (READ_ONLY, ""), (CACHE, "a\nb")] {
            let error = read(key, bad).expect_err(bad);
            assert!(error.detail.contains(key), "{error}");
        }
    }
}
