//! Records in memory, for as long as the provider runs.
//!
//! A change of thread takes longer than most operations. So an operation is done at once if the
//! lock is free and its size is known to be small. Everything else goes to a blocking thread, so
//! that a scheduler of the BEAM is never held for longer than some microseconds.

use std::collections::BTreeMap;
use std::future::ready;
use std::ops::ControlFlow;
use std::sync::Arc;

use exosuit_core::{Done, Error};
use parking_lot::RwLock;

use super::changes::each_expired;
use super::layout::{self, Head};
use super::operation::{Change, Operation, Outcome, Query};
use super::records::{Read, Visit, Write};
use super::store::{Running, Store, stopped};
use super::work::{Work, WorkContext};

/// Records in the order of their keys.
pub(crate) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// The bytes that can be copied and freed in a few microseconds: of one value, or of everything
/// that one change removes.
const QUICK_BYTES: usize = 64 << 10;

/// Records in memory.
///
/// Work of a few microseconds runs where the answer is polled, which may be a scheduler of the BEAM: changing the
/// thread would take longer. All other work, and work that would wait for the lock, runs on a thread that may
/// block.
#[derive(Default)]
pub(crate) struct MemoryStore(Arc<RwLock<Records>>);

impl Store for MemoryStore {
    fn run(&self, work: Work) -> Running {
        let records = self.0.clone();
        Box::pin(async move {
            let work = match at_once(&records, work) {
                Tried::Done(outcome) => return outcome,
                Tried::Later(work) => work,
            };
            let working = tokio::task::spawn_blocking(move || at_length(&records, work));
            working.await.map_err(|_| stopped())?
        })
    }

    fn stop(&self) -> Done {
        Box::pin(ready(Ok(())))
    }
}

/// The result of work.
enum Tried {
    Done(Result<Outcome, Error>),
    /// It is not quick, or would wait.
    Later(Work),
}

/// Does the work now, if it is quick and the lock is free.
fn at_once(records: &RwLock<Records>, Work { operation, context }: Work) -> Tried {
    match operation {
        Operation::Query(query) => match records.try_read() {
            Some(records) if is_quick_query(&query, &context, &records) => {
                Tried::Done(context.ask(query, &*records))
            }
            _ => later(Operation::Query(query), context),
        },
        Operation::Change(change) => match records.try_write() {
            Some(mut records) if is_quick_change(&change, &context, &records) => {
                Tried::Done(context.change(change, &mut *records))
            }
            _ => later(Operation::Change(change), context),
        },
    }
}

/// Work for a blocking thread.
fn later(operation: Operation, context: WorkContext) -> Tried {
    Tried::Later(Work { operation, context })
}

/// Does the work, and waits for the lock.
fn at_length(records: &RwLock<Records>, work: Work) -> Result<Outcome, Error> {
    let Work { operation, context } = work;
    match operation {
        Operation::Query(query) => context.ask(query, &*records.read()),
        Operation::Change(change) => context.change(change, &mut *records.write()),
    }
}

/// Whether a query reads one small record.
fn is_quick_query(query: &Query, context: &WorkContext, records: &Records) -> bool {
    match query {
        Query::Contains(key) | Query::Get(key) => is_small(records, context, key),
        _ => false,
    }
}

/// Whether a change touches only a few small records, those that expired included.
fn is_quick_change(change: &Change, context: &WorkContext, records: &Records) -> bool {
    let is_quick = match change {
        Change::Increment(increment) => is_small(records, context, &increment.key),
        Change::ListAdd(item) | Change::SetAdd(item) => {
            item.value.len() <= QUICK_BYTES && is_small(records, context, &item.key)
        }
        Change::Set(set) => set.value.len() <= QUICK_BYTES && is_value(records, context, &set.key),
        Change::Delete(key) => is_value(records, context, key),
        _ => false,
    };
    is_quick && expired_bytes(records, context) <= QUICK_BYTES
}

/// The bytes of the expired entries that a change would remove.
fn expired_bytes(records: &Records, context: &WorkContext) -> usize {
    let mut bytes = 0;
    let seen = each_expired(records, (context.clock)(), &mut |_, head_key| {
        bytes += records.get(head_key).map_or(0, Vec::len);
    });
    // The change itself reports what is damaged.
    seen.map_or(0, |()| bytes)
}

/// Whether the head of a key is small. A list or set always has a small head.
fn is_small(records: &Records, context: &WorkContext, key: &str) -> bool {
    let head = records.get(&layout::head_key(&context.bucket, key));
    head.is_none_or(|head| head.len() <= QUICK_BYTES)
}

