//! `exosuit call`: a payload in, an answer out, as they are.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::address::At;
use crate::failure::Failure;
use crate::files;
use crate::output::{self, printable};

/// What a host takes in a call.
const MAX_PAYLOAD: usize = 16 * 1024 * 1024;

#[derive(Args)]
#[command(after_long_help = "\
The answer's bytes go to stdout as they are; on a terminal, what would steer it is escaped. With
--json: {\"payload_base64\": \"...\"}. Actors of wasmCloud speak MessagePack;
a program (wasi:cli/run) takes the payload as its input and answers with its output.

Examples:
  exosuit call echo Echo.Say hello
  exosuit call shout wasi:cli/run#run - < words.txt
  exosuit call MBQ4... HttpServer.HandleRequest @request.msgpack --timeout 500ms > answer.msgpack")]
pub(crate) struct Call {
    /// The actor, by id, public key or call alias.
    actor: String,
    /// The operation, like Echo.Say.
    operation: String,
    /// The payload: a text, @FILE, or - for stdin [default: none].
    payload: Option<String>,
    /// How long to wait, like 500ms, 5s or 2m [default: the host's].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    at: At,
}

impl Call {
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.at.reported(|| {
            let timeout = self.timeout.map(|timeout| timeout.as_millis());
            let arguments = json!({
                "actor": self.actor,
                "operation": self.operation,
                "payload_base64": BASE64.encode(&payload(self.payload.as_deref())?),
                "timeout_ms": timeout.and_then(|timeout| u64::try_from(timeout).ok()),
            });
            let answer = self.at.session(None)?.request("call", &arguments)?;
            if self.at.json {
                return output::line(answer);
            }
            write(&decoded(&answer)?)
        })
    }
}

fn payload(given: Option<&str>) -> Result<Vec<u8>, Failure> {
    match given {
        None => Ok(Vec::new()),
        Some("-") => stdin(),
        Some(text) => match text.strip_prefix('@') {
            Some(file) => files::read(Path::new(file), MAX_PAYLOAD),
            None => Ok(text.as_bytes().to_vec()),
        },
    }
}

fn stdin() -> Result<Vec<u8>, Failure> {
    files::read(Path::new("/dev/stdin"), MAX_PAYLOAD)
}

fn decoded(answer: &Value) -> Result<Vec<u8>, Failure> {
    let base64 = answer["payload_base64"].as_str().unwrap_or_default();
    let bytes = BASE64.decode(base64.as_bytes());
    bytes.map_err(|error| Failure::refused("internal", format!("the answer is damaged: {error}")))
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() {
        let lines = String::from_utf8_lossy(bytes);
        let lines = lines.lines().map(printable).collect::<Vec<_>>();
        drop(stdout);
        return output::line(lines.join("\n"));
    }
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::io("cannot write to stdout", &error))
}

/// A number and a unit: `500ms`, `5s`, `2m`. At most a day, as the host has it.
fn duration(text: &str) -> Result<Duration, String> {
    let milliseconds = || {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(unit)
    };
    let range = 1..=86_400_000;
    let given = milliseconds().filter(|milliseconds| range.contains(milliseconds));
    given
        .map(Duration::from_millis)
        .ok_or_else(|| "expected a number and one of ms, s, m, like 5s, a day at most".to_owned())
}
