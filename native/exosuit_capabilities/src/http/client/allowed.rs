//! The list `allowed_hosts`, and the target of a request.
//!
//! # How a request is decided
//!
//! 1. Entries whose port does not fit are left out.
//! 2. If one of the others names the host itself, the request may reach any address.
//! 3. If one allows the host by `*`, `*.domain` or a range, it may reach public addresses, and
//!    special ones in any range of the entries that fit.
//! 4. Otherwise the request is denied.
//!
//! The decision is repeated for each request, so a change of the link takes effect at once. It
//! costs one comparison per entry.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use exosuit_core::{Code, Error};
use http::Uri;
use http::uri::Scheme;

use super::reach::{Range, Reach};
use crate::http::host::known_as;
use crate::settings::invalid;

/// The setting that holds the list.
pub(crate) const KEY: &str = "allowed_hosts";

/// The largest number of entries. Each request compares them one by one.
const MAX_ENTRIES: usize = 1_024;

/// The list of a link. An empty list allows nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Allowed(Vec<Pattern>);

/// One entry: hosts and ports.
#[derive(Debug, PartialEq, Eq)]
struct Pattern {
    host: Host,
    port: Port,
}

/// The hosts of an entry.
#[derive(Debug, PartialEq, Eq)]
enum Host {
    Any,
    /// Hosts that end with this text, which begins with a dot.
    Under(Box<str>),
    /// One host. It also allows special addresses.
    Named(Box<str>),
    /// Targets that are addresses in this range. It also allows names that resolve into it, if
    /// another entry allows the name.
    Within(Range),
}

/// The ports of an entry.
#[derive(Debug, PartialEq, Eq)]
enum Port {
    Any,
    /// 80 of `http`, 443 of `https`.
    OfScheme,
    Only(u16),
}

/// The target of a request: a host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    host: Box<str>,
    port: u16,
    /// Whether the port is that of the scheme.
    of_scheme: bool,
    /// The address, if the host is one.
    address: Option<IpAddr>,
}

impl Allowed {
    /// Parses a list that is separated by commas or spaces.
    ///
    /// # Errors
    ///
    /// `invalid_link`, with the list and the allowed forms.
    pub(crate) fn read(text: &str) -> Result<Self, Error> {
        let entries = text.split(|c: char| c == ',' || c.is_whitespace());
        let entries = entries.filter(|entry| !entry.is_empty());
        let patterns: Option<Vec<_>> = entries.take(MAX_ENTRIES + 1).map(Pattern::read).collect();
        match patterns {
            Some(patterns) if patterns.len() <= MAX_ENTRIES => Ok(Self(patterns)),
            _ => Err(invalid(
                KEY,
                text,
                "at most 1024 of HOST, HOST:PORT, HOST:*, *.DOMAIN, *, 10.0.0.0/8 and [fd00::/8], \
                 without scheme and path",
            )),
        }
    }

    /// Whether it allows nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The addresses that a request to this target may reach. `None` if no entry allows the target.
    ///
    /// All ranges that fit the port count, also if another entry allows the host: the name may
    /// resolve into one of them.
    pub(crate) fn reach(&self, target: &Target) -> Option<Reach> {
        let fitting = || self.0.iter().filter(|pattern| pattern.fits_port(target));
        let is_named = |it: &Pattern| matches!(&it.host, Host::Named(name) if *name == target.host);
        if fitting().any(is_named) {
            return Some(Reach::All);
        }
        let ranges = fitting().filter_map(|pattern| match pattern.host {
            Host::Within(range) => Some(range),
            _ => None,
        });
        let reach = Reach::Public(ranges.collect());
        fitting().any(|it| it.fits_host(target)).then_some(reach)
    }
}

