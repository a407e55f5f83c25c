//! The errors between hosts.

use exosuit_core::{Code, Id};

/// The reason why an operation on the lattice failed. Its texts never hold a credential or a payload.
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
    /// The credentials cannot be read, or do not have the form of credentials.
    #[error("the credentials for the lattice cannot be used: {0}")]
    InvalidCredentials(String),
    /// The user token has expired.
    #[error("the user token for the lattice has expired: {0}")]
    ExpiredCredentials(String),
    /// The server refuses the credentials.
    #[error("the NATS server refused the credentials")]
    Unauthorized,
    /// The TLS handshake with the server failed.
    #[error("TLS with the NATS server failed: {0}")]
    Tls(String),
    /// No server answers.
    #[error("no NATS server can be reached: {0}")]
    Unreachable(String),
    /// There is no connection now.
    #[error("not connected to the lattice")]
    NotConnected,
    /// The connection was lost during a call. The call may have been served.
    #[error("the connection to the lattice was lost before the answer came")]
    ConnectionLost,
    /// The connection was closed.
    #[error("the connection to the lattice is closed")]
    Closed,
    /// No host serves the target of the call.
    #[error("no host on the lattice serves {0}")]
    NoResponders(String),
    /// No answer came before the deadline.
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
    /// The token of an invocation is not valid.
    #[error("Anti-forgery check failed: {0}")]
    Forged(#[source] exosuit_claims::Error),
    /// The MAC of an invocation, or of the answer to one, is not valid.
    #[error("Anti-forgery check failed: {0}")]
    WrongMac(&'static str),
    /// The invocation is for another target.
    #[error("Anti-forgery check failed: the invocation is for {claimed}, not for {actual}")]
    Misdirected {
        /// The target in the invocation.
        claimed: String,
        /// The target that received it.
        actual: String,
    },
    /// The invocation was signed too long ago, or in the future.
    #[error(
        "Anti-forgery check failed: the invocation was signed at {0}, more than 30 s from this \
         host's time or before its start"
    )]
    Stale(String),
    /// The invocation was served before.
    #[error("Anti-forgery check failed: the invocation was received before")]
    Replayed,
    /// The maximum number of calls from the lattice run and wait already.
    #[error("too many calls from the lattice run and wait on this host; try again later")]
    Overloaded,
    /// The other side answered with an error.
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
    /// Other hosts changed the same value again and again.
    #[error("{0} was not written, because others changed it at each attempt")]
    Contended(String),
}

impl Error {
    /// The stable text, for programs.
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

    /// The same error, which names the target of the call instead of the subject of its message.
    pub(crate) fn about(self, name: &Id) -> Self {
        match self {
            Self::NoResponders(_) => Self::NoResponders(name.to_string()),
            Self::Deadline(_) => Self::Deadline(name.to_string()),
            error => error,
        }
    }

    pub(crate) fn malformed(what: &'static str, why: impl Into<String>) -> Self {
        let why = why.into();
        Self::Malformed { what, why }
    }

    pub(crate) fn store(doing: &'static str, why: &dyn std::fmt::Display) -> Self {
        let why = clip(&why.to_string());
        Self::Store { doing, why }
    }

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

/// Shortens a text from outside to the length that an error may quote, on one line.
pub(crate) fn clip(text: &str) -> String {
    const LENGTH: usize = 300;
    text.chars()
        .take(LENGTH)
        .flat_map(char::escape_debug)
        .collect()
}
