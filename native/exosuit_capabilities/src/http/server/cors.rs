//! CORS: which pages of other origins may read the answers of a route.
//!
//! | setting | empty list | not set, with another CORS setting |
//! |---|---|---|
//! | `cors_allowed_origins` | all origins | all origins |
//! | `cors_allowed_methods` | `*` | those of `DEFAULT_METHODS` |
//! | `cors_allowed_headers` | `*` | those of `DEFAULT_HEADERS` |
//!
//! With a list of origins, the answer repeats the origin of the request, and `vary: origin` tells
//! caches so. No header allows credentials.

use exosuit_core::Error;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{Method, Request, Uri};

use crate::settings::{Settings, invalid};

/// The origins whose pages may read answers.
const ORIGINS: &str = "cors_allowed_origins";
/// The methods that a page may use.
const METHODS: &str = "cors_allowed_methods";
/// The headers that a page may send.
const HEADERS: &str = "cors_allowed_headers";
/// The headers of an answer that a page may read.
const EXPOSED: &str = "cors_exposed_headers";
/// How long a browser may keep the answer to a preflight, in seconds.
const MAX_AGE: &str = "cors_max_age_secs";
/// Any of these makes the server answer preflights.
const KEYS: [&str; 5] = [ORIGINS, METHODS, HEADERS, EXPOSED, MAX_AGE];

/// The methods of 1.x, if another CORS setting is there and this one is not.
const DEFAULT_METHODS: &str = "GET, POST, PUT, DELETE, HEAD, OPTIONS";
/// The headers of 1.x, likewise.
const DEFAULT_HEADERS: &str = "accept, accept-language, content-type, content-language";

/// The permissions that a route gives to pages of other origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cors {
    /// The allowed origins. `None` allows all.
    origins: Option<Vec<HeaderValue>>,
    methods: HeaderValue,
    headers: HeaderValue,
    exposed: Option<HeaderValue>,
    max_age: HeaderValue,
}

impl Cors {
    /// The rules of these settings. `None` without a CORS key: the actor handles CORS itself.
    pub(crate) fn read(settings: &Settings) -> Result<Option<Self>, Error> {
        if KEYS.iter().all(|key| settings.text(key).is_none()) {
            return Ok(None);
        }
        let origins = list(
            settings,
            ORIGINS,
            "origins such as https://example.com",
            origin,
        )?;
        let methods = list(settings, METHODS, "methods such as GET", method)?;
        let name = "header names such as content-type";
        let headers = list(settings, HEADERS, name, header)?;
        let exposed = list(settings, EXPOSED, name, header)?;
        let max_age = settings.number(MAX_AGE)?;
        let is_any =
            |origins: &Vec<String>| origins.is_empty() || origins.iter().any(|it| it == "*");
        Ok(Some(Self {
            origins: match origins.filter(|origins| !is_any(origins)) {
                Some(origins) => Some(
                    origins
                        .iter()
                        .map(|origin| value(origin))
                        .collect::<Result<_, _>>()?,
                ),
                None => None,
            },
            methods: joined(methods, DEFAULT_METHODS)?,
            headers: joined(headers, DEFAULT_HEADERS)?,
            exposed: match exposed.filter(|exposed| !exposed.is_empty()) {
                Some(exposed) => Some(value(&exposed.join(", "))?),
                None => None,
            },
            max_age: max_age.into(),
        }))
    }

