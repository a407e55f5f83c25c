//! Files that keep other hosts away from a directory, for as long as somebody holds them.

use std::fs::{File, OpenOptions, TryLockError};

use exosuit_core::{Code, Error};
use rustler::{Env, Resource, ResourceArc, Term};

use crate::term::{failure, ok};

/// A locked file. The system unlocks it when this is dropped, or when the VM ends in whatever way.
struct FileLock {
    _file: File,
}

#[rustler::resource_impl]
impl Resource for FileLock {}

/// Locks a file, which is made if it is absent: `{:ok, lock}`, or `:conflict` if somebody holds it, be it
/// in this VM or in another process.
#[rustler::nif(schedule = "DirtyIo")]
fn file_lock<'a>(env: Env<'a>, path: &str) -> Term<'a> {
    match lock(path) {
        Ok(file) => ok(env, ResourceArc::new(FileLock { _file: file })),
        Err(error) => failure(env, &error),
    }
}

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
