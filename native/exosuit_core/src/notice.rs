//! Events that no caller waits for. They become events and log lines in Elixir.

use crate::{Contract, Error, Id, LinkName, Origin};

/// The level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// For the developer.
    Debug,
    /// Normal operation.
    Info,
    /// Something may be wrong.
    Warning,
    /// Something failed.
    Error,
}

impl LogLevel {
    /// The level as Elixir's `Logger` names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// An event.
#[derive(Debug, Clone)]
pub enum Notice {
    /// An actor wrote a line: to stdout or stderr, or by the logging capability.
    Log {
        /// The actor.
        actor: Id,
        /// The level of the line.
        level: LogLevel,
        /// The line, without its end.
        text: String,
    },
    /// An actor wrote more than it may, and so many lines were dropped.
    LogDropped {
        /// The actor.
        actor: Id,
        /// The number of lines.
        lines: u64,
    },
    /// A call was refused, or failed in a way that an operator wants to know.
    CallFailed {
        /// The caller.
        origin: Origin,
        /// The target, as the caller named it.
        target: String,
        /// The operation.
        operation: String,
        /// The reason why the call has no answer.
        error: Error,
    },
    /// A link has no effect until the reason is fixed and the link is put again.
    LinkRefused {
        /// The source.
        source: Id,
        /// The target.
        target: Id,
        /// The contract.
        contract: Contract,
        /// The name of the link.
        name: LinkName,
        /// Why it is refused.
        error: Error,
    },
    /// A part of a link has no effect, but the link works.
    LinkWarning {
        /// The source.
        source: Id,
        /// The target.
        target: Id,
        /// The contract.
        contract: Contract,
        /// The name of the link.
        name: LinkName,
        /// The part without effect, the reason, and what would be right.
        text: String,
    },
    /// A part of a provider's configuration has no effect, or its service is impaired.
    ProviderWarning {
        /// The provider.
        provider: Id,
        /// The setting, the reason, and the right use.
        text: String,
    },
    /// A provider works again after a warning.
    ProviderRecovered {
        /// The provider.
        provider: Id,
        /// The part that works again.
        text: String,
    },
    /// An actor runs, but the alias in its token cannot be used.
    AliasRefused {
        /// The actor.
        actor: Id,
        /// The alias.
        alias: String,
        /// Why it is refused.
        error: Error,
    },
    /// A connection to the lattice changed.
    Connection {
        /// The connection: `control` or `rpc`.
        connection: &'static str,
        /// The name of the event: `lattice_disconnected`.
        change: &'static str,
        /// The error.
        error: Option<Error>,
    },
    /// The files of a certificate changed.
    Certificate {
        /// The provider that uses it.
        provider: Id,
        /// The file of the certificate.
        file: String,
        /// The name of the event: `certificate_changed` or `certificate_refused`.
        change: &'static str,
        /// The reason why the files cannot be used. The old certificate stays in use.
        error: Option<Error>,
    },
    /// Calls from the lattice were refused before they reached their targets.
    CallsRefused {
        /// The target of the last of these calls.
        target: String,
        /// The kind of reason: `replayed`.
        kind: &'static str,
        /// The number of refused calls since the last notice.
        count: u64,
        /// The reason why the last call was refused.
        error: Error,
    },
    /// The clock of another host differs from this one. If the difference grows, its calls will be
    /// refused.
    ClockSkew {
        /// The caller there, or the answering target.
        source: String,
        /// The milliseconds by which that clock is ahead; negative if it is behind.
        milliseconds: i64,
    },
}

/// Takes events that no caller waits for.
pub trait Observe: Send + Sync {
    /// Takes an event. Never blocks: events that find no room are counted and dropped.
    fn observe(&self, notice: Notice);
}
