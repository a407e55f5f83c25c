//! A connection to the lattice. It is made in the background, and made again whenever it is lost.
//!
//! - `options`: the settings. `login`: the credentials at each attempt.
//! - `state`: the state of the connection, and its notices.
//!
//! The client reconnects by itself, with our delays, and subscribes again. Without a
//! connection, [`Connection::client`] refuses messages: the client would queue them, and a server that comes back
//! after minutes would get commands that no caller waits for any more.
//!
//! # The life of a connection
//!
//! ```text
//! open ──► Connecting ◄──► Connected ──► Closed
//!             │                            ▲
//!             └────────── close ───────────┘
//! ```
//!
//! | event | state | what waits |
//! |---|---|---|
//! | the server accepts | `Connected` | subscriptions are made again |
//! | an attempt fails | `Connecting(Some(error))` | goes on waiting, the next attempt follows after a delay |
//! | the connection is lost | `Connecting(None)` | requests end with `ConnectionLost` |
//! | `close`, or the last clone is dropped | `Closed` | everything ends with `Closed`, for good |
//!
//! The client has one task that reads and writes. It is not ours, so what we learn comes through
//! its callbacks, and they only change `Tower` (in `state`).
//!
//! # Two limits of the client's
//!
//! Its events are dropped when many come at once, and it has no call to end itself.
//! `before_attempt` covers both: it notes a loss before each attempt, and ends the task of a closed
//! connection.

mod login;
mod options;
mod state;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::client::PublishErrorKind;
use async_nats::{AuthError, Client, ConnectOptions, PublishError, jetstream};
use tokio::sync::{broadcast, watch};

pub use options::{Backoff, ConnectionOptions, Credentials, Tls};
pub use state::{Notice, State};

use crate::Error;
use crate::error::clip;
use options::invalid;
use state::Tower;

/// The capacity of the client's queue of commands. Commands that wait without a connection are sent
/// with the next one, so they must be few enough not to flood it.
const COMMANDS: usize = 2_048;

/// The capacity of the queue of one subscription, in messages. Further ones are lost, and the
/// client reports a slow consumer.
const MESSAGES: usize = 4_096;

/// A connection to the lattice. Clones share it; it closes with the last one.
///
/// Each host has two: one for control and shared state, one for calls.
#[derive(Clone)]
pub struct Connection {
    /// The client of the NATS library. It queues what is published without a connection, so use
    /// [`Self::client`] to send.
    client: Client,
    /// The state, as the client's events report it.
    tower: Arc<Tower>,
    /// Marks the connection as closed when the last clone is dropped.
    _closer: Arc<Closer>,
}

impl Connection {
    /// Starts to connect, and continues for as long as it takes. Returns at once.
    ///
    /// Returns an error only for wrong options. An unreachable server is a [`State`].
    ///
    /// The credentials are tried once, without a server, so that a wrong seed is reported at the
    /// start of the host.
    ///
    /// # Errors
    ///
    /// `InvalidOption` and `InvalidCredentials`. An expired token is not an error here: the file
    /// may be renewed before the first attempt.
    pub async fn open(options: &ConnectionOptions) -> Result<Self, Error> {
        let (servers, credentials) = options.check()?;
        // Credentials that cannot work are an error now, and not at each attempt.
        if let Err(error @ Error::InvalidCredentials(_)) = login::answer(&credentials, b"") {
            return Err(error);
        }
        let tower = Arc::new(Tower::new());
        let client = client_options(options, credentials, &tower)
            .connect(servers)
            .await;
        let client = client.map_err(|error| invalid("servers", "usable", error.to_string()))?;
        Ok(Self {
            client,
            _closer: Arc::new(Closer(Arc::clone(&tower))),
            tower,
        })
    }

    /// The state of the connection, and its changes. A receiver that is slow sees the latest state,
    /// not each one.
    pub fn state(&self) -> watch::Receiver<State> {
        self.tower.state()
    }

