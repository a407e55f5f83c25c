//! Lines of JSON, out and in.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::printable;

/// The version of the conversation.
const VERSION: u64 = 1;

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
    pub(crate) fn request(&mut self, command: &str, arguments: &Value) -> Result<Value, Failure> {
        let request = json!({"v": VERSION, "id": 1, "command": command, "arguments": arguments});
        // A host that is about to say why it hangs up no longer reads.
        let sent = writeln!(self.stream.get_ref(), "{request}");
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
        match answer.get("ok") {
            Some(ok) => Ok(ok.clone()),
            None => Err(refusal(&answer["error"])),
        }
    }

    /// The next line, or nothing once the host has hung up.
    pub(crate) fn next(&mut self) -> Result<Option<Value>, Failure> {
        let mut line = Vec::new();
        let read = (&mut self.stream)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line);
        match read {
            Ok(_) if !line.ends_with(b"\n") => Ok(None),
            Ok(_) => parsed(&line).map(Some),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(Failure::io("cannot read the host's answer", &error)),
        }
    }
}

fn parsed(line: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(line).map_err(|error| {
        Failure::refused(
            "internal",
            format!("the host's answer is not JSON: {error}"),
        )
    })
}

/// What the host refused, with what is wrong in a manifest line by line. A guest may have chosen the
/// words, so nothing in them steers a terminal.
pub(crate) fn refusal(error: &Value) -> Failure {
    let text = |field: &str| error[field].as_str().unwrap_or("unknown").to_owned();
    let diagnostics = error["diagnostics"].as_array();
    let more = diagnostics.into_iter().flatten().filter_map(Value::as_str);
    let detail = printable(&text("detail"));
    let lines = more.fold(detail, |lines, line| lines + "\n  " + &printable(line));
    Failure::refused(&text("code"), lines)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_does_not_steer_a_terminal() {
        let error = json!({"code": "guest", "detail": "a\u{1b}[2J\nb", "diagnostics": ["c\rd"]});
        let failure = refusal(&error).to_json();
        assert_eq!(failure["code"], "guest");
        assert_eq!(failure["error"], "a\\u{1b}[2J\\nb\n  c\\rd");
    }
}
