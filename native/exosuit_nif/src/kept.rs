//! Large binaries, copied off the schedulers.
//!
//! A guest, or a queue of the host, needs bytes of its own. Up to [`LIGHT_BYTES`] the NIF copies them. A
//! larger binary has no upper bound: the NIF keeps a reference to it, and a task of Tokio copies it.

use bytes::Bytes;
use exosuit_core::{Code, Error};
use rustler::env::SavedTerm;
use rustler::{Binary, OwnedEnv};

/// A binary up to this size is copied, and handed to a guest, in a few microseconds.
pub(crate) const LIGHT_BYTES: usize = 64 << 10;

/// A binary of Elixir that is not copied yet.
pub(crate) struct Kept {
    env: OwnedEnv,
    binary: SavedTerm,
}

impl Kept {
    /// Keeps a reference, whatever the size of the binary.
    pub(crate) fn new(binary: Binary<'_>) -> Self {
        let env = OwnedEnv::new();
        let binary = env.save(binary);
        Self { env, binary }
    }

    /// Copies the bytes, and lets go of the binary.
    pub(crate) fn copy(self) -> Result<Bytes, Error> {
        let Self { env, binary } = self;
        env.run(|env| {
            let binary: Result<Binary<'_>, _> = binary.load(env).decode();
            let bytes = binary.map(|binary| Bytes::copy_from_slice(&binary));
            bytes.map_err(|_| Error::new(Code::Internal, "a binary was lost"))
        })
    }
}
