//! Records in a file that survives `kill -9`. One thread writes, and concurrent writes share a commit.
//!
//! A commit waits for the disk, which takes longer than everything else. So the writer takes all jobs that wait, up
//! to [`QUEUE`], runs each in a transaction of its own within one transaction of the file, commits once, and
//! answers all. If the commit fails, all of them fail: none is on disk. Reads see the last commit, on blocking
//! threads, and neither wait for the writer nor delay it.
//!
//! The queue is bounded. Callers beyond it wait in `send`, in their order, until their deadline.
//!
//! # The life of a write
//!
//! 1. The caller sends a job. If 64 wait already, it waits for its turn in the channel.
//! 2. The writer takes all jobs that wait, and drops those whose callers have given up.
//! 3. It runs them in one transaction of the file. A job that fails undoes its own changes.
//! 4. It commits once, if anything changed, and answers all.
//!
//! A caller that gives up after step 2 does not stop its change.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use exosuit_core::{Code, Done, Error, Id, Observe};
use parking_lot::Mutex;
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, Table};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::disk::{Disk, RECORDS, store_error};
use super::operation::{Change, Operation, Outcome, Query};
use super::records::{Read, Visit, Write};
use super::store::{Running, Store, stopped};
use super::work::{Work, WorkContext};

/// The number of writes that may wait, and that may share one commit.
const QUEUE: usize = 64;

/// The number of reads on blocking threads at a time.
const READERS: usize = 16;

/// Records in a file. `None` after the stop.
pub(crate) struct FileStore(Arc<Mutex<Option<Open>>>);

/// The open file. Each operation holds a clone, and the file closes with the last one.
#[derive(Clone)]
struct Open {
    disk: Arc<Disk>,
    /// A permit for each read, so that readers do not take all blocking threads.
    readers: Arc<Semaphore>,
    /// Sends jobs to the writer. The thread ends when all senders are dropped.
    writer: mpsc::Sender<Job>,
    /// Cancelled when the writer has closed the file.
    written: CancellationToken,
}

/// A change for the writer, and the channel for its outcome.
struct Job {
    change: Change,
    context: WorkContext,
    reply: oneshot::Sender<Result<Outcome, Error>>,
}

impl FileStore {
    /// Opens or creates the file of a provider in this directory, and starts its writer.
    ///
    /// # Errors
    ///
    /// `io` and `conflict`, see `Disk::open`.
    pub(crate) fn open(id: Id, directory: &Path, observe: Arc<dyn Observe>) -> Result<Self, Error> {
        let disk = Arc::new(Disk::open(id, directory, observe)?);
        let (writer, jobs) = mpsc::channel(QUEUE);
        let written = CancellationToken::new();
        let (written_to, end) = (Arc::clone(&disk), written.clone().drop_guard());
        thread::Builder::new()
            .name("exosuit-keyvalue".to_owned())
            .spawn(move || {
                write_all(&written_to, jobs);
                drop(end);
            })
            .map_err(store_error)?;
        Ok(Self(Arc::new(Mutex::new(Some(Open {
            disk,
            readers: Arc::new(Semaphore::new(READERS)),
            writer,
            written,
        })))))
    }
}

impl Store for FileStore {
    fn run(&self, Work { operation, context }: Work) -> Running {
        let open = self.0.clone();
        Box::pin(async move {
            let open = open.lock().clone().ok_or_else(stopped)?;
            match operation {
                Operation::Query(query) => open.ask(query, context).await,
                Operation::Change(change) => open.change(change, context).await,
            }
        })
    }

    fn impaired(&self) -> Option<Error> {
        self.0.lock().as_ref()?.disk.impaired()
    }

    fn stop(&self) -> Done {
        let open = self.0.clone();
        Box::pin(async move {
            let open = open.lock().take();
            match open {
                Some(open) => open.close().await,
                None => Ok(()),
            }
        })
    }
}

