//! A database file that is reopened when its disk fails.
//!
//! After a failed write, the library refuses every operation until the file is reopened, which repairs it.
//! Therefore the failed writes get an error, and the file is reopened at once, so that reads work. Writes are
//! retried as soon as the disk accepts bytes, with growing delays if they still fail.
//!
//! ```text
//! ok ── write fails ──► failing ── disk takes bytes, write works ──► ok (notice)
//!       (notice, reopen)   │  ▲
//!                          └──┘ write fails again: pause 1 s, 2 s, … 1 min
//! ```
//!
//! While it is failing, a write first asks the disk for 64 KiB in a file beside the database. A
//! disk that is full is thus noticed without touching the database, and without a repair of it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use exosuit_core::{Code, Error, Id, Notice, Observe};
use parking_lot::{Mutex, RwLock};
use redb::{Builder, Database, DatabaseError, ReadableDatabase, TableDefinition};

use super::store::stopped;

/// The one table of the file.
pub(crate) const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");

/// The bytes of pages that are kept in memory. The library's default is a gigabyte.
const CACHE_BYTES: usize = 64 << 20;

/// The number of attempts to open a locked file. A provider that is stopping frees it within a
/// commit or two.
const ATTEMPTS: u32 = 40;
/// The pause between two of these attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// The bytes that a disk must accept before a write is retried: a commit of a few pages.
static PROBE: [u8; 64 << 10] = [0; 64 << 10];

/// The first pause between two writes that fail although the disk takes bytes.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A database, and the state of its disk.
pub(crate) struct Disk {
    id: Id,
    /// The file, `<id>.redb`.
    path: PathBuf,
    observe: Arc<dyn Observe>,
    /// `None` while it is closed or could not be reopened yet.
    database: RwLock<Option<Database>>,
    /// `None` while writes work.
    failing: Mutex<Option<Failing>>,
}

/// The failures since the last good write.
struct Failing {
    error: Error,
    attempts: u32,
    /// When writes are tried again.
    until: Instant,
}

impl Disk {
    /// Opens or creates the file of a provider. Only its owner may read it. Blocks, for up to two
    /// seconds if another provider has it open.
    ///
    /// # Errors
    ///
    /// `conflict` if the file stays in use, `io` for other failures.
    pub(crate) fn open(id: Id, directory: &Path, observe: Arc<dyn Observe>) -> Result<Self, Error> {
        let path = directory.join(format!("{id}.redb"));
        let database = open_private(directory, &path)?;
        Ok(Self {
            id,
            path,
            observe,
            database: RwLock::new(Some(database)),
            failing: Mutex::default(),
        })
    }

    /// Runs a read. Several may run at a time.
    ///
    /// A file that could not be reopened after a failure is tried again here.
    pub(crate) fn read<T>(
        &self,
        job: impl FnOnce(&Database) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(database) = &*self.database.read() {
            return job(database);
        }
        self.reopen()?;
        match &*self.database.read() {
            Some(database) => job(database),
            None => Err(stopped()),
        }
    }

