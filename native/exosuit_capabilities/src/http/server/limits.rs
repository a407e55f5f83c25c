//! The limits of an address. All routes of the address share them.
//!
//! | limit | setting | default of one client |
//! |---|---|---|
//! | connections | `max_connections` | half of them, but at least 64 |
//! | HTTP/2 requests | 4 for each connection | half of them, but at least `max_streams` |
//! | bytes of bodies | `max_buffered_bytes` | half of them, but at least the largest body |
//!
//! Several links may ask for limits of one address. They must agree, because a connection begins
//! before it names its route.
//!
//! The constants below are the names of the settings in the table of `HTTP_SERVER`, which has their
//! bounds and defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use exosuit_core::{Error, HTTP_SERVER, Kind, Scope, Setting};

use super::pace::Tempo;
use crate::settings::{Settings, invalid};

/// The limits that an address holds its clients to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddressLimits {
    /// The time for the TLS handshake, for the header of a request, and between requests.
    pub(crate) header_timeout: Duration,
    /// The time for a whole body, and for a client that has stopped reading its answer.
    pub(crate) body_timeout: Duration,
    /// The time for the first byte of a body.
    first_byte_timeout: Duration,
    /// The bytes per second that a client must send or read while the server waits for it.
    min_rate: u64,
    /// The size of a request's header.
    pub(crate) max_header_bytes: usize,
    /// The bytes of all buffered bodies, of requests and answers.
    pub(crate) max_buffered_bytes: u64,
    /// The same for one client.
    pub(crate) max_peer_buffered_bytes: u64,
    /// The connections at a time.
    pub(crate) max_connections: usize,
    /// The same for one client.
    pub(crate) max_peer_connections: usize,
    /// The requests at a time on one HTTP/2 connection.
    pub(crate) max_streams: u32,
    /// The bytes that an HTTP/2 connection may send before the actors read them.
    pub(crate) max_window_bytes: u32,
}

impl AddressLimits {
    /// How soon a body must begin.
    pub(crate) fn first_byte(&self) -> Tempo {
        Tempo::new(self.patience(), 0)
    }

    /// How fast a client must send.
    pub(crate) fn upload(&self) -> Tempo {
        Tempo::new(self.patience(), self.min_rate)
    }

    /// How fast a client must read. Measured over a longer time, because a client acknowledges what it reads
    /// in steps of its receive buffer.
    pub(crate) fn download(&self) -> Tempo {
        Tempo::new(self.body_timeout, self.min_rate)
    }

    /// Requests of HTTP/2 at a time, of all connections.
    pub(crate) fn max_all_streams(&self) -> usize {
        self.max_connections * STREAMS
    }

    /// The limit of these for one client address.
    pub(crate) fn max_peer_streams(&self) -> usize {
        (self.max_all_streams() / 2).max(self.max_streams as usize)
    }

    /// The longest wait for bytes of a body.
    fn patience(&self) -> Duration {
        self.first_byte_timeout.min(self.body_timeout)
    }
}

/// The limits that links ask for, by the names of their settings. All others have their defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked(BTreeMap<&'static str, u64>);

const HEADER_TIMEOUT: &str = "header_timeout_ms";
const BODY_TIMEOUT: &str = "body_timeout_ms";
const FIRST_BYTE_TIMEOUT: &str = "first_byte_timeout_ms";
const MIN_RATE: &str = "min_rate";
const MAX_HEADER: &str = "max_header_bytes";
const MAX_BUFFERED: &str = "max_buffered_bytes";
const MAX_CONNECTIONS: &str = "max_connections";
const MAX_PEER_CONNECTIONS: &str = "max_connections_per_peer";
const MAX_STREAMS: &str = "max_streams";
const MAX_WINDOW: &str = "max_window_bytes";

/// The connections that one client may have by default at least, if the address has as many.
const PEER: usize = 64;

/// The HTTP/2 requests at a time, for each connection that the address may have.
const STREAMS: usize = 4;

impl Asked {
    /// The limits that these settings ask for. Only settings of the address count.
    pub(crate) fn read(settings: &Settings) -> Result<Self, Error> {
        let mut given = BTreeMap::new();
        for setting in HTTP_SERVER.settings {
            if setting.scope == Scope::Address
                && setting.kind != Kind::Text
                && let Some(number) = settings.given_number(setting.name)?
            {
                given.insert(setting.name, number);
            }
        }
        Ok(Self(given))
    }