impl Open {
    /// Runs a read on a blocking thread. The permit goes with the work: a caller that gives up does not free it
    /// early.
    async fn ask(&self, query: Query, context: WorkContext) -> Result<Outcome, Error> {
        let readers = self.readers.clone();
        let permit = readers.acquire_owned().await.map_err(|_| stopped())?;
        let disk = self.disk.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let answer = disk.read(|database| read(database, query, &context));
            drop(permit);
            answer
        });
        answer.await.map_err(|_| stopped())?
    }

    /// Hands a change to the writer and waits for the commit.
    async fn change(&self, change: Change, context: WorkContext) -> Result<Outcome, Error> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            change,
            context,
            reply,
        };
        self.writer.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Waits for the writer and the readers, and closes the file. The order matters: the writer
    /// still needs it.
    async fn close(self) -> Result<(), Error> {
        let Self {
            disk,
            readers,
            writer,
            written,
        } = self;
        drop(writer);
        written.cancelled().await;
        let all = u32::try_from(READERS).unwrap_or(u32::MAX);
        let _all = readers.acquire_many(all).await;
        let closed = tokio::task::spawn_blocking(move || disk.close()).await;
        closed.map_err(|_| stopped())
    }
}

/// The thread that writes: takes all waiting jobs, runs them, commits once, and answers them all.
fn write_all(disk: &Disk, mut jobs: mpsc::Receiver<Job>) {
    let mut batch = Vec::with_capacity(QUEUE);
    while jobs.blocking_recv_many(&mut batch, QUEUE) > 0 {
        // A caller that has given up while it waited gets nothing done.
        batch.retain(|job| !job.reply.is_closed());
        let (replies, work): (Vec<_>, Vec<_>) = batch
            .drain(..)
            .map(|job| (job.reply, (job.change, job.context)))
            .unzip();
        let answers = disk.write(|database| write(database, work));
        for (at, reply) in replies.into_iter().enumerate() {
            let answer = match &answers {
                Ok(answers) => answers[at].clone(),
                Err(error) => Err(error.clone()),
            };
            // The caller may be gone by now.
            let _ = reply.send(answer);
        }
    }
}

/// Runs changes in one transaction of the file. The outer error is that of the disk, for all of them.
fn write(
    database: &Database,
    work: Vec<(Change, WorkContext)>,
) -> Result<Vec<Result<Outcome, Error>>, Error> {
    let transaction = database.begin_write().map_err(store_error)?;
    let (answers, changed) = {
        let table = transaction.open_table(RECORDS).map_err(store_error)?;
        let mut records = Changing {
            table,
            changed: false,
        };
        let answers = work
            .into_iter()
            .map(|(change, context)| context.change(change, &mut records))
            .collect::<Vec<_>>();
        (answers, records.changed)
    };
    // A disk that failed for one of them has failed.
    let failed = answers.iter().filter_map(|answer| answer.as_ref().err());
    if let Some(error) = failed.into_iter().find(|error| error.code == Code::Io) {
        return Err(error.clone());
    }
    if changed {
        transaction.commit().map_err(store_error)?;
    } else {
        transaction.abort().map_err(store_error)?;
    }
    Ok(answers)
}

/// Runs a read in a snapshot.
fn read(database: &Database, query: Query, context: &WorkContext) -> Result<Outcome, Error> {
    let transaction = database.begin_read().map_err(store_error)?;
    let table = transaction.open_table(RECORDS).map_err(store_error)?;
    context.ask(query, &Reading(table))
}

/// The records of a snapshot.
struct Reading(ReadOnlyTable<&'static [u8], &'static [u8]>);

/// The records within the writer's transaction. `changed` tells whether there is anything to
/// commit.
struct Changing<'a> {
    table: Table<'a, &'static [u8], &'static [u8]>,
    changed: bool,
}

impl Read for Reading {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        get(&self.0, key)
    }

    fn scan_from(&self, first: &[u8], prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        scan(&self.0, first, prefix, visit)
    }
}

impl Read for Changing<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        get(&self.table, key)
    }

    fn scan_from(&self, first: &[u8], prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        scan(&self.table, first, prefix, visit)
    }
}

impl Write for Changing<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.changed = true;
        let before = self.table.insert(key, value).map_err(store_error)?;
        Ok(before.map(|before| before.value().to_vec()))
    }

    fn remove(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let before = self.table.remove(key).map_err(store_error)?;
        self.changed |= before.is_some();
        Ok(before.map(|before| before.value().to_vec()))
    }
}

fn get(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<Vec<u8>>, Error> {
    let record = table.get(key).map_err(store_error)?;
    Ok(record.map(|record| record.value().to_vec()))
}

/// Visits records in order, until the prefix or the visitor ends it.
fn scan(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    first: &[u8],
    prefix: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), Error> {
    for record in table.range(first..).map_err(store_error)? {
        let (key, value) = record.map_err(store_error)?;
        let key = key.value();
        if !key.starts_with(prefix) || visit(key, value.value())? == ControlFlow::Break(()) {
            break;
        }
    }
    Ok(())
}