impl Pattern {
    /// Parses an entry.
    fn read(entry: &str) -> Option<Self> {
        if entry == "*" {
            let (host, port) = (Host::Any, Port::Any);
            return Some(Self { host, port });
        }
        let (host, port) = split_port(entry);
        let port = match port {
            None => Port::OfScheme,
            Some("*") => Port::Any,
            Some(port) => Port::Only(port.parse().ok()?),
        };
        let host = match host.strip_prefix('*') {
            None if host.contains('/') => Host::Within(range(host)?),
            Some("") => Host::Any,
            Some(domain) => Host::Under(format!(".{}", name(domain.strip_prefix('.')?)?).into()),
            None => Host::Named(name(host)?),
        };
        Some(Self { host, port })
    }

    /// Whether the entry has the host.
    fn fits_host(&self, target: &Target) -> bool {
        match &self.host {
            Host::Any => true,
            Host::Under(domain) => target.host.ends_with(&**domain),
            Host::Named(name) => *name == target.host,
            Host::Within(range) => target.address.is_some_and(|address| range.holds(address)),
        }
    }

    /// Whether the entry has the port.
    fn fits_port(&self, target: &Target) -> bool {
        match self.port {
            Port::Any => true,
            Port::OfScheme => target.of_scheme,
            Port::Only(port) => port == target.port,
        }
    }
}

impl Target {
    /// The target of a request.
    ///
    /// # Errors
    ///
    /// `invalid_input` for another scheme than `http` and `https`, a user, or a bad host or port.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Error> {
        let scheme = uri.scheme();
        let default = match scheme {
            Some(scheme) if *scheme == Scheme::HTTP => 80,
            Some(scheme) if *scheme == Scheme::HTTPS => 443,
            _ => return Err(refused("its scheme is not http or https")),
        };
        let authority = uri.authority();
        let authority = authority.filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(|| refused("it names no host, or a user"))?;
        // The parser ignores an invalid port, so the text is checked again.
        let (_, written) = split_port(authority.as_str());
        let port = match written {
            None => default,
            Some(port) => port
                .parse()
                .map_err(|_| refused("its port must be a number from 0 to 65535, or *"))?,
        };
        let host = name(authority.host())
            .ok_or_else(|| refused("its host must be a name or an address"))?;
        Ok(Self {
            address: host.trim_matches(['[', ']']).parse().ok(),
            host,
            port,
            of_scheme: port == default,
        })
    }

    /// The address that it names, if it names one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The header `host`: with the port, unless it is that of the scheme.
    pub(crate) fn as_host(&self) -> Cow<'_, str> {
        if self.of_scheme {
            (&*self.host).into()
        } else {
            self.to_string().into()
        }
    }
}

/// `api.example.com:443`, as the list would name it.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A request whose target cannot be parsed.
fn refused(why: &str) -> Error {
    let detail =
        format!("the request cannot be sent: {why}; expected http://HOST/… or https://HOST/…");
    Error::new(Code::InvalidInput, detail)
}

/// A range: `10.0.0.0/8`, or `[fd00::/8]` with brackets.
fn range(text: &str) -> Option<Range> {
    match text.strip_prefix('[') {
        Some(inner) => Range::read(inner.strip_suffix(']')?),
        None => Range::read(text),
    }
}

/// The host and the text of the port. A colon inside of brackets belongs to the address.
fn split_port(text: &str) -> (&str, Option<&str>) {
    let end = text.rfind(']').map_or(0, |end| end + 1);
    match text[end..].rfind(':') {
        Some(at) => (&text[..end + at], Some(&text[end + at + 1..])),
        None => (text, None),
    }
}