    /// A setting for which both ask for different values, with the values.
    pub(crate) fn conflict(&self, other: &Self) -> Option<(&'static str, u64, u64)> {
        self.0.iter().find_map(|(key, own)| {
            let theirs = other.0.get(key).filter(|theirs| *theirs != own)?;
            Some((*key, *own, *theirs))
        })
    }

    /// Adds what the other asks for.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// Refuses a limit of buffers that is smaller than one body.
    pub(crate) fn allow_body(&self, size: u64) -> Result<(), Error> {
        match self.0.get(MAX_BUFFERED) {
            Some(most) if *most < size => {
                let expected = format!("at least the {size} of max_body_bytes");
                Err(invalid(MAX_BUFFERED, &most.to_string(), &expected))
            }
            _ => Ok(()),
        }
    }

    /// The limits, if the largest buffered body has this size. Without a setting, the buffers hold
    /// one such body at least.
    pub(crate) fn limits(&self, largest_body: u64) -> AddressLimits {
        let default = |key| HTTP_SERVER.setting(key).map_or(0, Setting::default_number);
        let get = |key| self.0.get(key).copied().unwrap_or_else(|| default(key));
        let count = |key| usize::try_from(get(key)).unwrap_or(usize::MAX);
        let small = |key| u32::try_from(get(key)).unwrap_or(u32::MAX);
        let milliseconds = |key| Duration::from_millis(get(key));
        let buffered = self.0.get(MAX_BUFFERED).copied();
        // By default all bodies may take so much, or one of the largest.
        let buffered = buffered.unwrap_or_else(|| default(MAX_BUFFERED).max(largest_body));
        let connections = count(MAX_CONNECTIONS);
        let share = self.0.contains_key(MAX_PEER_CONNECTIONS);
        let share = share.then(|| count(MAX_PEER_CONNECTIONS));
        AddressLimits {
            header_timeout: milliseconds(HEADER_TIMEOUT),
            body_timeout: milliseconds(BODY_TIMEOUT),
            first_byte_timeout: milliseconds(FIRST_BYTE_TIMEOUT),
            min_rate: get(MIN_RATE),
            max_header_bytes: count(MAX_HEADER),
            max_buffered_bytes: buffered,
            max_peer_buffered_bytes: (buffered / 2).max(largest_body),
            max_connections: connections,
            max_peer_connections: share.unwrap_or((connections / 2).max(PEER.min(connections))),
            max_streams: small(MAX_STREAMS),
            max_window_bytes: small(MAX_WINDOW),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Asked {
        let mut settings = Settings::new(&HTTP_SERVER);
        for (key, value) in pairs {
            settings.put(key, value);
        }
        Asked::read(&settings).expect("good settings")
    }

    #[test]
    fn only_what_both_ask_for_can_differ() {
        let one = asked(&[("max_connections", "2")]);
        for (other, conflict) in [
            (asked(&[]), None),
            (asked(&[("max_connections", "2")]), None),
            (asked(&[("max_header_bytes", "9k")]), None),
            (
                asked(&[("max_connections", "3")]),
                Some((MAX_CONNECTIONS, 2, 3)),
            ),
        ] {
            assert_eq!(one.conflict(&other), conflict);
        }
    }

    #[test]
    fn what_nobody_asks_for_is_as_by_default() {
        let mut all = asked(&[("max_connections", "2")]);
        all.merge(&asked(&[("body_timeout_ms", "7")]));
        let limits = all.limits(1 << 30);
        assert_eq!(
            (limits.max_connections, limits.max_header_bytes),
            (2, 64 << 10)
        );
        assert_eq!(limits.body_timeout, Duration::from_millis(7));
        assert_eq!(limits.max_buffered_bytes, 1 << 30);
    }

    #[test]
    fn one_address_has_a_share_of_the_connections() {
        for (pairs, share) in [
            (&[][..], 512),
            (&[("max_connections", "100")], 64),
            (&[("max_connections", "2")], 2),
            (&[("max_connections_per_peer", "7")], 7),
        ] {
            assert_eq!(asked(pairs).limits(0).max_peer_connections, share);
        }
    }
}
