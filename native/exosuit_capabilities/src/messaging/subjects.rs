//! The subjects that actors may use.
//!
//! | subject | send | hear |
//! |---|---|---|
//! | `orders.new` | yes | yes |
//! | `orders.*`, `orders.>` | no | yes |
//! | `wasmbus.…`, `exosuit.…`, `wadm.…` | no | no |
//! | `$…` | no | no |
//! | `_INBOX.…` | yes, to answer | no |
//! | `>`, `*.new` | no | no: they would match the ones above |
//!
//! Calls between hosts are signed, so a subject alone gives no power. But an actor that hears them
//! would read payloads of others, and one that sends could flood them.

use exosuit_core::{Code, Error};

/// The longest subject in bytes. A few of them must fit on a line of the protocol, which has 4,096.
const MAX_SUBJECT: usize = 1_024;

/// The first tokens of subjects by which hosts are called and commanded, and applications deployed.
const RESERVED: &[&str] = &["wasmbus", "exosuit", "wadm"];

/// Where the answers to requests go.
const INBOXES: &str = "_INBOX";

/// The subjects that actors may use.
pub(crate) struct Subjects {
    reserved: Vec<String>,
}

impl Subjects {
    /// All subjects may be used, but for those that are always reserved and these.
    pub(crate) fn new(reserved: &[String]) -> Self {
        let always = RESERVED.iter().map(ToString::to_string);
        Self {
            reserved: always.chain(reserved.iter().cloned()).collect(),
        }
    }

    /// Checks a subject that an actor sends to.
    ///
    /// # Errors
    ///
    /// `invalid_input` for its form or a wildcard, `denied` for a reserved one.
    pub(crate) fn check_sent(&self, subject: &str) -> Result<(), Error> {
        let is_name = |token: &str| !matches!(token, "*" | ">");
        if !is_subject(subject) || !subject.split('.').all(is_name) {
            return Err(invalid("a subject", "without wildcards"));
        }
        if subject.starts_with('$') || self.is_reserved(subject) {
            return Err(denied(subject));
        }
        Ok(())
    }

    /// Checks a pattern that an actor listens to.
    ///
    /// # Errors
    ///
    /// `invalid_input` for its form, `denied` if it could match a reserved subject or an inbox.
    pub(crate) fn check_heard(&self, pattern: &str) -> Result<(), Error> {
        let mut tokens = pattern.split('.').rev();
        let is_last_only = tokens.by_ref().skip(1).all(|token| token != ">");
        if !is_subject(pattern) || !is_last_only {
            return Err(invalid("a subscription", "with `>` only at its end"));
        }
        if pattern.starts_with('$') || self.is_reserved(pattern) || overlap(pattern, INBOXES) {
            return Err(denied(pattern));
        }
        Ok(())
    }

    /// Whether a subject or pattern could mean a reserved one.
    fn is_reserved(&self, pattern: &str) -> bool {
        let mut reserved = self.reserved.iter();
        reserved.any(|reserved| overlap(pattern, reserved))
    }
}

/// Whether a text has the form of a subject or a pattern.
fn is_subject(text: &str) -> bool {
    let is_token = |token: &str| {
        !token.is_empty() && !token.chars().any(|c| c.is_whitespace() || c.is_control())
    };
    text.len() <= MAX_SUBJECT && text.split('.').all(is_token)
}

/// Whether a pattern covers the reserved subject, or one below it.
fn overlap(pattern: &str, reserved: &str) -> bool {
    let mut tokens = pattern.split('.');
    for wanted in reserved.split('.') {
        match tokens.next() {
            Some(">") => return true,
            Some("*") => {}
            Some(token) if token == wanted => {}
            _ => return false,
        }
    }
    true
}

/// The error for a text that is not a subject.
fn invalid(what: &str, how: &str) -> Error {
    let detail = format!(
        "{what} must be names between dots, {how}, of at most {MAX_SUBJECT} bytes without blanks"
    );
    Error::new(Code::InvalidInput, detail)
}

/// The error for a reserved subject, of which the first characters are quoted.
fn denied(subject: &str) -> Error {
    let start: String = subject.chars().take(64).collect();
    let detail = format!("{start:?} is, or may match, a subject that actors may not use");
    Error::new(Code::Denied, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(result: Result<(), Error>) -> Option<Code> {
        result.err().map(|error| error.code)
    }

    #[test]
    fn what_hosts_use_is_denied() {
        let subjects = Subjects::new(&["my.control".to_owned()]);
        for subject in [
            "wasmbus",
            "wasmbus.ctl.default.x",
            "wasmbus.rpc.default.MACTOR",
            "exosuit.rpc.x.y",
            "wadm.api.x",
            "$JS.API.STREAM.DELETE.x",
            "$KV.LATTICEDATA_default.x",
            "$SYS.REQ",
            "$",
            "my.control",
            "my.control.x",
        ] {
            assert_eq!(
                code(subjects.check_sent(subject)),
                Some(Code::Denied),
                "{subject}"
            );
            assert_eq!(
                code(subjects.check_heard(subject)),
                Some(Code::Denied),
                "{subject}"
            );
        }
        for pattern in [
            ">",
            "*",
            "*.>",
            "*.ctl.>",
            "wasmbus.>",
            "$JS.>",
            "_INBOX.>",
            "_INBOX",
            "_INBOX.x.*",
            "my.>",
            "my.*",
            "*.control.x",
        ] {
            assert_eq!(
                code(subjects.check_heard(pattern)),
                Some(Code::Denied),
                "{pattern}"
            );
        }
        for subject in [
            "orders",
            "orders.new",
            "wasmbusses.x",
            "my.controls",
            "my",
            "a.$JS",
            "ä.ö",
        ] {
            assert_eq!(code(subjects.check_sent(subject)), None, "{subject}");
            assert_eq!(code(subjects.check_heard(subject)), None, "{subject}");
        }
        assert_eq!(code(subjects.check_sent("_INBOX.x.y")), None);
        for pattern in ["orders.*", "orders.>", "a.*.c", "my.x.*"] {
            assert_eq!(code(subjects.check_heard(pattern)), None, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_subject_is_an_error() {
        let subjects = Subjects::new(&[]);
        let long = "x".repeat(MAX_SUBJECT + 1);
        let bad = [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a b",
            "a\r\nPUB b",
            "a\0",
            &long,
        ];
        for subject in bad.into_iter().chain(["a.*", "a.>", ">"]) {
            assert_eq!(
                code(subjects.check_sent(subject)),
                Some(Code::InvalidInput),
                "{subject}"
            );
        }
        for pattern in bad.into_iter().chain(["a.>.b", ">.a"]) {
            assert_eq!(
                code(subjects.check_heard(pattern)),
                Some(Code::InvalidInput),
                "{pattern}"
            );
        }
    }
}
