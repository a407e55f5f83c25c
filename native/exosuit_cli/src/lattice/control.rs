//! Requests to hosts, and their answers.
//!
//! Requests go to `wasmbus.ctl.v1.<lattice>.…`, and answers are envelopes of 1.x: `success`,
//! `message`, `response`. An answer of a host means that it has accepted the request. For changes
//! of actors and providers the outcome comes later, as an event.
//!
//! | nobody answers | error |
//! |---|---|
//! | a request to any host | `unavailable`: no host in this lattice |
//! | a request to one host | `not_found`, with the hosts that there are |

use std::time::{Duration, Instant};

use bytes::Bytes;
use exosuit_core::Id;
use exosuit_lattice::{Bus, Connection, Error, State};
use serde::Deserialize;
use serde_json::Value;

use super::LatticeArguments;
use crate::failure::Failure;
use crate::output::printable;
use crate::protocol::{self, Command};

/// How long a host may take to acknowledge. Some write to the lattice's store first.
const ANSWER: Duration = Duration::from_secs(10);

/// How long connecting may take: enough to try all servers, and to give up one that does not
/// answer.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection to a lattice, with the host that the arguments select.
pub(super) struct Control {
    pub(super) connection: Connection,
    pub(super) bus: Bus,
    pub(super) lattice: Id,
    /// The servers without credentials, for messages.
    servers: String,
    /// The host in the arguments.
    pub(super) host: Option<String>,
    /// How long to wait for outcomes. `None` if the command should not wait.
    pub(super) timeout: Option<Duration>,
    /// Whether `--wait` or `--no-wait` was given.
    says_wait: bool,
}

/// The form of every answer.
#[derive(Deserialize)]
struct Envelope {
    success: bool,
    #[serde(default)]
    message: String,
    #[serde(default)]
    response: Value,
}

impl Control {
    /// Connects. Errors name the servers, without their credentials.
    pub(super) async fn connect(
        arguments: &LatticeArguments,
        servers: &str,
    ) -> Result<Self, Failure> {
        let lattice = arguments.lattice()?;
        let options = arguments.connection(servers)?;
        let shown = without_credentials(servers);
        let about = |error: Error| Failure::from(error).about(&shown);
        let connection = Connection::open(&options).await.map_err(about)?;
        connected(&connection, options.servers.len())
            .await
            .map_err(about)?;
        Ok(Self {
            bus: Bus::start(connection.clone()).await.map_err(about)?,
            connection,
            lattice,
            servers: shown,
            host: arguments.host.clone(),
            timeout: arguments.timeout(),
            says_wait: arguments.says_wait(),
        })
    }

    /// An error if an option is given that this command does not use.
    pub(super) fn refuse_unused(&self, command: &Command) -> Result<(), Failure> {
        match command {
            Command::StartActor(_)
            | Command::StopActor { .. }
            | Command::ScaleActor { .. }
            | Command::UpdateActor(_)
            | Command::StartProvider(_)
            | Command::StopProvider { .. } => Ok(()),
            Command::PutLink(_)
            | Command::DeleteLink(_)
            | Command::Links {}
            | Command::ApplyManifest(_) => self.refuse_host().and_then(|()| self.refuse_wait()),
            command if command.is_about_apps() => {
                self.refuse_host().and_then(|()| self.refuse_wait())
            }
            _ => self.refuse_wait(),
        }
    }

    /// Refuses arguments that name a host.
    pub(super) fn refuse_host(&self) -> Result<(), Failure> {
        if self.host.is_none() {
            return Ok(());
        }
        let text = "--host cannot be used here: the command concerns all hosts of the lattice";
        Err(Failure::usage(text))
    }

    /// Refuses arguments about waiting for an outcome.
    pub(super) fn refuse_wait(&self) -> Result<(), Failure> {
        if !self.says_wait {
            return Ok(());
        }
        let text = "--wait and --no-wait apply only to commands that change actors or providers";
        Err(Failure::usage(text))
    }

    /// The name of the lattice, for messages.
    pub(super) fn place(&self) -> String {
        format!("lattice {} at {}", self.lattice, self.servers)
    }