/// Whether a key has a small value or nothing. A list or a set is removed item by item.
fn is_value(records: &Records, context: &WorkContext, key: &str) -> bool {
    let head = records.get(&layout::head_key(&context.bucket, key));
    head.is_none_or(|head| head.len() <= QUICK_BYTES && Head::is_value(head))
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

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use exosuit_core::Origin;

    use super::super::limits::StoreLimits;
    use super::super::operation::{Item, ListRange, Set};
    use super::*;

    fn context(now: u64) -> WorkContext {
        WorkContext {
            bucket: "b".into(),
            limits: StoreLimits {
                bytes: 1 << 30,
                bucket_bytes: 1 << 30,
                value_bytes: 1 << 24,
                items: 1 << 20,
            },
            clock: Arc::new(move || now),
            bookmarks: Arc::default(),
            caller: Origin::Host,
        }
    }

    fn set(key: &str, length: usize) -> Operation {
        set_for(0, key, length)
    }

    fn set_for(seconds: u32, key: &str, length: usize) -> Operation {
        Operation::Change(Change::Set(Set {
            key: key.to_owned(),
            value: vec![b'x'; length],
            seconds,
        }))
    }

    fn get(key: &str) -> Operation {
        Operation::Query(Query::Get(key.to_owned()))
    }

    /// Whether it is done when it is polled for the first time; done it is afterwards.
    fn is_at_once(memory: &MemoryStore, operation: Operation) -> bool {
        is_at_once_at(0, memory, operation)
    }

    fn is_at_once_at(now: u64, memory: &MemoryStore, operation: Operation) -> bool {
        let (is_at_once, outcome) = tried(now, memory, operation);
        outcome.expect("done");
        is_at_once
    }

    fn tried(
        now: u64,
        memory: &MemoryStore,
        operation: Operation,
    ) -> (bool, Result<Outcome, Error>) {
        let context = context(now);
        match at_once(&memory.0, Work { operation, context }) {
            Tried::Done(outcome) => (true, outcome),
            Tried::Later(work) => (false, at_length(&memory.0, work)),
        }
    }

    #[test]
    fn what_takes_long_is_not_done_where_it_is_polled() {
        let memory = MemoryStore::default();
        let item = |number: usize| Item {
            key: "list".to_owned(),
            value: number.to_string(),
        };
        for number in 0..10_000 {
            let add = Operation::Change(Change::ListAdd(item(number)));
            assert!(is_at_once(&memory, add));
        }
        let all = ListRange {
            key: "list".to_owned(),
            start: 0,
            stop: -1,
        };
        for (operation, expected) in [
            (set("small", 1 << 10), true),
            (get("small"), true),
            (get("nothing"), true),
            (set("large", 1 << 20), false),
            (get("large"), false),
            (set("large", 1), false),
            (Operation::Query(Query::Keys(None)), false),
            (Operation::Query(Query::ListRange(all)), false),
            (Operation::Change(Change::ListDelete(item(9_999))), false),
            (set("list", 1), false),
            (get("list"), true),
        ] {
            let text = format!("{operation:?}");
            let found = is_at_once(&memory, operation);
            assert_eq!(found, expected, "{}", &text[..text.len().min(80)]);
        }
    }

    #[test]
    fn what_expired_is_cleared_away_where_it_is_polled_only_if_it_is_small() {
        // How many values of which size expire, and whether the next change clears them away at once.
        for (count, length, expected) in [
            (8, 1 << 10, true),
            (1, QUICK_BYTES / 2, true),
            (1, 1 << 20, false),
            // Each is small, and their sum is not.
            (8, QUICK_BYTES / 4, false),
        ] {
            let memory = MemoryStore::default();
            for number in 0..count {
                is_at_once(&memory, set_for(1, &number.to_string(), length));
            }
            let before = memory.0.read().len();
            assert!(is_at_once_at(999, &memory, set("another", 1)));
            let is_at_once = is_at_once_at(1_000, &memory, set("another", 1));
            assert_eq!(is_at_once, expected, "{count} of {length} bytes");
            // The head of the other was added, and two records of each that expired removed.
            assert_eq!(memory.0.read().len(), before + 1 - 2 * count);
            assert!(is_at_once_at(1_000, &memory, set("another", 1)));
        }
    }

    #[test]
    fn a_large_value_under_the_key_of_a_list_or_set_is_not_copied_where_it_is_polled() {
        let memory = MemoryStore::default();
        is_at_once(&memory, set("large", 1 << 20));
        is_at_once(&memory, set("small", 1 << 10));
        for (key, expected) in [("large", false), ("small", true)] {
            let item = || Item {
                key: key.to_owned(),
                value: "item".to_owned(),
            };
            for change in [Change::ListAdd(item()), Change::SetAdd(item())] {
                let (is_at_once, outcome) = tried(0, &memory, Operation::Change(change));
                assert_eq!(is_at_once, expected, "{key}");
                let refused = outcome.expect_err("the key holds a value").detail;
                assert!(refused.contains("holds a value"), "{refused}");
            }
        }
    }

    #[tokio::test]
    async fn who_would_wait_for_the_lock_does_not_wait_where_it_is_polled() {
        let memory = MemoryStore::default();
        let held = memory.0.write();
        let context = context(0);
        let operation = get("a");
        let mut running = pin!(memory.run(Work { operation, context }));
        let mut waiting = Context::from_waker(Waker::noop());
        assert!(running.as_mut().poll(&mut waiting).is_pending());
        drop(held);
        running.await.expect("done");
    }
}