    /// Runs a write, unless the last one failed and the disk has not recovered. For one thread only.
    ///
    /// # Errors
    ///
    /// `io`, with the reason and, during a pause, the time of the next attempt.
    pub(crate) fn write<T>(
        &self,
        job: impl FnOnce(&Database) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.check()?;
        match self.read(job) {
            Ok(done) => {
                self.recovered();
                Ok(done)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// The reason why writes fail, while they do. As `unavailable`: a restart of the provider would
    /// not help.
    pub(crate) fn impaired(&self) -> Option<Error> {
        let failing = self.failing.lock();
        let detail = &failing.as_ref()?.error.detail;
        Some(Error::new(Code::Unavailable, detail.clone()))
    }

    /// Closes the file.
    pub(crate) fn close(&self) {
        // Dropping the last handle saves state that the next open would otherwise have to rebuild.
        drop(self.database.write().take());
    }

    /// An error if a write need not be tried.
    /// Refuses a write during a pause, or if the disk takes no bytes.
    fn check(&self) -> Result<(), Error> {
        let failing = self.failing.lock();
        let Some(failing) = &*failing else {
            return Ok(());
        };
        let left = failing.until.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            let detail = format!(
                "{}; next try in {} s",
                failing.error.detail,
                left.as_secs() + 1
            );
            return Err(Error::new(Code::Io, detail));
        }
        probe(&self.path).map_err(|error| self.cannot_write(&error))
    }

    /// Notes a failed write, sends a notice for the first one, and reopens the file.
    fn failed(&self, error: &Error) -> Error {
        let attempts = self
            .failing
            .lock()
            .as_ref()
            .map_or(1, |failing| failing.attempts + 1);
        let error = self.cannot_write(&error.detail);
        if attempts == 1 {
            self.notice(format!(
                "{}; reads go on, and writes are tried again",
                error.detail
            ));
        }
        *self.failing.lock() = Some(Failing {
            error: error.clone(),
            attempts,
            until: Instant::now() + pause(attempts),
        });
        // Left for the next read, if it fails.
        let _ = self.reopen();
        error
    }

    /// Ends the failure with a notice.
    fn recovered(&self) {
        if self.failing.lock().take().is_some() {
            let provider = self.id.clone();
            let text = format!(
                "the key-value store writes to {} again",
                self.path.display()
            );
            self.observe
                .observe(Notice::ProviderRecovered { provider, text });
        }
    }

    /// Sends a warning.
    fn notice(&self, text: String) {
        let provider = self.id.clone();
        self.observe
            .observe(Notice::ProviderWarning { provider, text });
    }

    /// Opens the file anew, which repairs it. Waits for those that read.
    fn reopen(&self) -> Result<(), Error> {
        let mut database = self.database.write();
        let had_failed = self.failing.lock().is_some();
        if !had_failed {
            return Err(stopped());
        }
        drop(database.take());
        *database = Some(open_free(&self.path)?);
        Ok(())
    }

    /// The error of a write that failed or was not tried.
    fn cannot_write(&self, why: &impl std::fmt::Display) -> Error {
        let detail = format!(
            "the key-value store cannot write to {}: {why}",
            self.path.display()
        );
        Error::new(Code::Io, detail)
    }
}

/// The pause after this many failures: none after the first, when the disk is tested at once, then
/// doubled from a second up to a minute.
fn pause(attempts: u32) -> Duration {
    match attempts.checked_sub(2) {
        None => Duration::ZERO,
        Some(more) => (FIRST_PAUSE * 2_u32.saturating_pow(more.min(6))).min(LONGEST_PAUSE),
    }
}

/// Writes and removes a file beside the database.
fn probe(path: &Path) -> io::Result<()> {
    let path = path.with_extension("probe");
    let written = fs::write(&path, PROBE);
    let removed = fs::remove_file(&path);
    written.and(removed)
}

/// Opens the file in its directory, both with rights for the owner only, and creates the table.
fn open_private(directory: &Path, path: &Path) -> Result<Database, Error> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    // The one that is there may have been made by hand.
    made.and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(0o700)))
        .map_err(|error| file_error(directory, &error))?;
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| file_error(path, &error))?;
    let database = open_free(path)?;
    // Made once: a disk that is full keeps no store from being read.
    let reading = database.begin_read().map_err(store_error)?;
    if reading.open_table(RECORDS).is_err() {
        let begun = database.begin_write().map_err(store_error)?;
        begun.open_table(RECORDS).map_err(store_error)?;
        begun.commit().map_err(store_error)?;
    }
    Ok(database)
}

/// Opens the file, and waits for another provider to free it.
fn open_free(path: &Path) -> Result<Database, Error> {
    for _ in 1..ATTEMPTS {
        match Builder::new().set_cache_size(CACHE_BYTES).create(path) {
            Err(DatabaseError::DatabaseAlreadyOpen) => thread::sleep(PAUSE),
            other => return other.map_err(|error| file_error(path, &error)),
        }
    }
    let detail = format!("{} is in use by another provider or host", path.display());
    Err(Error::new(Code::Conflict, detail))
}

/// A file or directory that cannot be used.
fn file_error(path: &Path, error: &impl std::fmt::Display) -> Error {
    Error::new(
        Code::Io,
        format!("the key-value store cannot use {}: {error}", path.display()),
    )
}

/// A failure of the database library.
pub(crate) fn store_error(error: impl std::fmt::Display) -> Error {
    Error::new(Code::Io, format!("the key-value store failed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_has_no_pause_and_the_longest_is_a_minute() {
        let seconds = |attempts| pause(attempts).as_secs();
        let found: Vec<_> = (1..=9).map(seconds).collect();
        assert_eq!(found, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(seconds(u32::MAX), 60);
    }
}
