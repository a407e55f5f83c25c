//! Compiled code on disk, from one start to the next.
//!
//! Compiled code runs without further checks: anyone who can write it controls the host. Therefore the directory belongs
//! to the user of the host, nobody else can write to it, and each file carries a MAC. The key lies in the same
//! directory, readable by its owner only. A file that fails any check is ignored, and its module is compiled again.
//!
//! ```text
//! key                                       32 random bytes, mode 0600
//! <sha256 of the module>-<settings>.cwasm   MAC, 32 bytes, then the code of wasmtime, mode 0600
//! <random>.new                              a file that is being written; or left by a crash, and pruned in time
//! ```
//!
//! # What the checks guard against
//!
//! | danger | guard |
//! |---|---|
//! | another user of the machine writes a file | the owner and the mode of the directory are checked at the start |
//! | a file of another host, or from a backup | its MAC is of another key |
//! | a file of another module, or of other settings, under this name | digest and settings are in the MAC |
//! | a disk that returns other bytes | the MAC |
//! | a crash in the middle of a write | a file gets its name when it is complete |
//! | code of another version of wasmtime | the settings in its name; wasmtime checks it again |
//!
//! The MAC does not guard against the user of the host, who can read the key.
//!
//! # Several engines
//!
//! Several engines may use one directory at a time. Files appear by `rename`, so a reader sees all of a file or
//! nothing; a file that another engine removes while this one starts is compiled again. If two make a key at the same
//! time, the later one stands, and files under the other are compiled again. All functions here block, and run on
//! blocking threads.
//!
//! # Size
//!
//! After each write the files that were used longest ago are removed until the rest fits. The time of the last use is
//! the time of modification, which each load sets.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::code::Code;
use crate::{Digest, Error};

/// The key of the MACs, made by the first engine that uses the directory.
const KEY_FILE: &str = "key";
const KEY_BYTES: usize = 32;
/// The MAC (HMAC-SHA-256) that each file begins with.
const MAC_BYTES: usize = 32;

/// Permission bits that the directory and the key must not have.
const OTHERS_WRITE: u32 = 0o022;
const OTHERS_ANY: u32 = 0o077;

/// The cache in one directory. Open for as long as its owner exists; it holds no file open in between.
pub struct Cache {
    /// Made with mode 0700 if it was missing.
    directory: PathBuf,
    engine: wasmtime::Engine,
    /// Changes with wasmtime, its settings and the machine. It is in the name of each file: after an update,
    /// old files are not found, and are pruned in time.
    compatibility: u64,
    key: [u8; KEY_BYTES],
    /// The size of all files together; beyond it, those that were used longest ago are removed.
    max_bytes: u64,
}

impl Cache {
    /// Opens or makes the directory. The error says why it is not used: it belongs to another user, others may write
    /// to it, or the system refuses. An engine then works without a cache.
    pub fn open(
        directory: PathBuf,
        engine: &wasmtime::Engine,
        max_bytes: u64,
    ) -> Result<Self, String> {
        let key = prepare(&directory).map_err(|error| {
            format!(
                "compiled code is not kept in {}: {error}",
                directory.display()
            )
        })?;
        Ok(Self {
            directory,
            engine: engine.clone(),
            compatibility: compatibility(engine),
            key,
            max_bytes,
        })
    }

    /// The code of a module or component: from the cache, or compiled here and then kept. The compile blocks, without
    /// any bound: a host compiles in a process of its own. The second result says whether the code was kept.
    ///
    /// # Errors
    ///
    /// The bytes are neither a module nor a component that the engine can run.
    pub fn compile(&self, bytes: &[u8]) -> Result<(Code, io::Result<()>), Error> {
        let digest = Digest::of(bytes);
        if let Some(code) = self.load(&digest) {
            return Ok((code, Ok(())));
        }
        let compiled = Code::precompile(&self.engine, bytes)?;
        let kept = self.store(&digest, &compiled);
        Ok((self.deserialize(&compiled)?, kept))
    }

    /// Whether there is a file for the code of these bytes. It may turn out to be damaged.
    pub fn has(&self, bytes: &[u8]) -> bool {
        self.path(&Digest::of(bytes)).exists()
    }

    /// The code for this content, if there is some and its MAC holds. Reads the whole file before it checks it: the
    /// bytes that run must be those that were checked.
    pub(crate) fn load(&self, digest: &Digest) -> Option<Code> {
        let file = fs::read(self.path(digest)).ok()?;
        let (mac, code) = file.split_at_checked(MAC_BYTES)?;
        self.mac(digest, code).verify_slice(mac).ok()?;
        self.touch(digest);
        self.deserialize(code).ok()
    }

