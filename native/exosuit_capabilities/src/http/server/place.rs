//! The place of a route on its address: the host of a request, or the value of another header, and the path.
//!
//! | `routing_mode` | required | refused |
//! |---|---|---|
//! | `address`, the default | | |
//! | `path` | `path` | `host` |
//! | `host` | `host` | `path` |
//!
//! The last two are for manifests of other hosts, which know only one of the two. With `header`,
//! the setting `host` is the value that the header must have.

use std::fmt;

use exosuit_core::Error;
use http::header::{HOST, HeaderMap, HeaderName};
use http::uri::Authority;
use http::{Request, Version};

use crate::http::host::known_as;
use crate::settings::{Settings, invalid};

/// The longest path of a route. The prefixes of a request's path are looked up one by one up to this length.
const MAX_PATH: usize = 256;

/// The place of a route on its address. Two routes of one address must have different places.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RoutePlace {
    /// The header whose value is compared; `None` for the request's host.
    header: Option<HeaderName>,
    /// The value to compare. A host is in lower case and without port. Empty for any.
    host: Box<str>,
    /// The path, without a slash at its end. Empty for all paths.
    path: Box<str>,
}

impl RoutePlace {
    /// Reads the place from the settings of a link.
    ///
    /// # Errors
    ///
    /// `invalid_link`, with the setting and what is expected.
    pub(crate) fn read(settings: &Settings) -> Result<Self, Error> {
        let (host, path) = (settings.text("host"), settings.text("path"));
        match settings.text("routing_mode").unwrap_or("address") {
            "address" => {}
            "path" => require("path", path, ("host", host))?,
            "host" => require("host", host, ("path", path))?,
            other => return Err(invalid("routing_mode", other, "address, path or host")),
        }
        let header = read_header(settings)?;
        let host = match (&header, host) {
            (Some(_), Some(value)) if !value.is_empty() => value.into(),
            (Some(header), _) => {
                let expected = "a setting host beside it, the value that the header is to have";
                return Err(invalid("header", header.as_str(), expected));
            }
            (None, host) => host.map_or(Ok(Box::default()), read_host)?,
        };
        Ok(Self {
            header,
            host,
            path: path.map_or(Ok(Box::default()), read_path)?,
        })
    }

    /// The host in lower case, or the value of the header. Empty for any host.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The header that is compared in place of the host, if it is another one than `host`.
    pub(crate) fn header(&self) -> Option<&HeaderName> {
        self.header.as_ref()
    }

    /// The path without a slash at its end. Empty for all paths.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

/// ` for host a.example at path /b`; empty for any host and path.
impl fmt::Display for RoutePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.header {
            Some(header) => write!(f, " for {header}: {}", self.host)?,
            None if !self.host.is_empty() => write!(f, " for host {}", self.host)?,
            None => {}
        }
        if !self.path.is_empty() {
            write!(f, " at path {}", self.path)?;
        }
        Ok(())
    }
}

/// Checks that a mode has its own setting, and not the other's.
fn require(mode: &str, found: Option<&str>, other: (&str, Option<&str>)) -> Result<(), Error> {
    if found.is_none() {
        let expected = format!("a setting {mode} beside it, by which requests find the actor");
        return Err(invalid("routing_mode", mode, &expected));
    }
    match other {
        (key, Some(text)) => {
            let expected = format!("none where routing_mode is {mode}");
            Err(invalid(key, text, &expected))
        }
        _ => Ok(()),
    }
}

/// The header to compare. `host` itself means the usual way.
fn read_header(settings: &Settings) -> Result<Option<HeaderName>, Error> {
    let Some(text) = settings.text("header") else {
        return Ok(None);
    };
    let name = text.parse::<HeaderName>();
    let name = name.map_err(|_| invalid("header", text, "a header's name, such as x-tenant"))?;
    Ok(Some(name).filter(|name| *name != HOST))
}

/// The value of a header. None if the header occurs several times: a proxy in front might decide by the first
/// one and this server by the last.
pub(crate) fn value_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// A host name without port and user.
fn read_host(text: &str) -> Result<Box<str>, Error> {
    let authority = text.parse::<Authority>().ok();
    let whole = authority.filter(|authority| authority.host() == text && !text.contains('@'));
    match whole {
        Some(_) => Ok(known_as(text).into()),
        None => Err(invalid(
            "host",
            text,
            "a host name without port, such as api.example.com",
        )),
    }
}

/// A path of visible ASCII, without query and fragment.
fn read_path(text: &str) -> Result<Box<str>, Error> {
    let good = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
    if text.starts_with('/') && text.len() <= MAX_PATH && text.bytes().all(good) {
        return Ok(text.trim_end_matches('/').into());
    }
    let expected = format!("a path of at most {MAX_PATH} characters, such as /api");
    Err(invalid("path", text, &expected))
}

