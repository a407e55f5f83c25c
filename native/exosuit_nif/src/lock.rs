//! Locked files, which keep other hosts away from a data directory.

use std::fs::{File, OpenOptions, TryLockError};

use exosuit_core::{Code, Error};
use rustler::{Env, Resource, ResourceArc, Term};

use crate::term::{failure, ok};

/// A locked file. The system unlocks it when this is dropped, and also when the VM ends in any way.
struct FileLock {
    _file: File,
}

#[rustler::resource_impl]
impl Resource for FileLock {}

/// Locks a file, and creates it if it is absent. Returns `{:ok, lock}`, or the error `conflict` if
/// this VM or another process has locked it.
#[rustler::nif(schedule = "DirtyIo")]
fn file_lock<'a>(env: Env<'a>, path: &str) -> Term<'a> {
    match lock(path) {
        Ok(file) => ok(env, ResourceArc::new(FileLock { _file: file })),
        Err(error) => failure(env, &error),
    }
}

/// Opens and locks the file. It keeps its content, and the lock is advisory.
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