    /// Whether a request is a preflight: it only asks whether the next one is allowed.
    pub(crate) fn is_preflight<B>(request: &Request<B>) -> bool {
        let headers = request.headers();
        *request.method() == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Answers a preflight.
    pub(crate) fn preflight(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        self.allow(origin, answer);
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
        answer.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        for name in [
            ACCESS_CONTROL_REQUEST_METHOD,
            ACCESS_CONTROL_REQUEST_HEADERS,
        ] {
            answer.append(VARY, name.into());
        }
    }

    /// Sets the headers that let a page of this origin read an answer. They replace those of the actor.
    pub(crate) fn finish(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        answer.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
        self.allow(origin, answer);
        if let Some(exposed) = &self.exposed {
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }

    /// Sets the header that lets an origin read the answer, if it may.
    fn allow(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        let Some(origins) = &self.origins else {
            let any = HeaderValue::from_static("*");
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, any);
            return;
        };
        answer.append(VARY, ORIGIN.into());
        if let Some(origin) = origin.filter(|origin| origins.contains(origin)) {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }
}

/// A list in JSON, as hosts of 1.x write it, or separated by commas.
fn list(
    settings: &Settings,
    key: &'static str,
    expected: &str,
    parse: fn(&str) -> Option<String>,
) -> Result<Option<Vec<String>>, Error> {
    let Some(text) = settings.text(key) else {
        return Ok(None);
    };
    let bad = || {
        invalid(
            key,
            text,
            &format!("a list of {expected}, in JSON or with commas"),
        )
    };
    let items: Vec<String> = if text.starts_with('[') {
        serde_json::from_str(text).map_err(|_| bad())?
    } else {
        let items = text.split(',').map(str::trim);
        items
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let parsed: Option<Vec<String>> = items.iter().map(|item| parse(item)).collect();
    parsed.map(Some).ok_or_else(bad)
}

/// An origin as browsers write it: in lower case, and without a slash at its end.
fn origin(text: &str) -> Option<String> {
    if text == "*" || text == "null" {
        return Some(text.to_owned());
    }
    let uri: Uri = text.parse().ok()?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_bare = uri.path() == "/" && uri.query().is_none();
    let authority = uri
        .authority()
        .filter(|authority| !authority.as_str().contains('@'))?;
    let scheme = uri.scheme_str().filter(|_| is_web && is_bare)?;
    Some(format!("{scheme}://{authority}").to_ascii_lowercase())
}

/// A method as it is written in a header.
fn method(text: &str) -> Option<String> {
    let method: Method = text.parse().ok()?;
    Some(method.as_str().to_owned())
}

/// A header's name in lower case.
fn header(text: &str) -> Option<String> {
    let name: HeaderName = text.parse().ok()?;
    Some(name.as_str().to_owned())
}

/// The value of a header that lists items.
fn joined(items: Option<Vec<String>>, default: &'static str) -> Result<HeaderValue, Error> {
    match items {
        None => Ok(HeaderValue::from_static(default)),
        // As with hosts of 1.x: an empty list asks for nothing special.
        Some(items) if items.is_empty() => Ok(HeaderValue::from_static("*")),
        Some(items) => value(&items.join(", ")),
    }
}

/// A value that a header may have.
fn value(text: &str) -> Result<HeaderValue, Error> {
    let value = HeaderValue::from_str(text);
    value.map_err(|_| invalid(ORIGINS, text, "text that a header may hold"))
}

#[cfg(test)]
mod tests {
    use exosuit_core::HTTP_SERVER;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<Cors>, Error> {
        let mut settings = Settings::new(&HTTP_SERVER);
        for (key, value) in pairs {
            settings.put(key, value);
        }
        Cors::read(&settings)
    }

    /// The origin that the answer allows, for a page of this origin.
    fn allowed(pairs: &[(&str, &str)], origin: &'static str) -> Option<String> {
        let cors = read(pairs).expect("good settings").expect("CORS");
        let mut answer = HeaderMap::new();
        cors.finish(Some(&HeaderValue::from_static(origin)), &mut answer);
        let allowed = answer.get(ACCESS_CONTROL_ALLOW_ORIGIN)?;
        Some(allowed.to_str().expect("text").to_owned())
    }

    #[test]
    fn nothing_is_said_unless_it_is_asked_for() {
        assert_eq!(read(&[("address", "127.0.0.1:80")]), Ok(None));
    }

    #[test]
    fn origins_are_compared_as_browsers_write_them() {
        let page = "https://a.example:8443";
        for (origins, expected) in [
            ("[]", Some("*")),
            ("*", Some("*")),
            (r#"["https://A.example:8443/"]"#, Some(page)),
            ("https://b.example, https://a.example:8443", Some(page)),
            (r#"["http://a.example:8443"]"#, None),
            ("https://a.example", None),
        ] {
            let found = allowed(&[(ORIGINS, origins)], page);
            assert_eq!(found.as_deref(), expected, "{origins}");
        }
        assert_eq!(allowed(&[(MAX_AGE, "1")], page).as_deref(), Some("*"));
    }

    #[test]
    fn what_is_no_list_is_refused_by_name() {
        for (key, bad) in [
            (ORIGINS, "a.example"),
            (ORIGINS, "ftp://a.example"),
            (ORIGINS, "https://a.example/path"),
            (ORIGINS, "https://u@a.example"),
            (ORIGINS, "[1]"),
            (ORIGINS, "[\"https://a.example\""),
            (METHODS, "GET POST"),
            (HEADERS, "a header"),
            (EXPOSED, "a:b"),
            (MAX_AGE, "-1"),
            (MAX_AGE, "86401"),
        ] {
            let error = read(&[(key, bad)]).expect_err(bad);
            let start = format!("setting {key} is ");
            assert!(error.detail.starts_with(&start), "{bad}: {error}");
        }
    }
}
