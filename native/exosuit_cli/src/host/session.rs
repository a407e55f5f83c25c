//! Lines of JSON, out and in.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::failure::Failure;
use crate::protocol::{self, Command};

/// An answer of sixteen mebibytes as base64, and then some.
const MAX_LINE: u64 = 64 * 1024 * 1024;

pub(crate) struct Session {
    stream: BufReader<UnixStream>,
}

impl Session {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path).map_err(|error| absent(path, &error))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Asks one thing, and waits for the answer.
    pub(crate) fn request(&mut self, command: &Command) -> Result<Value, Failure> {
        // A host that is about to say why it hangs up no longer reads.
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

    /// The next line, or nothing once the host has hung up.
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

fn absent(path: &Path, error: &std::io::Error) -> Failure {
    let path = path.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Failure::missing(format!(
            "no host runs at {path}; start one with `bin/exosuit up MANIFEST`, or say where it is with --socket or --data-dir"
        )),
        ErrorKind::PermissionDenied => {
            Failure::missing(format!("the host at {path} is somebody else's"))
        }
        _ => Failure::io(format!("cannot reach a host at {path}"), error),
    }
}
