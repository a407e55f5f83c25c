//! The connection to a host's socket: lines of JSON in both directions.
//!
//! The socket admits only its owner: it is a file with rights for its owner, so there is no login.
//! One connection carries one command, or a stream of events.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::failure::Failure;
use crate::protocol::{self, Command};

/// The longest line that is read: an answer of 16 MiB in base64, and more.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// An open connection to a host of this machine.
pub(crate) struct Session {
    stream: BufReader<UnixStream>,
}

impl Session {
    /// Connects. If no host listens, the error says how to start one.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path).map_err(|error| absent(path, &error))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a command, and waits for the answer.
    pub(crate) fn request(&mut self, command: &Command) -> Result<Value, Failure> {
        // The host may have closed its side after an error; its last line says why, so an error
        // here is ignored.
        let sent = writeln!(self.stream.get_ref(), "{}", command.line());
        let answer = match (self.next()?, sent) {
            (Some(answer), _) => answer,
            (None, Err(error)) => {
                return Err(Failure::io("cannot send the request to the host", &error));
            }
            (None, Ok(())) => {
                return Err(Failure::missing(
                    "the host closed the connection without an answer",
                ));
            }
        };
        protocol::answer(&answer)
    }

    /// The next line, or `None` once the host has closed the connection.
    pub(crate) fn next(&mut self) -> Result<Option<Value>, Failure> {
        let mut line = Vec::new();
        let read = (&mut self.stream)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line);
        match read {
            Ok(_) if !line.ends_with(b"\n") => Ok(None),
            Ok(_) => protocol::parse(&line).map(Some),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(Failure::io("cannot read the host's answer", &error)),
        }
    }
}

/// The error of a socket that nobody serves, or that belongs to another user.
fn absent(path: &Path, error: &std::io::Error) -> Failure {
    let path = path.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Failure::missing(format!(
            "no host runs at {path}; start one with `bin/exosuit up MANIFEST`, or name another host with --socket or --data-dir"
        )),
        ErrorKind::PermissionDenied => {
            Failure::missing(format!("the host at {path} belongs to another user"))
        }
        _ => Failure::io(format!("cannot reach a host at {path}"), error),
    }
}