    /// The events of the connection from now on. 256 of them wait for a slow receiver, then the
    /// oldest are lost.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.tower.notices()
    }

    /// Waits for the connection. The error is that of the last attempt.
    ///
    /// For the start of a host that shall fail without a lattice. An attempt that failed does not
    /// end the wait.
    ///
    /// # Errors
    ///
    /// `Closed`, the error of the last attempt, or `Unreachable` if no attempt has ended yet.
    pub async fn ready(&self, within: Duration) -> Result<(), Error> {
        let mut state = self.state();
        let settled = state.wait_for(|state| matches!(state, State::Connected | State::Closed));
        let settled = tokio::time::timeout(within, settled).await;
        let settled = settled.is_ok_and(|settled| settled.is_ok());
        match &*self.tower.state().borrow() {
            State::Connected if settled => Ok(()),
            State::Closed => Err(Error::Closed),
            State::Connecting(Some(error)) => Err(error.clone()),
            _ => Err(Error::Unreachable("no server has answered yet".to_owned())),
        }
    }

    /// Ends all subscriptions, sends the waiting messages, and closes the connection for all
    /// clones.
    ///
    /// Messages on their way are sent, as far as there is a connection. A second call changes
    /// nothing.
    pub async fn close(&self) {
        let was_connected = self.tower.is_connected();
        self.tower.close();
        if was_connected {
            // The only error is that it is closed already.
            let _ = self.client.drain().await;
        }
    }

    /// The client, if it can send now.
    ///
    /// # Errors
    ///
    /// `NotConnected` or `Closed`.
    pub(crate) fn client(&self) -> Result<&Client, Error> {
        if self.tower.is_connected() {
            return Ok(&self.client);
        }
        if self.tower.is_closed() {
            return Err(Error::Closed);
        }
        Err(Error::NotConnected)
    }

    /// The largest message in bytes that the server accepts, 1 MiB by default. It is known from the
    /// first connection on, and may change with the server.
    pub fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    /// Reports that a subscription was too slow and lost messages.
    pub(crate) fn fell_behind(&self) {
        self.tower.slow();
    }

    /// Refuses a message that the server would end the connection for.
    ///
    /// # Errors
    ///
    /// `TooLarge`, with the size and the limit.
    pub(crate) fn refuse_too_large(&self, what: &'static str, size: usize) -> Result<(), Error> {
        let limit = self.max_payload();
        if size <= limit {
            return Ok(());
        }
        let (size, limit) = (size as u64, limit as u64);
        Err(Error::TooLarge { what, size, limit })
    }

    /// How often the connection was lost. Requests from before the last loss get no answer.
    ///
    /// It grows only while [`Self::state`] changes, so whoever waits for a change can compare.
    pub(crate) fn losses(&self) -> u64 {
        self.tower.losses()
    }

    /// The result of a request, or an error if the connection is lost in the meantime.
    ///
    /// For requests of the client's own, which do not notice a lost connection and would wait for
    /// their timeout. The request is polled first, so an answer that is there wins.
    pub(crate) async fn unless_lost<T>(
        &self,
        asking: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let losses = self.losses();
        let mut state = self.state();
        tokio::select! {
            biased;
            answer = asking => answer,
            _ = state.wait_for(|state| *state == State::Closed || self.losses() != losses) => {
                Err(Error::ConnectionLost)
            }
        }
    }

    /// The client, even without a connection. For subscriptions only, which survive outages; a
    /// message would be queued.
    pub(crate) fn any_client(&self) -> &Client {
        &self.client
    }

    /// The streams of the servers, or those of a domain, which a leaf node may have.
    pub(crate) fn jetstream(&self, domain: Option<&str>) -> jetstream::Context {
        match domain {
            Some(domain) => jetstream::with_domain(self.client.clone(), domain),
            None => jetstream::new(self.client.clone()),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection")
            .field(&*self.tower.state().borrow())
            .finish()
    }
}

