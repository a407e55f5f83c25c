//! The settings of a connection to NATS, converted to the options of `exosuit_lattice`.
//!
//! `Exosuit.Config.Nats` has checked each setting by itself. What concerns several of them is checked
//! here, once for the options of Elixir, the environment and the command line. Credentials and addresses
//! with passwords arrive as handles, and their text never leaves Rust.
//!
//! | credentials | settings |
//! |---|---|
//! | none | none of them |
//! | a file with a JWT and a seed | `credentials` |
//! | a JWT with its seed | `jwt`, `seed` |
//! | a seed alone | `seed` |
//! | user and password | `user`, `password` |
//! | a token | `token` |
//!
//! Any other combination is `invalid_input`.

use std::path::PathBuf;
use std::time::Duration;

use exosuit_core::{Code, Error};
use exosuit_lattice::{Backoff, ConnectionOptions, Credentials, Tls};
use rustler::{NifMap, ResourceArc};

use crate::secret::SecretHandle;

/// The addresses of the servers, and the credentials for them.
#[derive(NifMap)]
pub(super) struct ConnectionSettings {
    /// Addresses, separated by commas. Each may hold a password.
    servers: ResourceArc<SecretHandle>,
    /// The seed of a user (`SU…`): alone, or with `jwt`.
    seed: Option<ResourceArc<SecretHandle>>,
    jwt: Option<ResourceArc<SecretHandle>>,
    /// The path of a file with a JWT and a seed. Read again at each reconnect, so that a new file
    /// replaces an expired token.
    credentials: Option<String>,
    /// A user with a password.
    user: Option<String>,
    /// Only together with `user`.
    password: Option<ResourceArc<SecretHandle>>,
    /// A word that the server knows.
    token: Option<ResourceArc<SecretHandle>>,
    /// Whether a connection without TLS is refused.
    tls: bool,
    /// Whether TLS begins before the server's greeting.
    tls_first: bool,
    /// PEM files: authorities to trust, and the certificate and key of this client.
    tls_ca: Option<String>,
    tls_certificate: Option<String>,
    tls_key: Option<String>,
    /// This and the following times are in milliseconds.
    ping_interval: u64,
    /// How long one try may take.
    connect_timeout: u64,
    /// The longest pause between two tries.
    reconnect_delay: u64,
}

impl ConnectionSettings {
    /// The options of a connection with this name. `reconnect_delay` is the longest pause between two
    /// tries; the first ones are shorter.
    pub(super) fn options(&self, name: String) -> Result<ConnectionOptions, Error> {
        let longest = Duration::from_millis(self.reconnect_delay);
        let usual = Backoff::default();
        Ok(ConnectionOptions {
            servers: self.servers.servers(),
            name,
            credentials: self.credentials()?,
            tls: self.tls()?,
            backoff: Backoff {
                shortest: usual.shortest.min(longest),
                longest,
            },
            ping_interval: Duration::from_millis(self.ping_interval),
            connect_timeout: Duration::from_millis(self.connect_timeout),
        })
    }

    /// The credentials. Several kinds at once are refused, because one of them would have to be
    /// guessed.
    fn credentials(&self) -> Result<Credentials, Error> {
        let secret = |handle: &Option<ResourceArc<SecretHandle>>| {
            handle.as_ref().map(|handle| handle.secret().clone())
        };
        let file = self.credentials.as_ref().map(PathBuf::from);
        let given = (
            file,
            secret(&self.jwt),
            secret(&self.seed),
            self.user.clone(),
            secret(&self.password),
            secret(&self.token),
        );
        Ok(match given {
            (None, None, None, None, None, None) => Credentials::None,
            (Some(file), None, None, None, None, None) => Credentials::File(file),
            (None, Some(token), Some(seed), None, None, None) => Credentials::Token { token, seed },
            (None, None, Some(seed), None, None, None) => Credentials::Key(seed),
            (None, None, None, Some(user), Some(password), None) => {
                Credentials::Password { user, password }
            }
            (None, None, None, None, None, Some(word)) => Credentials::Word(word),
            _ => {
                return Err(Error::new(
                    Code::InvalidInput,
                    "expected one kind of credentials for NATS: a file, a JWT with its seed, a seed, a user with a \
                     password, or a token",
                ));
            }
        })
    }

    /// The options of TLS. A client certificate needs its key.
    fn tls(&self) -> Result<Tls, Error> {
        let path = |text: &String| PathBuf::from(text);
        let certificate = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => Some((path(certificate), path(key))),
            (None, None) => None,
            _ => {
                return Err(Error::new(
                    Code::InvalidInput,
                    "a certificate for NATS and its key go together: one of them is missing",
                ));
            }
        };
        Ok(Tls {
            required: self.tls,
            first: self.tls_first,
            authority: self.tls_ca.as_ref().map(path),
            certificate,
        })
    }
}
