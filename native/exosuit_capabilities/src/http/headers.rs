//! The length that a message declares, and the headers that a response may have.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

pub(crate) use exosuit_core::strip_hop_by_hop;

/// Removes the declared length. Returns it if it is one valid number: a second or odd
/// `content-length` could make two parties read two different messages.
pub(crate) fn take_length(headers: &mut HeaderMap) -> Option<u64> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = values.next().and_then(parse_length);
    let length = length.filter(|_| values.next().is_none());
    headers.remove(header::CONTENT_LENGTH);
    length
}

/// A number of digits only, as the RFC has it.
fn parse_length(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    // Rust reads `+1` as well.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// Whether a status may end a request. Interim answers and upgrades concern a connection, which a
/// guest does not see.
pub(crate) fn is_final(status: StatusCode) -> bool {
    (200..600).contains(&status.as_u16())
}

/// Whether a response to this method with this status has no body, whatever its headers say.
pub(crate) fn is_bodiless(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

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