/// Closes the connection with the last clone. The client itself would try to connect forever.
///
/// It only sets the state, which ends the client's task at its next attempt, in `before_attempt`.
struct Closer(Arc<Tower>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The error for a message that was not sent.
///
/// `Send` means that the client's task is gone.
pub(crate) fn unsent(error: &PublishError) -> Error {
    match error.kind() {
        PublishErrorKind::InvalidSubject => {
            Error::malformed("subject", "it has a blank in it, or is empty")
        }
        PublishErrorKind::Send => Error::Closed,
        PublishErrorKind::MaxPayloadExceeded => Error::NotPermitted(clip(&error.to_string())),
    }
}

/// The client's options. Each callback holds its own reference to the tower.
fn client_options(
    options: &ConnectionOptions,
    credentials: Credentials,
    tower: &Arc<Tower>,
) -> ConnectOptions {
    let backoff = options.backoff;
    let events = Arc::clone(tower);
    let attempts = Arc::clone(tower);
    let logins = Arc::clone(tower);
    let credentials = Arc::new(credentials);
    let client = ConnectOptions::with_auth_callback(move |nonce| {
        let (logins, credentials) = (Arc::clone(&logins), Arc::clone(&credentials));
        async move { log_in(&logins, credentials, nonce).await }
    });
    let client = client
        .name(&options.name)
        .retry_on_initial_connect()
        .max_reconnects(None)
        .ping_interval(options.ping_interval)
        .connection_timeout(options.connect_timeout)
        .client_capacity(COMMANDS)
        .subscription_capacity(MESSAGES)
        .reconnect_delay_callback(move |attempt| backoff.delay(attempt, rand::random()))
        .event_callback(move |event| {
            events.event(event);
            std::future::ready(())
        })
        .reconnect_to_server_callback(move |servers, _info| {
            std::future::ready(before_attempt(&attempts, &servers))
        });
    with_tls(client, &options.tls)
}

/// Adds the settings for TLS. `first` includes `required`.
fn with_tls(mut client: ConnectOptions, tls: &Tls) -> ConnectOptions {
    client = client.require_tls(tls.required || tls.first);
    if tls.first {
        client = client.tls_first();
    }
    if let Some(authority) = &tls.authority {
        client = client.add_root_certificates(authority.clone());
    }
    if let Some((certificate, key)) = &tls.certificate {
        client = client.add_client_certificate(certificate.clone(), key.clone());
    }
    client
}

/// Answers the server's challenge. A failure is stored in the tower, because the client replaces
/// its text with a general one.
async fn log_in(
    tower: &Tower,
    credentials: Arc<Credentials>,
    nonce: Vec<u8>,
) -> Result<async_nats::Auth, AuthError> {
    // The credentials may be in a file.
    let answer = tokio::task::spawn_blocking(move || login::answer(&credentials, &nonce)).await;
    match answer {
        Ok(Ok(auth)) => {
            tower.login(None);
            Ok(auth)
        }
        Ok(Err(error)) => {
            tower.login(Some(error.clone()));
            Err(AuthError::new(error))
        }
        Err(error) => Err(AuthError::new(error)),
    }
}

/// Runs before each attempt to connect: the only moment to learn why the last one failed, and to
/// stop the client.
///
/// # Panics
///
/// It unwinds on purpose if the connection is closed. The panic hook is not called, and only the
/// client's task ends.
fn before_attempt(
    tower: &Tower,
    servers: &[async_nats::Server],
) -> Option<async_nats::ReconnectToServer> {
    if tower.is_closed() {
        // Ends the client's task, without a message in the log. The client offers no other way: it
        // keeps asking for a server, and does not notice that all handles are gone.
        std::panic::resume_unwind(Box::new("the connection is closed"));
    }
    // The client drops events when many come at once; this one must not be lost.
    tower.lost();
    let failed = servers.iter().filter(|server| server.last_error.is_some());
    let worst = failed.max_by_key(|server| server.failed_attempts);
    if let Some(text) = worst.and_then(|server| server.last_error.as_deref()) {
        tower.failed(text);
    }
    None
}
