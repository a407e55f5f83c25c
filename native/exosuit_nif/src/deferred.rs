//! Large binaries, which are copied outside the schedulers.
//!
//! A guest, or a queue of the host, needs bytes of its own. A NIF copies binaries up to
//! [`LIGHT_BYTES`]. Copying a larger binary could take any time, so the NIF only keeps a reference
//! to it, and a task of Tokio copies it.
//!
//! It matters who copies: a binary of 100 MB would hold a scheduler for tens of milliseconds. In a task the copy costs
//! the same, and keeps no process of Elixir from running.

use bytes::Bytes;
use exosuit_core::{Code, Error};
use rustler::env::SavedTerm;
use rustler::{Binary, OwnedEnv};

/// A binary up to this size is copied, and handed to a guest, in a few microseconds. The BEAM keeps
/// binaries above 64 bytes outside of process heaps, so a reference costs the same for each of them.
pub(crate) const LIGHT_BYTES: usize = 64 << 10;

/// A binary of Elixir that is not copied yet. Its environment keeps the binary alive.
///
/// A sub-binary keeps the whole binary that it is a part of. Dropping this without a copy releases
/// the reference, on any thread.
pub(crate) struct DeferredBinary {
    env: OwnedEnv,
    binary: SavedTerm,
}

impl DeferredBinary {
    /// Keeps a reference, which takes the same time for every size.
    pub(crate) fn new(binary: Binary<'_>) -> Self {
        let env = OwnedEnv::new();
        let binary = env.save(binary);
        Self { env, binary }
    }

    /// Copies the bytes, and releases the binary.
    pub(crate) fn copy(self) -> Result<Bytes, Error> {
        let Self { env, binary } = self;
        env.run(|env| {
            let binary: Result<Binary<'_>, _> = binary.load(env).decode();
            let bytes = binary.map(|binary| Bytes::copy_from_slice(&binary));
            bytes.map_err(|_| Error::new(Code::Internal, "a binary was lost"))
        })
    }
}