    /// The subject of a request.
    pub(super) fn subject(&self, suffix: &str) -> String {
        format!("wasmbus.ctl.v1.{}.{suffix}", self.lattice)
    }

    /// Sends one of Exosuit's own commands to any host of Exosuit.
    pub(super) async fn ask_exosuit(&self, command: &Command) -> Result<Value, Failure> {
        let (name, arguments) = command.parts();
        let subject = format!("exosuit.api.{}.{name}", self.lattice);
        let deadline = Instant::now() + ANSWER;
        let body = Bytes::from(arguments.to_string());
        let answer = match self.bus.request(&subject, body, deadline).await {
            Err(Error::NoResponders(_)) => return Err(self.nobody()),
            answer => answer?,
        };
        protocol::answer(&protocol::parse(&answer)?)
    }

    /// Sends a request to any host.
    pub(super) async fn ask(&self, suffix: &str, body: &Value) -> Result<Value, Failure> {
        match self.request(suffix, body).await {
            Err(Error::NoResponders(_)) => Err(self.nobody()),
            answer => unwrap(&answer?),
        }
    }

    /// The error if no host answers.
    pub(super) fn nobody(&self) -> Failure {
        let text = format!(
            "no host answers in {}: either no host runs there, or the lattice has another name (--lattice-name)",
            self.place()
        );
        Failure::refused("unavailable", text)
    }

    /// Sends a request, and returns the bytes of the answer.
    pub(super) async fn request(&self, suffix: &str, body: &Value) -> Result<Bytes, Error> {
        let body = match body {
            Value::Null => Bytes::new(),
            body => body.to_string().into(),
        };
        let deadline = Instant::now() + ANSWER;
        self.bus
            .request(&self.subject(suffix), body, deadline)
            .await
    }
}

/// The response of an answer, or its error. The text comes from outside, so control characters are escaped.
pub(super) fn unwrap(answer: &[u8]) -> Result<Value, Failure> {
    let envelope: Envelope = serde_json::from_slice(answer).map_err(|error| {
        Failure::refused(
            "internal",
            format!("the answer of a host is not JSON: {error}"),
        )
    })?;
    if envelope.success {
        return Ok(envelope.response);
    }
    Err(Failure::refused("refused", printable(&envelope.message)))
}

/// Waits for the connection. With a single server, returns its first failure instead of waiting for the
/// retries.
async fn connected(connection: &Connection, servers: usize) -> Result<(), Error> {
    if servers > 1 {
        return connection.ready(CONNECT).await;
    }
    let mut state = connection.state();
    let is_settled = |state: &State| !matches!(state, State::Connecting(None));
    let settled = tokio::time::timeout(CONNECT, state.wait_for(is_settled)).await;
    // `ready` reports the outcome from the state.
    drop(settled);
    connection.ready(Duration::ZERO).await
}

/// Addresses without the credentials before an `@`, for messages.
fn without_credentials(servers: &str) -> String {
    let plain = servers.split(',').map(str::trim).map(|server| {
        let (scheme, rest) = server.split_once("://").unwrap_or(("nats", server));
        let host = rest.rsplit('@').next().unwrap_or_default();
        printable(&format!("{scheme}://{host}"))
    });
    plain.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_who_we_are() {
        for (given, shown) in [
            ("nats://ann:s3cret@a:4222", "nats://a:4222"),
            ("s3cret@a", "nats://a"),
            ("tls://w@a:1, b:2", "tls://a:1, nats://b:2"),
        ] {
            assert_eq!(without_credentials(given), shown);
        }
    }

    #[test]
    fn an_answer_is_unwrapped_or_refused() {
        let answer = unwrap(br#"{"success": true, "message": "", "response": [1]}"#);
        assert_eq!(answer.expect("a response"), serde_json::json!([1]));
        let none = unwrap(br#"{"success": true}"#).expect("nothing to say");
        assert_eq!(none, Value::Null);
        let refused = unwrap(b"{\"success\": false, \"message\": \"no\\u001b[2J\"}");
        let refused = refused.expect_err("refused").to_json();
        assert_eq!(refused["error"], "no\\u{1b}[2J");
        assert!(unwrap(b"+OK").is_err());
    }
}
