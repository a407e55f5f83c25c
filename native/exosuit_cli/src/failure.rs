//! Errors of commands: their texts and exit codes.
//!
//! A failure has a text for people, a code for programs, and an exit code. Codes of hosts are
//! passed on as they are. This crate's own codes are `usage`, `missing`, `io`, `refused`,
//! `incomplete`, `version` and `internal`.

use std::borrow::Cow;
use std::fmt::Display;
use std::process::ExitCode;

use crate::redact::redact;

/// The error of a command.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The text for people. It is redacted when it is printed.
    text: String,
    /// The stable code.
    code: Cow<'static, str>,
    /// The exit code: 1 or 2.
    exit: u8,
}

impl Failure {
    /// A mistake in the command line: exit code 2.
    pub(crate) fn usage(text: impl Display) -> Self {
        Self {
            text: text.to_string(),
            code: "usage".into(),
            exit: 2,
        }
    }

    /// Something that the command needs does not exist: exit code 1.
    pub(crate) fn missing(text: impl Display) -> Self {
        Self {
            text: text.to_string(),
            code: "missing".into(),
            exit: 1,
        }
    }

    /// A file or a program could not be used: exit code 1.
    pub(crate) fn io(what: impl Display, error: &std::io::Error) -> Self {
        Self {
            text: format!("{what}: {error}"),
            code: "io".into(),
            exit: 1,
        }
    }

    /// A host refused the command, with its own code: exit code 1.
    pub(crate) fn refused(code: &str, text: impl Display) -> Self {
        Self {
            text: text.to_string(),
            code: code.to_owned().into(),
            exit: 1,
        }
    }

    /// Puts the subject of the error before its text.
    pub(crate) fn about(self, subject: impl Display) -> Self {
        Self {
            text: format!("{subject}: {}", self.text),
            ..self
        }
    }

    /// Replaces the error if it has this code.
    pub(crate) fn or_if(self, code: &str, other: impl FnOnce() -> Self) -> Self {
        if self.code == code { other() } else { self }
    }

    /// Whether it has this code.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// The error as `--json` prints it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"error": redact(&self.text), "code": self.code})
    }

    /// Prints the error for people, and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("error: {}", redact(&self.text));
        ExitCode::from(self.exit)
    }
}

impl From<exosuit_lattice::Error> for Failure {
    fn from(error: exosuit_lattice::Error) -> Self {
        Self {
            text: error.to_string(),
            code: error.code().into(),
            exit: 1,
        }
    }
}

impl From<exosuit_claims::Error> for Failure {
    fn from(error: exosuit_claims::Error) -> Self {
        Self {
            text: error.to_string(),
            code: error.code().into(),
            exit: 1,
        }
    }
}
