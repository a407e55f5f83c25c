//! What one end of a connection says to the other alone, and what a response may say at all.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

/// Takes away what is said from hop to hop, which is for the ends of each connection to say.
/// `trailer` stays: it announces what is part of the message.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let always = [
        header::CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("http2-settings"),
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    for name in named.iter().chain(&always) {
        headers.remove(name);
    }
}

/// Takes away the length that a message claims, and gives it if it is a number, once.
pub(crate) fn take_length(headers: &mut HeaderMap) -> Option<u64> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = values.next().and_then(parse_length);
    let length = length.filter(|_| values.next().is_none());
    headers.remove(header::CONTENT_LENGTH);
    length
}

fn parse_length(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    // Rust reads `+1` as well.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// Whether a response may have this status: interim answers and upgrades are the ends' own business.
pub(crate) fn is_final(status: StatusCode) -> bool {
    (200..600).contains(&status.as_u16())
}

/// Whether a response of this status to this method has no body, whatever it says.
pub(crate) fn is_bodiless(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let parse = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(parse) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn what_is_named_by_connection_goes_as_well() {
        let mut found = headers(&[
            ("connection", "close, X-Hop"),
            ("connection", "x-other"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("te", "trailers"),
            ("x-kept", "1"),
        ]);
        strip_hop_by_hop(&mut found);
        assert_eq!(found, headers(&[("x-kept", "1")]));
    }

    #[test]
    fn a_length_counts_if_it_is_one_number() {
        for (values, expected) in [
            (&[("content-length", "7")][..], Some(7)),
            (&[], None),
            (&[("content-length", "+7")], None),
            (&[("content-length", "")], None),
            (&[("content-length", "7, 7")], None),
            (&[("content-length", "7"), ("content-length", "8")], None),
            (&[("content-length", "99999999999999999999")], None),
        ] {
            let mut headers = headers(values);
            assert_eq!(take_length(&mut headers), expected, "{values:?}");
            assert!(headers.is_empty());
        }
    }
}