/// A host in the form in which two are equal. `None` for a text that is no host.
fn name(text: &str) -> Option<Box<str>> {
    if let Some(inner) = text.strip_prefix('[') {
        let address: std::net::Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]").into());
    }
    if let Ok(IpAddr::V4(address)) = text.parse() {
        return Some(address.to_string().into());
    }
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let name = known_as(text);
    let whole = !name.is_empty() && name.len() <= 255 && name.bytes().all(good);
    whole.then(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Target {
        Target::of(&uri.parse().expect("a URI")).expect(uri)
    }

    #[test]
    fn a_list_allows_what_it_names_and_nothing_else() {
        for (list, allowed, denied) in [
            ("", &[][..], &["http://a.example/"][..]),
            (
                "a.example",
                &[
                    "http://a.example/",
                    "https://A.Example./x",
                    "https://a.example:443/",
                ],
                &[
                    "http://a.example:443/",
                    "http://a.example:8080/",
                    "http://b.a.example/",
                    "http://a.example.org/",
                    "http://xa.example/",
                ],
            ),
            (
                "a.example:8080, *.b.example\n[::1]:* 127.0.0.1:80",
                &[
                    "http://a.example:8080/",
                    "https://x.y.b.example/",
                    "http://[::1]:7/",
                    "http://[0:0:0:0:0:0:0:1]:7/",
                    "http://127.0.0.1/",
                ],
                &[
                    "http://a.example/",
                    "http://b.example/",
                    "http://xb.example/",
                    "http://x.b.example:81/",
                    "http://[::2]/",
                    "https://127.0.0.1/",
                    "http://127.1/",
                ],
            ),
            ("*:443", &["https://any.example/"], &["http://any.example/"]),
            (
                "*.example:*",
                &["http://a.example:1/"],
                &["http://example:1/"],
            ),
            ("*", &["http://any.example:9/", "http://localhost/"], &[]),
        ] {
            let list = Allowed::read(list).expect(list);
            for uri in allowed {
                assert!(list.reach(&target(uri)).is_some(), "{list:?} denies {uri}");
            }
            for uri in denied {
                assert!(list.reach(&target(uri)).is_none(), "{list:?} allows {uri}");
            }
        }
    }

    #[test]
    fn special_addresses_are_within_reach_where_the_host_or_a_range_is_named() {
        for (list, uri, address, is_reached) in [
            ("*", "http://a.example/", "1.1.1.1", true),
            ("*", "http://a.example/", "127.0.0.1", false),
            ("*", "http://127.0.0.1/", "127.0.0.1", false),
            ("*.example", "http://a.example/", "10.0.0.1", false),
            ("a.example", "http://a.example/", "10.0.0.1", true),
            ("* a.example:8080", "http://a.example/", "10.0.0.1", false),
            ("* 10.0.0.0/8", "http://a.example/", "10.0.0.1", true),
            ("* 10.0.0.0/8", "http://a.example/", "192.168.0.1", false),
            ("* 10.0.0.0/8:81", "http://a.example/", "10.0.0.1", false),
            ("* [fd00::/8]:*", "http://a.example:9/", "fd00::1", true),
            ("127.0.0.0/8:*", "http://127.0.0.1:9/", "127.0.0.1", true),
        ] {
            let allowed = Allowed::read(list).expect(list);
            let reach = allowed.reach(&target(uri)).expect(list);
            let found = reach.allows(address.parse().expect("an address"));
            assert_eq!(found, is_reached, "{list} {uri} {address}");
        }
        let ranges = Allowed::read("10.0.0.0/8").expect("a range");
        assert_eq!(ranges.reach(&target("http://a.example/")), None);
    }

    #[test]
    fn what_names_no_host_is_refused() {
        for bad in [
            "https://a.example",
            "a.example/x",
            "a*.example",
            "*a.example",
            "*.",
            "*.*.example",
            "a.example:http",
            "a.example:70000",
            "a.example:",
            "[::1",
            "::1",
            "user@a.example",
            "10.0.0.0/33",
            "fd00::/8",
            "a.example/8",
        ] {
            let error = Allowed::read(bad).expect_err(bad);
            assert_eq!(error.code, Code::InvalidLink);
            assert!(error.detail.contains(KEY), "{error}");
        }
        assert!(Allowed::read(&"a ".repeat(MAX_ENTRIES + 1)).is_err());
    }

    #[test]
    fn a_request_that_names_no_target_is_refused() {
        for bad in [
            "/",
            "a.example:80",
            "ftp://a.example/",
            "http://user@a.example/",
            "http://a.example:/",
        ] {
            let found = Target::of(&bad.parse().expect("a URI"));
            assert_eq!(found.expect_err(bad).code, Code::InvalidInput);
        }
    }
}
