//! Runs Wasm: compiles modules, caches and instantiates them, and holds calls to limits and deadlines.
//!
//! - [`Engine`]: one per process. Compiles bytes to a [`Module`], once per content.
//! - [`Module`]: compiled code, shared by all actors that run it.
//! - [`Actor`]: a module with an identity, [`Limits`] and a way for its own calls. It implements
//!   [`Deliver`](exosuit_core::Deliver): each call gets an instance to itself, a fresh one, or a warm one that
//!   has served before, as its [`Instances`] say.
//! - [`Error`]: why there is no module, or no answer. Becomes an [`exosuit_core::Error`].
//!
//! # The life of a call
//!
//! A call is a future, and must be polled inside a Tokio context. One poll runs the guest on the calling thread
//! until the guest answers, waits for its host, or has used up its slice: one tick of the epoch, at most 1 ms. So
//! a scheduler of the BEAM may do the first poll. Work that takes longer and that nothing can interrupt is left to
//! a later poll (`slice.rs`): large random numbers, directories, guests with much memory. Dropping the future
//! drops the instance.
//!
//! A guest is linked whatever it imports. An import that nothing here answers fails when it is called; see
//! [`Module::unanswered`] and [`Engine::unanswered`].
//!
//! # Modules of this crate
//!
//! From the top down: a module uses only those below it. `test/architecture_test.exs` checks that no modules use
//! each other.
//!
//! ```text
//! engine                          the facade
//! compile ─ turns, program, cache bytes to code, once per content
//! actor ─ module                  code with an identity
//! abi/                            how calls get into guests: wasmbus, programs, components
//! sandbox ─ lines                 what guests see of the host through WASI
//! actor_shared                    what the instances of an actor share
//! engine_core                     what running guests need of their engine
//! pool, share, ticker, limiter    warm instances, shares of the pool, the clock, limits of memory
//! configuration, options, error   how wasmtime is set up
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
mod simulation;
mod skeleton;
mod slice;
mod ticker;
mod turns;

pub use actor::Actor;
pub use cache::Cache;
pub use code::Code;
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
pub use simulation::{ManualClock, Simulation};
