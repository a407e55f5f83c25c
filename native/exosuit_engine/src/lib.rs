//! Runs Wasm: compile, cache, instantiate, limits, deadlines, the guest ABI.
//!
//! - [`Engine`]: one per process. Compiles bytes to a [`Module`], once per content.
//! - [`Module`]: compiled code, shared by every actor that runs it.
//! - [`Actor`]: a module with an identity, [`Limits`] and a way out. It is a
//!   [`Deliver`](exosuit_core::Deliver): each call gets an instance to itself, a fresh one or, if its
//!   [`Instances`] say so, one that has served before.
//! - [`Error`]: why there is no module or no answer; becomes an [`exosuit_core::Error`].
//!
//! A call is a future. Polled once, it runs the guest on the calling thread until the guest has
//! answered, waits for its host, or has used up its slice (one tick of the epoch, 1 ms at most).
//! Dropped, it takes the instance with it. It is polled inside a Tokio context. What takes longer than
//! a slice and cannot be interrupted (random numbers by the megabyte, directories, guests with much
//! memory) is left to a later poll (`slice.rs`), so that a scheduler of the BEAM may do the first.
//!
//! A guest is linked whatever it imports: what nothing here answers fails when it is called
//! ([`Module::unanswered`], [`Engine::unanswered`]).
//!
//! ```text
//! bytes ─ compile ─► Module ─ actor ─► Actor ─ deliver ─► answer
//!         (compile.rs, turns.rs, program.rs, cache.rs)
//!                                      (actor.rs, pool.rs, ticker.rs, limiter.rs, abi/)
//! ```

mod abi;
mod actor;
mod actor_shared;
mod bodies;
mod cache;
mod code;
mod compile;
mod configuration;
mod digest;
mod engine;
mod engine_core;
mod error;
mod explain;
mod kind;
mod limiter;
mod lines;
mod module;
mod nesting;
mod options;
mod pool;
mod program;
mod random;
mod sandbox;
mod share;
mod skeleton;
mod slice;
mod ticker;
mod turns;

pub use actor::Actor;
pub use compile::Stats;
pub use configuration::Allocator;
pub use digest::Digest;
pub use engine::Engine;
pub use error::Error;
pub use module::Module;
pub use options::{
    ActorOptions, CompileLimits, Directory, EngineOptions, Instances, Limits, Parts, WasiGrants,
};
pub use program::compile_for_parent;
