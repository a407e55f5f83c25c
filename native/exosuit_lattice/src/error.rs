//! The errors between hosts.
//!
//! An error has two codes. [`Error::code`] has a text of this crate, for counters and logs. The
//! conversion to `exosuit_core::Error` chooses one of the codes that all crates share; that is what
//! a caller in Elixir or a guest sees.
//!
//! | here | shared code | is a retry of use? |
//! |---|---|---|
//! | no connection, no responders, refused login | `unavailable` | yes, later |
//! | `Deadline` | `deadline` | the call may have been served |
//! | `Overloaded` | `overloaded` | yes, later |
//! | `Contended` | `conflict` | yes, at once |
//! | `Store` | `io` | perhaps |
//! | too large, malformed, a wrong option | `invalid_input` | no |
//! | `Forged`, `WrongMac`, `Misdirected`, `Stale`, `Replayed` | `invalid_claims` | no |
//! | `Remote` | that of the other host, or `provider` | as its code says |
//!
//! The texts "Failed to deserialize" and "Anti-forgery check failed" are those of the OTP era,
//! whose tools look for them.

use exosuit_core::{Code, Id};

/// An error of the lattice: of the connection, of a call, or of the store. No text holds a
/// credential or a payload. Texts from outside are cut to 300 characters and escaped.
///
/// ```
/// use exosuit_lattice::Error;
///
/// let error = Error::NoResponders("echo".to_owned());
/// assert_eq!(error.code(), "no_responders");
/// assert_eq!(error.to_string(), "no host on the lattice serves echo");
///
/// // A guest sees the code that all crates share.
/// let error = exosuit_core::Error::from(error);
/// assert_eq!(error.code, exosuit_core::Code::Unavailable);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is wrong.
    #[error("expected {option} to be {expected}, got: {got}")]
    InvalidOption {
        /// The option.
        option: &'static str,
        /// The expected form.
        expected: &'static str,
        /// The value; for a secret, the reason why it is wrong.
        got: String,
    },
    /// The credentials cannot be read, or have not the form that their kind must have. A reconnect
    /// does not help.
    #[error("the credentials for the lattice cannot be used: {0}")]
    InvalidCredentials(String),
    /// The user token has expired.
    #[error("the user token for the lattice has expired: {0}")]
    ExpiredCredentials(String),
    /// The server refused the credentials. It does not say why.
    #[error("the NATS server refused the credentials")]
    Unauthorized,
    /// The TLS handshake with the server failed: an unknown authority, a wrong name, a missing
    /// certificate.
    #[error("TLS with the NATS server failed: {0}")]
    Tls(String),
    /// No server answers.
    #[error("no NATS server can be reached: {0}")]
    Unreachable(String),
    /// There is no connection now.
    #[error("not connected to the lattice")]
    NotConnected,
    /// The connection was lost while an answer was awaited. The call may have been served; nothing
    /// here repeats it.
    #[error("the connection to the lattice was lost before the answer came")]
    ConnectionLost,
    /// The connection was closed.
    #[error("the connection to the lattice is closed")]
    Closed,
    /// Nobody subscribes to the subject of the call. The server says so at once.
    #[error("no host on the lattice serves {0}")]
    NoResponders(String),
    /// No answer came in time. The call may still run on the other host.
    #[error("no answer came from {0} before the deadline of the call")]
    Deadline(String),
    /// The data has more bytes than may be sent or received.
    #[error("the {what} has {size} bytes, at most {limit} are allowed")]
    TooLarge {
        /// The thing that is too large.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The largest allowed size.
        limit: u64,
    },
    /// A message cannot be read.
    #[error("Failed to deserialize {what}: {why}")]
    Malformed {
        /// The expected kind of data.
        what: &'static str,
        /// The reason why it is wrong.
        why: String,
    },
    /// The payload of a call cannot be read: the body of a request breaks off.
    #[error("{0}")]
    Content(exosuit_core::Error),
    /// The token of an invocation is invalid: its signature, its issuer, or a field that it does
    /// not cover.
    #[error("Anti-forgery check failed: {0}")]
    Forged(#[source] exosuit_claims::Error),
    /// The MAC of an invocation or of an answer is invalid. The text says which.
    #[error("Anti-forgery check failed: {0}")]
    WrongMac(&'static str),
    /// The invocation names another target than the subject that it came by. A sender could
    /// otherwise replay a call to one actor at another.
    #[error("Anti-forgery check failed: the invocation is for {claimed}, not for {actual}")]
    Misdirected {
        /// The target in the invocation.
        claimed: String,
        /// The target that received it.
        actual: String,
    },
    /// The invocation was signed too long ago, or in the future.
    ///
    /// The sender of a call with a MAC repeats it with a new time. A signed call is not repeated.
    #[error(
        "Anti-forgery check failed: the invocation was signed at {0}, more than 30 s from this \
         host's time or before its start"
    )]
    Stale(String),
    /// The invocation was accepted before. It gets no answer if it has a MAC, because the first one
    /// has been answered.
    #[error("Anti-forgery check failed: the invocation was received before")]
    Replayed,
    /// As many calls from the lattice run and wait on this host as may, or their memory is used up,
    /// or the budget for unknown senders is.
    #[error("too many calls from the lattice run and wait on this host; try again later")]
    Overloaded,
    /// The other host answered with an error. The detail has its words, cut and escaped.
    #[error("{detail}")]
    Remote {
        /// Its kind, if the other side gave it.
        code: Option<Code>,
        /// The text of the other side.
        detail: String,
    },
    /// The server does not permit a subject.
    #[error("the NATS server does not permit it: {0}")]
    NotPermitted(String),
    /// The lattice's store failed.
    #[error("the lattice's store failed to {doing}: {why}")]
    Store {
        /// The operation that failed.
        doing: &'static str,
        /// The reason.
        why: String,
    },
    /// Other hosts changed the key at each of 64 attempts. Nothing was written.
    #[error("{0} was not written, because others changed it at each attempt")]
    Contended(String),
}

