//! A connection to the lattice. It is made in the background, and made again whenever it is lost.
//!
//! - `options`: the settings. `login`: the credentials at each attempt.
//! - `state`: the state of the connection, and its notices.
//!
//! The client reconnects by itself, with our delays, and subscribes again. Without a
//! connection, [`Connection::client`] refuses messages: the client would queue them, and a server that comes back
//! after minutes would get commands that no caller waits for any more.

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

/// How many commands wait to be written. Those that wait without a connection are sent with the
/// next one, so they must be few enough not to flood it.
const COMMANDS: usize = 2_048;

/// How many messages of a subscription wait, before they are lost.
const MESSAGES: usize = 4_096;

/// A connection to the lattice. Clones share it; it closes with the last one.
#[derive(Clone)]
pub struct Connection {
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

    /// The state of the connection, and its changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.tower.state()
    }

    /// The events of the connection from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.tower.notices()
    }

    /// Waits for the connection. The error is that of the last attempt.
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
    pub async fn close(&self) {
        let was_connected = self.tower.is_connected();
        self.tower.close();
        if was_connected {
            // The only error is that it is closed already.
            let _ = self.client.drain().await;
        }
    }

    /// The client, if it can send now.
    pub(crate) fn client(&self) -> Result<&Client, Error> {
        if self.tower.is_connected() {
            return Ok(&self.client);
        }
        if self.tower.is_closed() {
            return Err(Error::Closed);
        }
        Err(Error::NotConnected)
    }

    /// The largest message in bytes that the server accepts.
    pub fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    /// Reports that a subscription was too slow and lost messages.
    pub(crate) fn fell_behind(&self) {
        self.tower.slow();
    }

    /// Refuses a message that the server would end the connection for.
    pub(crate) fn refuse_too_large(&self, what: &'static str, size: usize) -> Result<(), Error> {
        let limit = self.max_payload();
        if size <= limit {
            return Ok(());
        }
        let (size, limit) = (size as u64, limit as u64);
        Err(Error::TooLarge { what, size, limit })
    }

    /// How often the connection was lost. Requests from before the last loss get no answer.
    pub(crate) fn losses(&self) -> u64 {
        self.tower.losses()
    }

    /// The result of a request, or an error if the connection is lost in the meantime.
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

    /// The client, even without a connection: for subscriptions, which survive outages.
    pub(crate) fn any_client(&self) -> &Client {
        &self.client
    }

    /// The streams of the servers, or of a domain.
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
struct Closer(Arc<Tower>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The error for a message that was not sent.
pub(crate) fn unsent(error: &PublishError) -> Error {
    match error.kind() {
        PublishErrorKind::InvalidSubject => {
            Error::malformed("subject", "it has a blank in it, or is empty")
        }
        PublishErrorKind::Send => Error::Closed,
        PublishErrorKind::MaxPayloadExceeded => Error::NotPermitted(clip(&error.to_string())),
    }
}

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
