//! `wasmcloud:builtin:numbergen`: random numbers and identifiers.
//!
//! Every host has it, and it needs a claim but no link. Numbers come from the thread's generator,
//! which the operating system seeds, and are fit for keys.
//!
//! | operation | argument | answer |
//! |---|---|---|
//! | `NumberGen.GenerateGuid` | | a UUID of version 4, as text |
//! | `NumberGen.Random32` | | a number of 32 bits |
//! | `NumberGen.RandomInRange` | `{min, max}` | a number between them, both included |

use std::future::ready;
use std::ops::RangeInclusive;

use bytes::Bytes;
use exosuit_core::{
    Answer, Capability, CapabilityCall, Code, Contract, Error, Invocation, NUMBERGEN,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde::Deserialize;

use crate::message;

/// Random numbers for actors.
pub struct NumberGen {
    contracts: Vec<Contract>,
    /// The generator of a test, shared by all calls. `None` in a host.
    seeded: Option<Mutex<StdRng>>,
}

/// The argument of `RandomInRange`.
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
            seeded: None,
        }
    }

    /// A generator for tests, which gives the same numbers for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seeded: Some(Mutex::new(StdRng::seed_from_u64(seed))),
            ..Self::new()
        }
    }

    /// Calls `make` with the generator.
    fn with<T>(&self, make: impl FnOnce(&mut dyn Rng) -> T) -> T {
        match &self.seeded {
            None => make(&mut rand::rng()),
            Some(seeded) => make(&mut *seeded.lock()),
        }
    }

    /// Decodes the operation and makes the number.
    fn answer(&self, invocation: &Invocation) -> Result<Bytes, Error> {
        match invocation.operation.as_str() {
            "NumberGen.GenerateGuid" => message::write(&self.with(|rng| guid(rng))),
            "NumberGen.Random32" => message::write(&self.with(|rng| rng.next_u32())),
            "NumberGen.RandomInRange" => {
                let range = range(invocation)?;
                message::write(&self.with(|rng| rng.random_range(range)))
            }
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

/// A random UUID.
fn guid(rng: &mut dyn Rng) -> String {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

/// The range of a call. `invalid_input` if it is empty.
fn range(invocation: &Invocation) -> Result<RangeInclusive<u32>, Error> {
    let shape = "{min: u32, max: u32}";
    let Range { min, max } =
        message::read(&invocation.operation, shape, invocation.payload.bytes()?)?;
    if min > max {
        return Err(Error::new(
            Code::InvalidInput,
            format!("the range from {min} to {max} is empty: min must not be above max"),
        ));
    }
    Ok(min..=max)
}
