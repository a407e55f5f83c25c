//! The head of a request, in the form that actors receive: with scheme and host, as HTTP/1.1 would write it.

use std::net::SocketAddr;

use http::header::{COOKIE, HOST, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{Request, Uri};

/// How a request arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) bound: SocketAddr,
    /// Whether the connection uses TLS.
    pub(crate) is_secure: bool,
}

/// Makes the target of a request absolute, since guests get scheme and authority. None if its host is not
/// valid, or its scheme is not `http` or `https`.
///
/// A request without a host, as HTTP/1.0 allows, gets the address that it came to.
pub(crate) fn absolute(head: &mut Parts, arrival: Arrival) -> Option<()> {
    let mut uri = std::mem::take(&mut head.uri).into_parts();
    let authority = match (uri.authority.take(), head.headers.get(HOST)) {
        (Some(authority), _) => authority,
        (None, Some(host)) if !host.is_empty() => Authority::try_from(host.as_bytes()).ok()?,
        _ => arrival.bound.to_string().parse().ok()?,
    };
    let host = HeaderValue::from_str(authority.as_str()).ok()?;
    head.headers.insert(HOST, host);
    uri.authority = Some(authority);
    uri.scheme = Some(match uri.scheme.take() {
        // A proxy in front of this server may terminate TLS, and says so by the scheme.
        Some(told) if told == Scheme::HTTP || told == Scheme::HTTPS => told,
        Some(_) => return None,
        None if arrival.is_secure => Scheme::HTTPS,
        None => Scheme::HTTP,
    });
    head.uri = Uri::from_parts(uri).ok()?;
    Some(())
}

/// Rewrites a request of HTTP/2 as HTTP/1.1 has it, because actors expect that: a header `Host`, and all
/// cookies in one header (RFC 9113, 8.2.3 and 8.3.1).
pub(crate) fn as_http1<B>(request: &mut Request<B>) {
    let authority = request.uri().authority();
    let host = authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    let headers = request.headers_mut();
    if let Some(host) = host.filter(|_| !headers.contains_key(HOST)) {
        headers.insert(HOST, host);
    }
    join_cookies(headers);
}

/// Joins several cookie headers to one. HTTP/2 clients split them for compression.
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs = headers.get_all(COOKIE);
    if crumbs.iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = crumbs.iter().map(HeaderValue::as_bytes).collect();
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use http::Version;

    use super::*;

    fn asked(uri: &str, host: Option<&str>, is_secure: bool) -> Option<String> {
        let mut request = Request::builder().uri(uri);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let (mut head, ()) = request.body(()).expect("a request").into_parts();
        let bound = "127.0.0.1:80".parse().expect("an address");
        absolute(&mut head, Arrival { bound, is_secure })?;
        let host = head.headers.get(HOST)?.to_str().ok()?;
        Some(format!("{} {host}", head.uri))
    }

    #[test]
    fn a_request_says_whom_it_asks_and_how() {
        for (uri, host, is_secure, expected) in [
            ("/a", Some("h"), false, Some("http://h/a h")),
            ("/a", Some("h"), true, Some("https://h/a h")),
            (
                "/a",
                None,
                false,
                Some("http://127.0.0.1:80/a 127.0.0.1:80"),
            ),
            ("https://foo/a", Some("h"), false, Some("https://foo/a foo")),
            ("http://foo/a", Some("h"), true, Some("http://foo/a foo")),
            ("ftp://foo/a", Some("h"), false, None),
            ("/a", Some("a b"), false, None),
        ] {
            let found = asked(uri, host, is_secure);
            assert_eq!(found.as_deref(), expected, "{uri} {host:?} {is_secure}");
        }
    }

    #[test]
    fn a_request_of_http2_is_said_in_the_way_of_http1() {
        let mut request = Request::builder()
            .version(Version::HTTP_2)
            .uri("https://foo:8/a")
            .header(COOKIE, "a=1")
            .header(COOKIE, "b=2")
            .body(())
            .expect("a request");
        as_http1(&mut request);
        let headers = request.headers();
        assert_eq!(
            headers.get(HOST).map(HeaderValue::as_bytes),
            Some(&b"foo:8"[..])
        );
        let cookies: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2"]);
    }
}
