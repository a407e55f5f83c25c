//! A module: compiled and linked code, ready to be instantiated.
//!
//! The compiler makes one per content, and keeps a weak reference to it: actors and Elixir keep it alive. It
//! does not depend on an actor, so an update of settings needs no compile. Dropping the last reference unmaps
//! the code, which takes longer than a scheduler may be blocked: `exosuit_nif` drops it on Tokio.
//!
//! ```text
//! bytes ─► Digest ─► Code ─► Compiled (linked for its ABI) ─► Module, a counted reference to it
//!         compile    code     here
//! ```
//!
//! Warm instances hold the code as well, by way of wasmtime: it is unmapped only when they are gone.

use std::fmt;
use std::sync::Arc;

use exosuit_core::WitName;
use wasmtime::ResourcesRequired;

use crate::abi::{Linkers, Prepared};
use crate::code::Code;
use crate::engine_core::EngineCore;
use crate::{Digest, Error, Limits};

/// The page size of Wasm.
const PAGE: u64 = 64 << 10;

/// Compiled code. Cheap to clone; all actors of one content share it.
///
/// [`Engine::compile`](crate::Engine::compile) makes one. While a clone of it exists, the same engine finds it again
/// for the same bytes without a compile, and without the cache on disk.
#[derive(Clone)]
pub struct Module(pub(crate) Arc<Compiled>);

/// The code of a module, and what it needs.
pub(crate) struct Compiled {
    /// Also keeps the ticker running as long as the module can.
    pub(crate) core: Arc<EngineCore>,
    pub(crate) digest: Digest,
    /// Linked for its ABI.
    pub(crate) prepared: Prepared,
    /// The initial size of an instance: for the share of the pool, and to compare with the limits of an actor. All 0
    /// if it is unknown.
    pub(crate) needs: ResourcesRequired,
}

impl Compiled {
    /// Links the code for its ABI. Fails with [`Error::Module`] if a module has the exports of none, or cannot be
    /// linked. Blocks: a component with hundreds of imports takes milliseconds.
    pub(crate) fn new(
        core: Arc<EngineCore>,
        linkers: &Linkers,
        digest: Digest,
        wasm: &Code,
    ) -> Result<Self, Error> {
        Ok(Self {
            prepared: Prepared::new(linkers, wasm)?,
            core,
            digest,
            needs: wasm.needs(),
        })
    }
}

impl Module {
    /// The SHA-256 of its bytes, as they were given to the compiler. Its name in the cache, too.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// Whether it is a component, not a wasmbus module.
    pub(crate) fn is_component(&self) -> bool {
        matches!(self.0.prepared, Prepared::Component(_))
    }

    /// Whether the two are one piece of compiled code. Two engines never share any.
    pub fn shares_code_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The imports that nothing here answers, each with the reason. A call of one fails with `trap`.
    ///
    /// A function of an interface that links may answer is not in the list, whether such a link exists or not: links
    /// come and go while an actor runs. It is in the list if its types cannot pass.
    pub fn unanswered(&self) -> &[String] {
        self.0.prepared.unanswered()
    }

    /// The names of fields, cases and flags in the types of its functions, each as often as it stands there. Elixir
    /// makes atoms of them, within a budget. Empty for a module that is not a component.
    ///
    /// The names are those of WIT, with hyphens: `line-items`.
    pub fn names(&self) -> Vec<&WitName> {
        let mut names = Vec::new();
        self.0.prepared.names(&mut |name| names.push(name));
        names
    }

    /// The part of the engine that its instances need.
    pub(crate) fn core(&self) -> &Arc<EngineCore> {
        &self.0.core
    }

    /// An error if an instance starts with more memory or larger tables than the limits allow. Each call would
    /// fail otherwise, and the limiter could not say that the module can never run.
    pub(crate) fn starts_within(&self, limits: &Limits) -> Result<(), Error> {
        let needs = &self.0.needs;
        let pages = needs.max_initial_memory_size.unwrap_or(0);
        let elements = needs.max_initial_table_size.unwrap_or(0);
        let memory = pages.saturating_mul(PAGE);
        fits("bytes of memory", memory, limits.memory_bytes)?;
        fits("table elements", elements, limits.table_elements)
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Module").field(&self.0.digest).finish()
    }
}

/// An error if a module needs more of something than the limit. A number that does not fit into `usize` is more than
/// any limit.
fn fits(what: &'static str, needed: u64, limit: usize) -> Result<(), Error> {
    if usize::try_from(needed).is_ok_and(|needed| needed <= limit) {
        return Ok(());
    }
    Err(Error::Oversized {
        what,
        needed,
        limit,
    })
}
