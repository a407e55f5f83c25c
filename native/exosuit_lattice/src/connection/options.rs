//! The options of a connection, checked once.
//!
//! `Exosuit.Config` fills these in from the host's options and the environment. `check` runs before
//! the first attempt, so that a typing error is reported at the start and not in a loop of
//! attempts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;

use crate::error::clip;
use crate::{Error, Secret};

/// The options of one connection to the lattice.
///
/// ```
/// use std::time::Duration;
/// use exosuit_lattice::{ConnectionOptions, Credentials, Secret};
///
/// let options = ConnectionOptions {
///     servers: vec!["tls://nats.example.com".to_owned()],
///     credentials: Credentials::Password {
///         user: "host".to_owned(),
///         password: Secret::new("s3cr3t"),
///     },
///     ..ConnectionOptions::default()
/// };
/// assert_eq!(options.connect_timeout, Duration::from_secs(5));
/// // No secret is shown.
/// assert!(!format!("{options:?}").contains("s3cr3t"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// The servers; any of them suffices: `nats://host:4222`, `tls://host`, `host:port`. An address
    /// `nats://user:password@host` gives the credentials, if there are no others.
    pub servers: Vec<String>,
    /// The name of this client in the server's reports: the host's name and the purpose of the
    /// connection.
    pub name: String,
    /// The credentials of this client.
    pub credentials: Credentials,
    /// Whether and how the connection is encrypted.
    pub tls: Tls,
    /// How long to wait before each further attempt.
    pub backoff: Backoff,
    /// The interval of the client's pings. Two missing answers end the connection. 10 seconds by
    /// default.
    pub ping_interval: Duration,
    /// The longest time for one attempt. 5 seconds by default.
    pub connect_timeout: Duration,
}

/// How the client authenticates itself.
///
/// The credentials here win over those in an address. They are used for all servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// The seed of a user's key; the server knows the public key.
    Key(Secret),
    /// A user's token, with the seed of the key in it.
    Token {
        /// The token: a JWT.
        token: Secret,
        /// The seed: `SU…`.
        seed: Secret,
    },
    /// A file with token and seed, as `nsc` writes it. It is read at each attempt, so that it can
    /// be renewed.
    File(PathBuf),
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token that all clients share. In an address it is the user without a password:
    /// `nats://token@host`.
    Word(Secret),
}

/// Whether and how a connection is encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whether TLS is required. It is also used if the server requires it, or if the address is
    /// `tls://`.
    pub required: bool,
    /// The certificates that the server's must be signed by, in PEM; by default those that the
    /// machine trusts.
    pub authority: Option<PathBuf>,
    /// This client's certificate and its key, in PEM, for servers that require one.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Whether the connection begins with TLS, as some servers and proxies require.
    pub first: bool,
}

/// The delays before further attempts, without an end. This is the one policy of retries in
/// Exosuit. The first retry comes soon; then the delays double. A jitter of up to a quarter
/// separates hosts that lost the same server.
///
/// With the default, the attempts come after up to 0.1 s, 1 to 1.25 s, 2 to 2.5 s, and so on up to
/// a minute:
///
/// | attempt | delay |
/// |---|---|
/// | 1 | 0 to `shortest` / 10 |
/// | 2 | `shortest`, plus up to a quarter |
/// | n | `shortest` · 2ⁿ⁻², plus up to a quarter |
/// | all later ones | at most `longest` |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The delay before the second attempt.
    pub shortest: Duration,
    /// The longest delay, including the jitter.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            shortest: Duration::from_secs(1),
            longest: Duration::from_mins(1),
        }
    }
}

impl Backoff {
    /// The delay before the nth attempt; `random` is between 0 and 1. The first one is short, but
    /// not the same for every host that lost the server.
    ///
    /// The doubling stops at four fifths of `longest`, so that the jitter does not exceed it.
    pub(crate) fn delay(self, attempt: usize, random: f64) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(2)).unwrap_or(u32::MAX);
        let full = 2u32
            .checked_pow(doublings)
            .and_then(|times| self.shortest.checked_mul(times));
        let longest = self.longest.mul_f64(0.8);
        let full = full.map_or(longest, |full| full.min(longest));
        match attempt {
            0 | 1 => self.shortest.mul_f64(random / 10.0),
            _ => full.mul_f64(1.0 + random / 4.0),
        }
    }
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            servers: vec!["nats://127.0.0.1:4222".to_owned()],
            name: "exosuit".to_owned(),
            credentials: Credentials::None,
            tls: Tls::default(),
            backoff: Backoff::default(),
            ping_interval: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
        }
    }
}

