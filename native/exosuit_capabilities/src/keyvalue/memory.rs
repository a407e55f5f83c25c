//! Records in memory, for as long as the provider runs.

use std::collections::BTreeMap;
use std::future::ready;
use std::ops::ControlFlow;
use std::sync::Arc;

use exosuit_core::{Done, Error};
use parking_lot::RwLock;

use super::operation::Operation;
use super::records::{Read, Visit, Write};
use super::work::Work;
use super::{Running, Store};

/// Records in their order.
pub(crate) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Records in memory.
///
/// The work is done where the answer is polled: most of it takes less than a change of threads,
/// and the limits on items and answers bound the rest.
#[derive(Default)]
pub(crate) struct Memory(Arc<RwLock<Records>>);

impl Store for Memory {
    fn run(&self, work: Work) -> Running {
        let records = self.0.clone();
        Box::pin(async move {
            match work.operation {
                Operation::Query(query) => work.place.ask(query, &*records.read()),
                Operation::Change(change) => work.place.change(change, &mut *records.write()),
            }
        })
    }

    fn stop(&self) -> Done {
        Box::pin(ready(Ok(())))
    }
}

impl Read for Records {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.get(key).cloned())
    }

    fn scan_from(&self, first: &[u8], prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        for (key, value) in self.range(first.to_vec()..) {
            if !key.starts_with(prefix) || visit(key, value)? == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

impl Write for Records {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.insert(key.to_vec(), value.to_vec()))
    }

    fn remove(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.remove(key))
    }
}
