//! `wasmcloud:builtin:logging`: an actor's lines for the host's log.

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use exosuit_core::{
    Answer, Capability, CapabilityCall, Code, Contract, Error, Invocation, LogGate, LogLevel,
    Origin,
};
use serde::Deserialize;

use crate::message;

/// Passes the lines that actors log on to the gate of their host, which bounds rate and length.
pub struct Logging {
    contracts: [Contract; 1],
    gate: Arc<LogGate>,
}

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
            contracts: [message::contract("wasmcloud:builtin:logging")],
            gate,
        }
    }

    fn answer(&self, invocation: &Invocation) -> Result<Bytes, Error> {
        if invocation.operation != "Logging.WriteLog" {
            return Err(message::unknown_operation(
                &self.contracts[0],
                &invocation.operation,
            ));
        }
        let Origin::Actor(actor) = &invocation.origin else {
            return Err(Error::new(Code::InvalidInput, "only an actor can log"));
        };
        let shape = "{level: str, text: str}";
        let entry: Entry =
            message::read(&invocation.operation, shape, invocation.payload.bytes()?)?;
        self.gate.write(actor, level(&entry.level), &entry.text);
        Ok(Bytes::new())
    }
}

impl Capability for Logging {
    fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    fn invoke(&self, call: CapabilityCall) -> Answer {
        Box::pin(ready(self.answer(&call.invocation).map(Into::into)))
    }
}

/// A level that is not known is an error's: rather heard too loudly than missed.
fn level(text: &str) -> LogLevel {
    match text.to_ascii_lowercase().as_str() {
        "trace" | "debug" => LogLevel::Debug,
        "info" => LogLevel::Info,
        "warn" | "warning" => LogLevel::Warning,
        _ => LogLevel::Error,
    }
}
