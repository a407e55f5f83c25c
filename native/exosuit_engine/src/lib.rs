//! Runs Wasm: compiles modules, caches and instantiates them, and holds calls to limits and deadlines.
//!
//! - [`Engine`]: one per process. Compiles bytes to a [`Module`], once per content.
//! - [`Module`]: compiled code, shared by all actors that run it.
//! - [`Actor`]: a module with an identity, [`Limits`] and a way for its own calls. It implements
//!   [`Deliver`](exosuit_core::Deliver): each call gets an instance to itself, a fresh one, or a warm one that has
//!   served before, as its [`Instances`] say.
//! - [`Error`]: why there is no module, or no answer. Becomes an [`exosuit_core::Error`].
//!
//! The crate knows no Elixir and no NATS. `exosuit_nif` compiles modules and makes actors with it, and hands the
//! actors to `exosuit_router`, which decides about every call.
//!
//! # Example
//!
//! A wasmbus module that answers every call with success and an empty response, and the call of it:
//!
//! ```
//! use std::sync::{Arc, Weak};
//! use std::time::{Duration, Instant};
//!
//! use bytes::Bytes;
//! use exosuit_core::{Answer, Context, Deliver, Id, Invocation, LogGate, Notice, Observe, Origin, Target};
//! use exosuit_engine::{ActorOptions, Engine, EngineOptions, Instances, Limits, Simulation, WasiGrants};
//!
//! /// Where the calls of actors go. This module makes none.
//! struct Router;
//!
//! impl Deliver for Router {
//!     fn deliver(&self, _call: Invocation) -> Answer {
//!         Box::pin(async { Ok(Bytes::new().into()) })
//!     }
//! }
//!
//! /// Where log lines go.
//! struct Log;
//!
//! impl Observe for Log {
//!     fn observe(&self, _notice: Notice) {}
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Without a pool of instances: a test machine may not have the address space.
//! let engine = Engine::new(EngineOptions { pool_slots: 0, ..EngineOptions::default() })?;
//! let bytes = wat::parse_str(
//!     r#"(module
//!         (memory (export "memory") 1)
//!         (func (export "__guest_call") (param i32 i32) (result i32) (i32.const 1)))"#,
//! )?;
//! let module = engine.compile(bytes.into()).await?;
//! let actor = engine.actor(
//!     &module,
//!     ActorOptions {
//!         id: Id::parse("greeter")?,
//!         limits: Limits::default(),
//!         instances: Instances::Ephemeral,
//!         config: Default::default(),
//!         grants: WasiGrants::default(),
//!         outbound: Weak::<Router>::new(),
//!         log: Arc::new(LogGate::new(Arc::new(Log), 10, 100)),
//!         simulation: Simulation::default(),
//!     },
//! )?;
//! let answer = actor.deliver(Invocation {
//!     origin: Origin::Host,
//!     target: Target::Actor("greeter".to_owned()),
//!     operation: "Greet".to_owned(),
//!     payload: Bytes::new().into(),
//!     context: Context::until(Instant::now() + Duration::from_secs(1)),
//! });
//! assert!(answer.await?.into_bytes()?.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # The life of a call
//!
//! A call is a future, and must be polled inside a Tokio context. One poll runs the guest on the calling thread until
//! the guest answers, waits for its host, or has used up its slice: one tick of the epoch, at most 1 ms. So a
//! scheduler of the BEAM may do the first poll. Work that takes longer and that nothing can interrupt is left to a
//! later poll (`slice.rs`): large random numbers, directories, guests with much memory. Dropping the future drops the
//! instance.
//!
//! A guest is linked whatever it imports. An import that nothing here answers fails when it is called; see
//! [`Module::unanswered`] and [`Engine::unanswered`].
//!
//! # Threads
//!
//! | thread | what it does |
//! |---|---|
//! | a scheduler of the BEAM | the first poll of a call from Elixir |
//! | a thread of Tokio | every other poll: also of calls that begin in Rust, such as requests of HTTP |
//! | a blocking thread of Tokio | hashing, the cache, linking, pipes to `exosuit-compile`, opening directories |
//! | `exosuit-epoch`, one per engine | ticks each millisecond while guests run (`ticker.rs`) |
//! | `exosuit-compile-0` … | compiles, only if there is no program `exosuit-compile` |
//! | `exosuit-locate` | resolves the granted directories of one actor, and ends |
//!
//! # Bounds
//!
//! | what | at most | beyond it |
//! |---|---|---|
//! | a module, in bytes | `EngineOptions::module_bytes` | the compile fails with `invalid_module` |
//! | compiles at a time, and waiting ones | `compile_jobs`, and 10 000 | they wait in turns; `overloaded` |
//! | time and memory of a compile | [`CompileLimits`] | the process ends; `invalid_module` |
//! | instances alive | `pool_slots` | warm ones are given up; then `overloaded` |
//! | instances of an actor at work | `actor_share` percent of the pool | calls wait; at their deadline `overloaded` |
//! | linear memory and tables of an instance | [`Limits`] | growth fails in the guest; if it traps then, `limit` |
//! | the stack of a guest | 512 KiB | `limit` |
//! | resources of the host in an instance | 4 096 | `limit` |
//! | values of a call of a component | the bytes of its memory limit | the conversion fails |
//! | a slice | 1 ms | the guest yields, and goes on in a task |
//! | a call | its deadline | the instance is dropped; `deadline` |
//!
//! # Modules of this crate
//!
//! From the top down: a module uses only those below it. `test/architecture_test.exs` checks that no modules use each
//! other.
//!
//! ```text
//! engine                          the facade
//! compile ─ turns, program, cache bytes to code, once per content
//! actor ─ module                  code with an identity
//! abi/                            how calls get into guests: wasmbus, programs, components
//! sandbox ─ lines                 what guests see of the host through WASI
//! actor_shared                    what the instances of an actor share
//! engine_core                     what running guests need of their engine
//! skeleton, bodies                checks of bytes: the imports without the code, the size of functions
//! code ─ kind, nesting, digest    wasmtime's compiler and loader, and checks of bytes before them
//! explain                         errors of wasmtime in our words
//! pool, share, ticker, limiter    warm instances, shares of the pool, the clock, limits of memory
//! random, slice                   random bytes in pieces, and long work off the schedulers
//! configuration                   how wasmtime is set up
//! options ─ simulation, error     what callers pass and get
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
