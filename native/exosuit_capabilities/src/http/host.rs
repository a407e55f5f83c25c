//! The names of hosts, as requests and settings write them.

use std::borrow::Cow;

/// A host in the form in which two names of one host are equal: in lower case, without the dot of
/// the root. Allocates only if it changes something.
pub(crate) fn known_as(host: &str) -> Cow<'_, str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    }
}