impl Error {
    /// The stable text of the kind of error, for counters, logs and tests. The text for people is
    /// `to_string`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidOption { .. } => "invalid_option",
            Self::InvalidCredentials(_) => "invalid_credentials",
            Self::ExpiredCredentials(_) => "expired_credentials",
            Self::Unauthorized => "unauthorized",
            Self::Tls(_) => "tls",
            Self::Unreachable(_) => "unreachable",
            Self::NotConnected => "not_connected",
            Self::ConnectionLost => "connection_lost",
            Self::Closed => "closed",
            Self::NoResponders(_) => "no_responders",
            Self::Deadline(_) => "deadline",
            Self::TooLarge { .. } => "too_large",
            Self::Malformed { .. } => "malformed",
            Self::Content(_) => "content",
            Self::Forged(_) | Self::WrongMac(_) => "forged",
            Self::Misdirected { .. } => "misdirected",
            Self::Stale(_) => "stale",
            Self::Replayed => "replayed",
            Self::Overloaded => "overloaded",
            Self::Remote { .. } => "remote",
            Self::NotPermitted(_) => "not_permitted",
            Self::Store { .. } => "store",
            Self::Contended(_) => "contended",
        }
    }

    /// The same error with the name of the target in place of the subject. Other errors stay as
    /// they are.
    pub(crate) fn about(self, name: &Id) -> Self {
        match self {
            Self::NoResponders(_) => Self::NoResponders(name.to_string()),
            Self::Deadline(_) => Self::Deadline(name.to_string()),
            error => error,
        }
    }

    /// A message that cannot be read. `why` must be clipped if it quotes the message.
    pub(crate) fn malformed(what: &'static str, why: impl Into<String>) -> Self {
        let why = why.into();
        Self::Malformed { what, why }
    }

    /// An error of `JetStream` while it did this, with its text clipped.
    pub(crate) fn store(doing: &'static str, why: &dyn std::fmt::Display) -> Self {
        let why = clip(&why.to_string());
        Self::Store { doing, why }
    }

    /// The shared code, see the table of the module.
    fn core_code(&self) -> Code {
        match self {
            Self::NotConnected
            | Self::ConnectionLost
            | Self::Closed
            | Self::NoResponders(_)
            | Self::Unauthorized
            | Self::ExpiredCredentials(_)
            | Self::Unreachable(_)
            | Self::Tls(_)
            | Self::NotPermitted(_) => Code::Unavailable,
            Self::InvalidOption { .. }
            | Self::InvalidCredentials(_)
            | Self::TooLarge { .. }
            | Self::Malformed { .. } => Code::InvalidInput,
            Self::Forged(_)
            | Self::WrongMac(_)
            | Self::Misdirected { .. }
            | Self::Stale(_)
            | Self::Replayed => Code::InvalidClaims,
            Self::Deadline(_) => Code::Deadline,
            Self::Overloaded => Code::Overloaded,
            Self::Content(error) => error.code,
            Self::Remote { code, .. } => code.unwrap_or(Code::Provider),
            Self::Store { .. } => Code::Io,
            Self::Contended(_) => Code::Conflict,
        }
    }
}

impl From<Error> for exosuit_core::Error {
    fn from(error: Error) -> Self {
        Self::new(error.core_code(), error.to_string())
    }
}

/// A text from outside for an error: its first 300 characters, on one line, without control
/// characters.
pub(crate) fn clip(text: &str) -> String {
    const LENGTH: usize = 300;
    text.chars()
        .take(LENGTH)
        .flat_map(char::escape_debug)
        .collect()
}
