//! Locked files, which keep other hosts away from a data directory.
//!
//! Erlang has no file locks. `Exosuit.Lattice.Local.Writer` holds a lock for as long as it writes
//! there: the handle is in its state, so the lock ends with the process. Garbage collection may release
//! it a moment later, so a successor tries several times. After `kill -9` of the VM the system unlocks
//! the file: no stale lock keeps the next host out.
//!
//! | the file | the answer |
//! |---|---|
//! | is free, or absent | `{:ok, lock}` |
//! | is locked, by this VM or another process | `conflict` |
//! | cannot be opened: no directory, no right, read-only | `io`, with the reason of the system |

use std::fs::{File, OpenOptions, TryLockError};

use exosuit_core::{Code, Error};
use rustler::{Env, Resource, ResourceArc, Term};

use crate::term::{failure, ok};

/// A locked file. The system unlocks it when this is dropped, and also when the VM ends in any way.
struct FileLock {
    /// Open for its lock alone; nothing reads or writes it.
    _file: File,
}

#[rustler::resource_impl]
impl Resource for FileLock {}

/// Locks a file, and creates it if it is absent. Returns `{:ok, lock}`, or the error `conflict` if
/// this VM or another process has locked it. Any other failure of the file system is `io`. It never
/// waits for the lock: a host that starts should fail at once, and say why.
#[rustler::nif(schedule = "DirtyIo")]
fn file_lock<'a>(env: Env<'a>, path: &str) -> Term<'a> {
    match lock(path) {
        Ok(file) => ok(env, ResourceArc::new(FileLock { _file: file })),
        Err(error) => failure(env, &error),
    }
}

/// Opens and locks the file. It keeps its content, and the lock is advisory: only programs that ask
/// for it respect it. The file stays when the lock ends, because removing it would let two holders in.
fn lock(path: &str) -> Result<File, Error> {
    let wrong = |why: &dyn std::fmt::Display| {
        Error::new(Code::Io, format!("{path} cannot be locked: {why}"))
    };
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    let file = options.open(path).map_err(|error| wrong(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let detail = format!("somebody else holds {path}");
            Err(Error::new(Code::Conflict, detail))
        }
        Err(TryLockError::Error(error)) => Err(wrong(&error)),
    }
}