/// The host of a request, without port: that of its target, or else of its header `Host`.
///
/// None, so that the request is refused, if it names
/// - several hosts; in HTTP/2 also by target and header (RFC 9113, 8.3.1),
/// - none, although its version requires one (RFC 9112, 3.2),
/// - a user: this server would take the part before the `@` for the host, and the actor the part behind it.
pub(crate) fn host_of<B>(request: &Request<B>) -> Option<&str> {
    let mut told = request.headers().get_all(HOST).iter();
    let first = told.next();
    if told.next().is_some() {
        return None;
    }
    let authority = match (request.uri().authority(), first) {
        (Some(authority), Some(host)) if request.version() == Version::HTTP_2 => {
            let is_same = host
                .as_bytes()
                .eq_ignore_ascii_case(authority.as_str().as_bytes());
            is_same.then_some(authority.as_str())?
        }
        (Some(authority), _) => authority.as_str(),
        (None, Some(value)) => value.to_str().ok()?,
        (None, None) if request.version() >= Version::HTTP_11 => return None,
        (None, None) => "",
    };
    if authority.contains('@') {
        return None;
    }
    let end = match authority.strip_prefix('[') {
        Some(inner) => inner.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    Some(&authority[..end])
}

#[cfg(test)]
mod tests {
    use exosuit_core::HTTP_SERVER;

    use super::*;

    fn place(pairs: &[(&str, &str)]) -> Result<RoutePlace, Error> {
        let mut settings = Settings::new(&HTTP_SERVER);
        for (key, value) in pairs {
            settings.put(key, value);
        }
        RoutePlace::read(&settings)
    }

    #[test]
    fn a_place_is_written_in_one_way() {
        for (pairs, expected) in [
            (&[][..], ""),
            (&[("path", "/")], ""),
            (&[("path", "/api/")], " at path /api"),
            (&[("host", "API.example.com.")], " for host api.example.com"),
            (&[("host", "[::1]")], " for host [::1]"),
            (&[("host", "a"), ("path", "/b")], " for host a at path /b"),
            (&[("routing_mode", "path"), ("path", "/b")], " at path /b"),
            (&[("routing_mode", "host"), ("host", "a")], " for host a"),
            (&[("header", "Host"), ("host", "A")], " for host a"),
            (&[("header", "X-Who"), ("host", "A b")], " for x-who: A b"),
        ] {
            let found = place(pairs).map(|place| place.to_string());
            assert_eq!(found.as_deref(), Ok(expected), "{pairs:?}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_by_name() {
        for (pairs, named) in [
            (&[("path", "api")][..], "path"),
            (&[("path", "")], "path"),
            (&[("path", "/a?b")], "path"),
            (&[("path", "/a b")], "path"),
            (&[("host", "a:80")], "host"),
            (&[("host", "a@b")], "host"),
            (&[("host", "")], "host"),
            (&[("host", "a/b")], "host"),
            (&[("header", "x who"), ("host", "a")], "header"),
            (&[("header", "x-who")], "header"),
            (&[("routing_mode", "port")], "routing_mode"),
            (&[("routing_mode", "path")], "routing_mode"),
            (&[("routing_mode", "host"), ("path", "/b")], "routing_mode"),
            (
                &[("routing_mode", "path"), ("path", "/b"), ("host", "a")],
                "host",
            ),
            (
                &[("routing_mode", "host"), ("path", "/b"), ("host", "a")],
                "path",
            ),
        ] {
            let error = place(pairs).expect_err("no place");
            let start = format!("setting {named} is ");
            assert!(error.detail.starts_with(&start), "{pairs:?}: {error}");
        }
        assert!(place(&[("path", &format!("/{}", "a".repeat(MAX_PATH)))]).is_err());
    }

    #[test]
    fn the_host_of_a_request_is_that_of_its_target_or_of_its_header() {
        for (uri, hosts, expected) in [
            ("/", &["a.example:80"][..], Some("a.example")),
            ("/", &["[::1]:80"], Some("[::1]")),
            ("/", &["[::1"], None),
            ("/", &[], None),
            ("/", &["a", "a"], None),
            ("/", &["a:80@b"], None),
            ("http://a@b/", &["b"], None),
            ("http://b:1/", &["a"], Some("b")),
        ] {
            let mut request = Request::builder().uri(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let request = request.body(()).expect("a request");
            assert_eq!(host_of(&request), expected, "{uri} {hosts:?}");
        }
        for (host, expected) in [("b:1", Some("b")), ("B:1", Some("b")), ("a", None)] {
            let request = Request::builder()
                .version(Version::HTTP_2)
                .uri("http://b:1/");
            let request = request.header(HOST, host).body(()).expect("a request");
            assert_eq!(host_of(&request), expected, "{host}");
        }
        let old = Request::builder().version(Version::HTTP_10).body(());
        assert_eq!(host_of(&old.expect("a request")), Some(""));
    }
}
