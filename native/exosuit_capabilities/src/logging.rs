//! `wasmcloud:builtin:logging` and `wasi:logging`: an actor's lines for the host's log.
//!
//! Every host has it, and it needs a claim but no link. A call ends at once: lines beyond the rate of the actor are
//! dropped by the gate and counted, and an actor never waits for the log. Unknown levels are errors of the log, not
//! of the call.

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use exosuit_core::{
    Answer, Capability, CapabilityCall, Code, Contract, Error, Invocation, LOGGING, LogGate,
    LogLevel, Origin, Payload, Reply, Value,
};
use serde::Deserialize;

use crate::message;
use crate::wit::{Arguments, function};

/// Passes the lines that actors log on to the gate of their host, which bounds rate and length.
pub struct Logging {
    contracts: Vec<Contract>,
    gate: Arc<LogGate>,
}

/// A line with its level, decoded from either contract.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    level: String,
    text: String,
}

impl Logging {
    /// Logging through this gate.
    pub fn new(gate: Arc<LogGate>) -> Self {
        Self {
            contracts: LOGGING.contracts(),
            gate,
        }
    }

    /// Decodes a line and passes it to the gate. A line that the gate drops is still a success for
    /// the actor.
    fn answer(&self, invocation: Invocation) -> Result<Reply, Error> {
        let Invocation {
            origin,
            operation,
            payload,
            ..
        } = invocation;
        let (entry, reply) = match function(&operation, "wasi:logging") {
            Some(("logging", "log")) => (Entry::of_wit(payload)?, Reply::Value(Value::Nil)),
            None if operation == "Logging.WriteLog" => {
                (Entry::of_wasmbus(&payload)?, Reply::Bytes(Bytes::new()))
            }
            other => {
                let contract = &self.contracts[usize::from(other.is_some())];
                return Err(message::unknown_operation(contract, &operation));
            }
        };
        let Origin::Actor(actor) = &origin else {
            return Err(Error::new(Code::InvalidInput, "only an actor can log"));
        };
        self.gate.write(actor, level(&entry.level), &entry.text);
        Ok(reply)
    }
}

impl Entry {
    /// The line of `Logging.WriteLog`.
    fn of_wasmbus(payload: &Payload) -> Result<Self, Error> {
        let shape = "{level: str, text: str}";
        message::read("Logging.WriteLog", shape, payload.bytes()?)
    }

    /// From the values of the WIT function. Its context comes before the message.
    fn of_wit(payload: Payload) -> Result<Self, Error> {
        let shape = "logging#log(level, context: string, message: string)";
        Arguments::read(shape, payload.into_values()?, |given| {
            let (level, context, message) = (given.name()?, given.text()?, given.text()?);
            let text = if context.is_empty() {
                message
            } else {
                format!("[{context}] {message}")
            };
            Some(Self { level, text })
        })
    }
}

impl Capability for Logging {
    fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    fn invoke(&self, call: CapabilityCall) -> Answer {
        Box::pin(ready(self.answer(call.invocation)))
    }
}

/// The level of a text. An unknown level becomes an error: rather too loud than lost.
fn level(text: &str) -> LogLevel {
    match text.to_ascii_lowercase().as_str() {
        "trace" | "debug" => LogLevel::Debug,
        "info" => LogLevel::Info,
        "warn" | "warning" => LogLevel::Warning,
        _ => LogLevel::Error,
    }
}
