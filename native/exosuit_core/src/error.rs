//! The errors of invocations.

use std::fmt;

/// The reason why a call has no answer: a code for programs, and a detail for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Error {
    /// The kind of error.
    pub code: Code,
    /// What was wrong, where, and what would be right. Never a secret or a payload.
    pub detail: String,
}

impl Error {
    /// An error of this kind.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// The kinds of errors. Their texts are stable: they reach Elixir as atoms and clients as codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable text.
            ///
            /// ```
            /// use exosuit_core::{Code, Error};
            ///
            /// let error = Error::new(Code::MissingLink, "actor a has no link to kv");
            /// assert_eq!(error.code.as_str(), "missing_link");
            /// assert_eq!(error.to_string(), "actor a has no link to kv");
            /// ```
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    /// The call was given up before it was answered: its actor was stopped or killed, or a task died.
    Dropped => "dropped",
    /// The guest stopped itself: `unreachable`, a bad memory access, a panic.
    Trap => "trap",
    /// A limit on the guest was reached: memory, table, stack.
    Limit => "limit",
    /// The deadline of the call passed.
    Deadline => "deadline",
    /// The maximum number of calls run and wait already.
    Overloaded => "overloaded",
    /// The calls are nested too deeply.
    Depth => "depth",
    /// The guest answered with an error of its own.
    Guest => "guest",
    /// The provider answered with an error.
    Provider => "provider",
    /// No link allows the call.
    MissingLink => "missing_link",
    /// The claims do not name the capability.
    MissingClaim => "missing_claim",
    /// The grant does not cover it: a host that a link does not name.
    Denied => "denied",
    /// The claims have expired.
    ExpiredClaims => "expired_claims",
    /// Nothing here has that name.
    UnknownTarget => "unknown_target",
    /// The target has no such operation.
    UnknownOperation => "unknown_operation",
    /// The target is specified but does not run.
    Unavailable => "unavailable",
    /// The other end of a link, or its settings, are wrong.
    InvalidLink => "invalid_link",
    /// The input is not of the expected form.
    InvalidInput => "invalid_input",
    /// The module is not one that runs here.
    InvalidModule => "invalid_module",
    /// The token is missing, malformed, forged, expired or of an issuer that is not trusted.
    InvalidClaims => "invalid_claims",
    /// Something with the same name, port or place exists already.
    Conflict => "conflict",
    /// A file, a socket or the store failed.
    Io => "io",
    /// A fault of Exosuit itself.
    Internal => "internal",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
