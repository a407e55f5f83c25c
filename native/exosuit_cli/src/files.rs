//! Reads files up to a bound, and writes files atomically.
//!
//! Files are given by users, and may be devices or pipes: `/dev/stdin`, `<(…)`. So reading has a
//! bound instead of asking for the size, and writing keeps what cannot be replaced.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::failure::Failure;

/// Reads a file of at most `limit` bytes.
///
/// One byte more than the limit is read, so that a larger file is noticed.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let cannot =
        |error: std::io::Error| Failure::io(format!("cannot read {}", path.display()), &error);
    let mut bytes = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let file = File::open(path).map_err(cannot)?;
    file.take(bound).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() > limit {
        let error = std::io::Error::other(format!("more than {limit} bytes"));
        return Err(cannot(error));
    }
    Ok(bytes)
}

/// Writes a file atomically: a reader sees the old content or the new one.
///
/// The content is on disk before the name changes, so a crash leaves one of the two.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let cannot =
        |error: std::io::Error| Failure::io(format!("cannot write {}", path.display()), &error);
    let existing = fs::metadata(path).ok();
    if existing
        .as_ref()
        .is_some_and(|existing| !existing.is_file())
    {
        // A pipe or a device, such as /dev/stdout, cannot be replaced by another file.
        return fs::write(path, bytes).map_err(cannot);
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Temporary files are readable by their owner only; this file gets the usual mode.
    let mode = existing.map_or(0o644, |existing| existing.permissions().mode());
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(mode & 0o777))
        .tempfile_in(directory)
        .map_err(cannot)?;
    file.write_all(bytes).map_err(cannot)?;
    file.as_file().sync_all().map_err(cannot)?;
    file.persist(path).map_err(|error| cannot(error.error))?;
    Ok(())
}
