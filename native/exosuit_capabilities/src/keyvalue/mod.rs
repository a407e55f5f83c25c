//! The key-value store: every operation of `wasmcloud:keyvalue`, once, over ordered records.
//!
//! `contract` reads an operation, `work` sends it to `space` or `changes`, which carry it out on the
//! records that `layout` describes; `transaction` makes it whole or undone and counts the bytes;
//! `memory` and `file` are where records are kept.

mod changes;
mod contract;
mod file;
mod layout;
mod memory;
mod records;
mod space;
mod transaction;
mod work;

use std::future::ready;
use std::path::Path;
use std::sync::Arc;

use exosuit_core::{
    Answer, Capability, CapabilityCall, Code, Configuration, Contract, Done, Error, Id, Link,
};

use crate::message;
use crate::settings::{Settings, invalid};
use contract::Operation;
use work::{Clock, Limits, Place, Work, system_clock};

/// The longest name of a bucket: its length takes one byte of every record's key.
const MAX_BUCKET: usize = 128;

/// The provider of `wasmcloud:keyvalue`.
///
/// Data is apart by provider and bucket; actors that are linked with the same bucket share it. A
/// write is answered when it is done: on disk, for the file.
///
/// # Settings
///
/// | key | default | |
/// |---|---|---|
/// | `backend` | `memory` | `file` keeps the data in `keyvalue/<id>.redb` of the host's data directory |
/// | `max_bytes` | 256m | of all data of the provider |
/// | `max_value_bytes` | 16m | of a text, or of an item in a list |
/// | `max_items` | 65536 | of a list or set |
///
/// Of a link: `bucket`, `default` unless given.
pub struct KeyValue {
    id: Id,
    contracts: [Contract; 1],
    limits: Limits,
    clock: Clock,
    store: Box<dyn Store>,
}

/// Where records are kept.
trait Store: Send + Sync {
    /// Does the work: whole, or not at all.
    fn run(&self, work: Work) -> Answer;

    /// Ends what was asked for, and lets go of the file.
    fn stop(&self) -> Done;
}

impl KeyValue {
    /// Opens the store. Waits for the disk, and a little for another that is just letting go of
    /// the same file: not for an async thread.
    pub fn open(
        id: Id,
        configuration: &Configuration,
        data_dir: Option<&Path>,
    ) -> Result<Arc<Self>, Error> {
        Self::open_at(id, configuration, data_dir, Arc::new(system_clock))
    }

    fn open_at(
        id: Id,
        configuration: &Configuration,
        data_dir: Option<&Path>,
        clock: Clock,
    ) -> Result<Arc<Self>, Error> {
        let mut settings = Settings::default();
        settings.lay(configuration);
        let limits = limits(&settings)?;
        let store: Box<dyn Store> = match settings.text("backend").unwrap_or("memory") {
            "memory" => Box::new(memory::Memory::default()),
            "file" => Box::new(file::File::open(&id, data_dir)?),
            other => return Err(invalid("backend", other, "memory or file")),
        };
        Ok(Arc::new(Self {
            id,
            contracts: [message::contract("wasmcloud:keyvalue")],
            limits,
            clock,
            store,
        }))
    }

    fn work(&self, call: &CapabilityCall) -> Result<Work, Error> {
        let invocation = &call.invocation;
        let operation = Operation::read(&invocation.operation, invocation.payload.bytes()?)
            .ok_or_else(|| {
                message::unknown_operation(&self.contracts[0], &invocation.operation)
            })??;
        let place = Place {
            bucket: self.bucket(call.link.as_deref())?,
            limits: self.limits,
            clock: self.clock.clone(),
        };
        Ok(Work { operation, place })
    }

    fn bucket(&self, link: Option<&Link>) -> Result<Box<str>, Error> {
        let bucket = link
            .and_then(|link| link.seen_from(&self.id).0.get("bucket"))
            .map_or("default", String::as_str);
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if (1..=MAX_BUCKET).contains(&bucket.len()) && bucket.bytes().all(good) {
            Ok(bucket.into())
        } else {
            Err(invalid(
                "bucket",
                bucket,
                "1 to 128 of A-Z, a-z, 0-9, -, _ and .",
            ))
        }
    }
}

impl Capability for KeyValue {
    fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    fn invoke(&self, call: CapabilityCall) -> Answer {
        match self.work(&call) {
            Ok(work) => self.store.run(work),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn link(&self, link: Arc<Link>) -> Done {
        let contract = &self.contracts[0];
        let checked = if link.contract == *contract {
            self.bucket(Some(&link)).map(drop)
        } else {
            let detail = format!(
                "the key-value store offers {contract}, not {}",
                link.contract
            );
            Err(Error::new(Code::InvalidLink, detail))
        };
        Box::pin(ready(checked))
    }

    fn stop(&self) -> Done {
        self.store.stop()
    }
}

fn limits(settings: &Settings) -> Result<Limits, Error> {
    Ok(Limits {
        bytes: settings.bytes("max_bytes", 256 << 20, 1 << 10..=1 << 40)?,
        value_bytes: settings.bytes("max_value_bytes", 16 << 20, 1..=1 << 30)?,
        items: settings.number("max_items", 65_536, 1..=1 << 24)?,
    })
}

#[cfg(test)]
mod tests;
