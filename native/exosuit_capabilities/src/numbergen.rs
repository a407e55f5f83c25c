//! `wasmcloud:builtin:numbergen`: random numbers and identifiers.

use std::future::ready;

use bytes::Bytes;
use exosuit_core::{
    Answer, Capability, CapabilityCall, Code, Contract, Error, Invocation, NUMBERGEN,
};
use serde::Deserialize;

use crate::message;

/// Makes random numbers from a generator that is fit for secrets.
pub struct NumberGen {
    contracts: Vec<Contract>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Range {
    min: u32,
    max: u32,
}

impl NumberGen {
    /// A generator, seeded by the operating system.
    pub fn new() -> Self {
        Self {
            contracts: NUMBERGEN.contracts(),
        }
    }

    fn answer(&self, invocation: &Invocation) -> Result<Bytes, Error> {
        match invocation.operation.as_str() {
            "NumberGen.GenerateGuid" => message::write(&guid()),
            "NumberGen.Random32" => message::write(&rand::random::<u32>()),
            "NumberGen.RandomInRange" => in_range(invocation),
            other => Err(message::unknown_operation(&self.contracts[0], other)),
        }
    }
}

impl Default for NumberGen {
    fn default() -> Self {
        Self::new()
    }
}

impl Capability for NumberGen {
    fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    fn invoke(&self, call: CapabilityCall) -> Answer {
        Box::pin(ready(self.answer(&call.invocation).map(Into::into)))
    }
}

fn guid() -> String {
    uuid::Builder::from_random_bytes(rand::random())
        .into_uuid()
        .to_string()
}

fn in_range(invocation: &Invocation) -> Result<Bytes, Error> {
    let shape = "{min: u32, max: u32}";
    let Range { min, max } =
        message::read(&invocation.operation, shape, invocation.payload.bytes()?)?;
    if min > max {
        return Err(Error::new(
            Code::InvalidInput,
            format!("the range from {min} to {max} is empty: min must not be above max"),
        ));
    }
    message::write(&rand::random_range(min..=max))
}
