//! Files that a setting names.
//!
//! A setting may come from the lattice, and may name any path of this machine. Only a regular file is
//! read, and no more of it than a bound: a device without end costs no memory, and a FIFO without a
//! writer holds no thread.

use std::fs::{File, Metadata, OpenOptions, metadata};
use std::io::{Error, Read, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Reads a regular file of at most `max_kib` KiB. The error completes a sentence about the file.
///
/// It blocks, so it belongs on a thread that may. A symbolic link is followed: certificates are
/// often renewed by changing one.
///
/// # Errors
///
/// The operating system's, or that the file is not a regular one or too large.
pub(crate) fn read(path: &Path, max_kib: u64) -> Result<Vec<u8>> {
    // Opening a device may already do something to it, so the path is checked first.
    check(&metadata(path)?)?;
    let file = open(path)?;
    // The path may name another file by now.
    check(&file.metadata()?)?;
    let max = max_kib * 1_024;
    let mut content = Vec::new();
    file.take(max + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max {
        return Err(Error::other(format!("it is larger than {max_kib} KiB")));
    }
    Ok(content)
}

/// Opens a file without waiting for the other end of a FIFO.
fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    options.open(path)
}

/// Refuses directories, devices, pipes and sockets.
fn check(metadata: &Metadata) -> Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(Error::other("it is not a regular file"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        for (length, is_read) in [(0, true), (2_048, true), (2_049, false)] {
            std::fs::write(&path, vec![b'a'; length]).expect("a file");
            match read(&path, 2) {
                Ok(content) => assert!(is_read && content.len() == length, "{length}"),
                Err(error) => {
                    assert!(!is_read, "{length}: {error}");
                    assert_eq!(error.to_string(), "it is larger than 2 KiB");
                }
            }
        }
    }

    #[test]
    fn a_fifo_is_opened_without_waiting_and_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("fifo");
        let made = Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo").success());
        // As if it had taken the place of a file after the first check.
        let file = open(&path).expect("opened");
        let error = check(&file.metadata().expect("metadata")).expect_err("a FIFO");
        assert_eq!(error.to_string(), "it is not a regular file");
    }
}
