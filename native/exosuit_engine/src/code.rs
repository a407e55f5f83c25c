//! Machine code of a module or a component.
//!
//! The one place where bytes meet wasmtime's compiler and loader. It treats modules and components alike; the rest of
//! the crate sees [`Code`].
//!
//! ```text
//!            precompile, perhaps in another process        deserialize
//! bytes ─────────────────────────────────────────► code ──────────────► Code
//! bytes of a skeleton ───────────── compile ──────────────────────────► Code
//! ```
//!
//! Two ways, because machine code is trusted and bytes are not. Whoever calls [`Code::deserialize`] vouches for where
//! the machine code comes from; `compile.rs` and `cache.rs` are the only ones.

use wasmtime::component::Component;
use wasmtime::{Module, Precompiled, ResourcesRequired};

use crate::kind::{Kind, kind};
use crate::{Error, nesting};

/// Compiled code. Not linked yet: see `abi::Prepared`.
pub enum Code {
    /// Core Wasm: a wasmbus module or a program.
    Module(Module),
    /// A component.
    Component(Component),
}

impl Code {
    /// Compiles a module or component, to run it here. Blocks, without any bound: for small ones, and where nobody else
    /// waits.
    ///
    /// # Errors
    ///
    /// The bytes are neither a module nor a component that the engine can run.
    pub fn compile(engine: &wasmtime::Engine, bytes: &[u8]) -> Result<Self, Error> {
        match kind(bytes)? {
            Kind::Module => {
                let module = Module::from_binary(engine, bytes);
                module
                    .map(Self::Module)
                    .map_err(|error| invalid("module", &error))
            }
            Kind::Component => {
                nesting::check(bytes)?;
                let component = Component::from_binary(engine, bytes);
                component
                    .map(Self::Component)
                    .map_err(|error| invalid("component", &error))
            }
        }
    }

    /// Compiles a module or a component to what [`Self::deserialize`] takes, here or in another
    /// process. Blocks, between milliseconds and minutes.
    pub(crate) fn precompile(engine: &wasmtime::Engine, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        match kind(bytes)? {
            Kind::Module => {
                let code = engine.precompile_module(bytes);
                code.map_err(|error| invalid("module", &error))
            }
            Kind::Component => {
                nesting::check(bytes)?;
                let code = engine.precompile_component(bytes);
                code.map_err(|error| invalid("component", &error))
            }
        }
    }

    /// Takes what [`Self::precompile`] gave. Fails with [`Error::Module`] if an instance of it needs more than a slot of
    /// the pool has: parts, or elements of a table.
    ///
    /// # Safety
    ///
    /// The bytes must be just that, of this version of wasmtime: they are run as they are.
    #[expect(
        unsafe_code,
        reason = "compiled code is taken as it is; there is no other way in"
    )]
    pub(crate) unsafe fn deserialize(
        engine: &wasmtime::Engine,
        bytes: &[u8],
    ) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        unsafe {
            match wasmtime::Engine::detect_precompiled(bytes) {
                Some(Precompiled::Module) => Module::deserialize(engine, bytes)
                    .map(Self::Module)
                    .map_err(|error| unfit("module", &error)),
                Some(Precompiled::Component) => Component::deserialize(engine, bytes)
                    .map(Self::Component)
                    .map_err(|error| unfit("component", &error)),
                None => Err(Error::Compiler),
            }
        }
    }

    /// The initial size of an instance. It is unknown for a component that imports modules, and then all of it is 0:
    /// its instances are checked by the limiter alone, and count as one memory and one table of the pool.
    pub(crate) fn needs(&self) -> ResourcesRequired {
        let needs = match self {
            Self::Module(module) => Some(module.resources_required()),
            Self::Component(component) => component.resources_required(),
        };
        needs.unwrap_or(ResourcesRequired {
            num_memories: 0,
            max_initial_memory_size: None,
            num_tables: 0,
            max_initial_table_size: None,
        })
    }
}

/// The error for code that is too large for the pool. wasmtime says what exceeds which maximum.
fn unfit(what: &str, error: &wasmtime::Error) -> Error {
    Error::Module(format!("the {what} does not fit here: {error:#}"))
}

/// The error for bytes that wasmtime does not compile, with its whole reason: the offset, and what was expected there.
fn invalid(what: &str, error: &wasmtime::Error) -> Error {
    Error::Module(format!("the {what} is not valid: {error:#}"))
}