    #[expect(
        unsafe_code,
        reason = "compiled code is taken as it is; there is no other way in"
    )]
    fn deserialize(&self, code: &[u8]) -> Result<Code, Error> {
        // SAFETY: `load` has checked the MAC of these very bytes, so it was this cache, with this
        // version of wasmtime and these settings, that wrote what `Code::precompile` gave it. `compile` has
        // them from there.
        unsafe { Code::deserialize(&self.engine, code) }
    }

    /// Writes the code. A concurrent reader sees the old file or the new one, never a part.
    ///
    /// An error means that the code may not be kept: a full disk, a directory that was removed. The module runs all
    /// the same.
    pub(crate) fn store(&self, digest: &Digest, code: &[u8]) -> io::Result<()> {
        let mac = self.mac(digest, code).finalize().into_bytes();
        let temporary = temporary(&self.directory)?;
        write_new(&temporary, &[&mac, code])?;
        fs::rename(&temporary, self.path(digest))?;
        self.prune()?;
        Ok(())
    }

    /// The file for this content.
    fn path(&self, digest: &Digest) -> PathBuf {
        let name = format!("{digest}-{:016x}.cwasm", self.compatibility);
        self.directory.join(name)
    }

    /// The MAC of a file. It covers the digest and the settings as well, so that no file can be put in the
    /// place of another.
    fn mac(&self, digest: &Digest, code: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key);
        mac.expect("a key of any length is taken")
            .chain_update(b"exosuit compiled code 2\0")
            .chain_update(self.compatibility.to_be_bytes())
            .chain_update(digest.as_bytes())
            .chain_update(code)
    }

    /// Marks the file as used now. If that fails, the file is merely pruned earlier.
    fn touch(&self, digest: &Digest) {
        if let Ok(file) = File::open(self.path(digest)) {
            let _ = file.set_modified(SystemTime::now());
        }
    }

    /// Removes the files that were used longest ago until the rest fits, leftovers of crashes included. Fails if
    /// another engine removes a file at the same moment; the next write prunes again.
    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_file() && entry.file_name() != KEY_FILE {
                files.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if total <= self.max_bytes {
                break;
            }
            fs::remove_file(path)?;
            total -= size;
        }
        Ok(())
    }
}

/// Changes with wasmtime, with those of its settings that code depends on, and with the machine. The host and
/// `exosuit-compile` compare it as well.
///
/// Both must hash in the same way: `DefaultHasher::new` has fixed keys, and the two are of one build.
pub(crate) fn compatibility(engine: &wasmtime::Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// Makes the directory if it is missing, checks it, and returns its key, made if there is no good one.
///
/// A new key is written in any case: its file shows which user we are.
fn prepare(directory: &Path) -> io::Result<[u8; KEY_BYTES]> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let fresh = temporary(directory)?;
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    write_new(&fresh, &[&key])?;
    let key = find_or_place_key(directory, &fresh);
    // Gone already if it has become the key.
    let _ = fs::remove_file(&fresh);
    key
}

/// The key in the directory, or else `fresh`. The owner of `fresh` is the user that we run as: asking the
/// file avoids a system call that needs `unsafe`.
fn find_or_place_key(directory: &Path, fresh: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let us = fs::metadata(fresh)?.uid();
    let refuse = |reason| Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    let metadata = fs::metadata(directory)?;
    if metadata.uid() != us {
        return refuse("it belongs to another user");
    }
    if metadata.mode() & OTHERS_WRITE != 0 {
        return refuse("others may write to it, expected mode 0700");
    }
    let kept = directory.join(KEY_FILE);
    if let Some(key) = read_key(&kept, us) {
        return Ok(key);
    }
    fs::rename(fresh, &kept)?;
    read_key(&kept, us).ok_or_else(|| io::Error::other("its key cannot be read back"))
}

/// The key in a file, if it is a regular file of ours that nobody else can read. A symbolic link is not followed: it
/// could lead to a file that somebody else knows.
fn read_key(path: &Path, us: u32) -> Option<[u8; KEY_BYTES]> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let ours = metadata.is_file() && metadata.uid() == us && metadata.mode() & OTHERS_ANY == 0;
    ours.then(|| fs::read(path).ok()?.try_into().ok())?
}

/// A random name in the directory. Random, because several engines may write at a time.
fn temporary(directory: &Path) -> io::Result<PathBuf> {
    let mut name = [0; 8];
    getrandom::fill(&mut name).map_err(io::Error::other)?;
    Ok(directory.join(format!("{:016x}.new", u64::from_be_bytes(name))))
}

/// Writes a new file that only its owner can read. An existing one is an error.
fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))
}