impl ConnectionOptions {
    /// The addresses without the credentials in them, and the credentials.
    ///
    /// # Errors
    ///
    /// `InvalidOption` for no server, an address that cannot be parsed, a `WebSocket` scheme, or a
    /// file of TLS that cannot be opened.
    pub(crate) fn check(&self) -> Result<(Vec<ServerAddr>, Credentials), Error> {
        if self.servers.is_empty() {
            return Err(invalid("servers", "one address at least", "none"));
        }
        let parsed: Vec<_> = self
            .servers
            .iter()
            .map(|server| address(server))
            .collect::<Result<_, _>>()?;
        let (addresses, inline): (Vec<_>, Vec<_>) = parsed.into_iter().unzip();
        let inline = inline
            .into_iter()
            .find(|inline| *inline != Credentials::None);
        let credentials = match &self.credentials {
            Credentials::None => inline.unwrap_or_default(),
            given => given.clone(),
        };
        self.tls.check()?;
        Ok((addresses, credentials))
    }
}

impl Tls {
    /// Opens the files once. The client would report them with each attempt, without their names.
    fn check(&self) -> Result<(), Error> {
        let certificate = self
            .certificate
            .iter()
            .flat_map(|(certificate, key)| [certificate, key]);
        for path in self.authority.iter().chain(certificate) {
            std::fs::File::open(path).map_err(|error| {
                invalid(
                    "tls",
                    "files that can be read",
                    format!("{}: {error}", shown(path)),
                )
            })?;
        }
        Ok(())
    }
}

/// An address and the credentials in it. An error does not quote the address, as it may hold a
/// password.
///
/// The credentials are removed from the address that is passed on, so that no log of the client
/// shows them.
fn address(text: &str) -> Result<(ServerAddr, Credentials), Error> {
    const EXPECTED: &str = "addresses like nats://host:4222 or tls://host:4222";
    let wrong = |why: String| invalid("servers", EXPECTED, why);
    let address: ServerAddr = text.trim().parse().map_err(|error: std::io::Error| {
        wrong(format!("an invalid address ({})", clip(&error.to_string())))
    })?;
    if address.is_websocket() {
        return Err(wrong(format!("the scheme {}", address.scheme())));
    }
    if address.host().is_empty() {
        return Err(wrong("an address without a host".to_owned()));
    }
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let credentials = match (address.username(), address.password()) {
        (None, _) => Credentials::None,
        (Some(word), None) => Credentials::Word(Secret::new(decode(word))),
        (Some(user), Some(password)) => Credentials::Password {
            user: decode(user),
            password: Secret::new(decode(password)),
        },
    };
    let mut plain = address.into_inner();
    // They fail for addresses that cannot have any, and those have none.
    let _ = (plain.set_username(""), plain.set_password(None));
    let plain = ServerAddr::from_url(plain).map_err(|error| wrong(error.to_string()))?;
    Ok((plain, credentials))
}

/// An option that is wrong: its name, what is expected, and what it is. `got` must not hold a
/// secret.
pub(crate) fn invalid(
    option: &'static str,
    expected: &'static str,
    got: impl Into<String>,
) -> Error {
    Error::InvalidOption {
        option,
        expected,
        got: got.into(),
    }
}

/// A path for an error, clipped.
pub(crate) fn shown(path: &Path) -> String {
    clip(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(server: &str) -> ConnectionOptions {
        ConnectionOptions {
            servers: vec![server.to_owned()],
            ..ConnectionOptions::default()
        }
    }

    #[test]
    fn credentials_in_an_address_are_taken_out_of_it() {
        let (addresses, credentials) = options("nats://ann:p%40ss@example.org:4333")
            .check()
            .expect("options");
        assert_eq!(addresses[0].as_url_str(), "nats://example.org:4333");
        let expected = Credentials::Password {
            user: "ann".to_owned(),
            password: Secret::new("p@ss"),
        };
        assert_eq!(credentials, expected);

        let (_, credentials) = options("nats://s3cret@example.org")
            .check()
            .expect("options");
        assert_eq!(credentials, Credentials::Word(Secret::new("s3cret")));
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_quoted() {
        for bad in [
            "",
            "http://s3cret@host",
            "ws://host:80",
            "nats://s3cret@:1",
            "nats://s3cret@host:999999",
        ] {
            let error = options(bad).check().expect_err(bad);
            assert_eq!(error.code(), "invalid_option");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let mut options = options("host");
        options.credentials = Credentials::Key(Secret::new("SUAX"));
        assert!(!format!("{options:?}").contains("SUAX"));
    }

    #[test]
    fn waits_grow_to_a_limit() {
        let backoff = Backoff::default();
        let delays: Vec<_> = (1..10)
            .map(|attempt| backoff.delay(attempt, 1.0).as_millis())
            .collect();
        let doubled = [
            100, 1_250, 2_500, 5_000, 10_000, 20_000, 40_000, 60_000, 60_000,
        ];
        assert_eq!(delays, doubled);
        assert_eq!(backoff.delay(2, 0.0), Duration::from_secs(1));
        assert_eq!(backoff.delay(usize::MAX, 0.0), Duration::from_secs(48));
    }
}
