//! The name of a piece of code: the SHA-256 of its bytes.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a module's bytes. Compiled code is found by it, in memory and on disk.
///
/// Two files with one digest are one module: whoever can make collisions of SHA-256 could run one in the place of the
/// other. The bytes are hashed as they are, so a token that is embedded in a module changes its digest.
///
/// It shows as 64 lower-case hexadecimal digits, as `sha256sum` prints them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes the bytes. 50 MiB take a tenth of a second: not for an async thread.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Its 32 bytes, for the MAC of a cached file.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
