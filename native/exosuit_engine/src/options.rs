//! The options of an engine and of an actor, and their limits.
//!
//! | struct | for | from |
//! |---|---|---|
//! | [`EngineOptions`], [`Parts`] | the one engine of a VM | the application's environment |
//! | [`CompileLimits`] | one compile | the options of the host that asks for it |
//! | [`ActorOptions`], [`Limits`], [`Instances`], [`WasiGrants`] | one actor | its specification |
//!
//! Elixir has checked all of them when they arrive here. The engine still holds to the bounds of its own: at least one
//! thread, one compile and one instance, and tables no larger than a slot of the pool.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::thread::available_parallelism;
use std::time::Duration;

use exosuit_core::{Deliver, Id, LogGate};

use crate::Simulation;

/// The options of an engine. The defaults are those of a host with one engine and a pool.
///
/// ```
/// use exosuit_engine::EngineOptions;
///
/// let options = EngineOptions::default();
/// assert_eq!((options.pool_slots, options.actor_share), (1_000, 75));
/// assert_eq!((options.cache_bytes, options.module_bytes), (1 << 30, 256 << 20));
/// assert!(options.cache.is_none() && options.compiler.is_none());
/// ```
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The directory where compiled code is kept from one start to the next. None keeps nothing. It must belong to the
    /// user of the process, who alone may write there: otherwise it is not used, and
    /// [`Engine::cache_refusal`](crate::Engine::cache_refusal) says so. It is made if it is missing.
    pub cache: Option<PathBuf>,
    /// The size of that directory in bytes. Beyond it, the files that were used longest ago are removed.
    pub cache_bytes: u64,
    /// How many instances can be alive at once; with 0 there is no pool and no such bound. A slot is
    /// reserved address space, not memory.
    pub pool_slots: u32,
    /// The part of the pool, in percent, that one actor may have at once. At least one instance. Numbers outside of 1
    /// to 100 count as the nearest of them.
    pub actor_share: u32,
    /// The limits of one instance.
    pub parts: Parts,
    /// The program that compiles, `exosuit-compile`; without one, or if there is no file of this name, modules are
    /// compiled in this process, where nothing ends a compile that takes too much.
    pub compiler: Option<PathBuf>,
    /// How many threads compile one module. Its functions are compiled in parallel. By default one for each core but
    /// one.
    pub compile_threads: usize,
    /// How many modules are compiled at a time. Further ones wait, with the issuers in turn. By default one for each
    /// core but one, and at least two.
    pub compile_jobs: usize,
    /// The size of the largest module that is accepted, in bytes.
    pub module_bytes: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        // One core is left to those who call.
        let cores = available_parallelism().map_or(1, usize::from);
        Self {
            cache: None,
            cache_bytes: 1 << 30,
            pool_slots: 1_000,
            actor_share: 75,
            parts: Parts::default(),
            compiler: None,
            compile_threads: cores.saturating_sub(1).max(1),
            // A compile that takes minutes does not keep everybody else's waiting.
            compile_jobs: cores.saturating_sub(1).max(2),
            module_bytes: 256 << 20,
        }
    }
}

/// The limits of one instance. A bound costs nothing until a guest uses it.
///
/// With a pool, code that needs more is refused when it is loaded, right after its compile. Without one, its instances
/// are refused, so that every call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Core instances of a component: one per module that it links, and one per adapter between
    /// them. Components of Python have 40 and more, with native extensions some hundreds.
    pub core_instances: u32,
    /// Linear memories. Each takes a slot of the pool of its own, of which there are two for each instance on average.
    pub memories: u32,
    /// Tables. Each takes a slot of the pool of its own, of which there are three for each instance on average.
    pub tables: u32,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            core_instances: 1_000,
            memories: 100,
            tables: 100,
        }
    }
}

/// The limits of one compile. Callers with equal limits share a compile of the same bytes.
///
/// ```
/// use std::time::Duration;
/// use exosuit_engine::CompileLimits;
///
/// let limits = CompileLimits { time: Duration::from_secs(10), ..CompileLimits::default() };
/// assert_eq!(limits.memory_bytes, 4 << 30);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CompileLimits {
    /// The wall-clock time from the moment when it is its turn. Without `exosuit-compile` it has no effect.
    pub time: Duration,
    /// The memory limit of the compiling process. Without `exosuit-compile` it has no effect.
    pub memory_bytes: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            time: Duration::from_mins(5),
            memory_bytes: 4 << 30,
        }
    }
}

/// The options of an actor. [`Engine::actor`](crate::Engine::actor) takes them; none can be changed later. An update
/// makes another actor of the same module.
pub struct ActorOptions {
    /// Its id: the origin of its calls, and the name on its log lines.
    pub id: Id,
    /// The limits of each of its instances.
    pub limits: Limits,
    /// Whether instances serve one call or many.
    pub instances: Instances,
    /// The values that `wasi:config` gives to the guest. The wasmbus ABI has no way to read them.
    pub config: BTreeMap<String, String>,
    /// The parts of its host that WASI shows to it.
    pub grants: WasiGrants,
    /// Where its own calls go: the router. Weak, because the router holds the actors.
    pub outbound: Weak<dyn Deliver>,
    /// Where its stdout and stderr go.
    pub log: Arc<LogGate>,
    /// The time and the random numbers of a test.
    pub simulation: Simulation,
}

/// The limits of one instance.
///
/// ```
/// use std::time::Duration;
/// use exosuit_engine::Limits;
///
/// let limits = Limits::default();
/// assert_eq!(limits.memory_bytes, 256 << 20);
/// assert_eq!(limits.message_bytes, 64 << 20);
/// assert_eq!(limits.resource_idle, Duration::from_mins(5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory in bytes, summed over all memories of the instance. Also the bound on the values of one call, as
    /// wasmtime holds them.
    pub memory_bytes: usize,
    /// Elements of each table; at most 100 000, the size of a slot of the pool.
    pub table_elements: usize,
    /// The largest answer of a wasmbus module and the largest payload of a call that it makes, and
    /// the largest output of a program. What a component hands over at once
    /// may take as much as its memory.
    pub message_bytes: usize,
    /// The time without a call after which an instance ends that holds resources for a caller.
    pub resource_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            table_elements: 100_000,
            message_bytes: 64 << 20,
            resource_idle: Duration::from_mins(5),
        }
    }
}

impl Limits {
    /// How many bytes the values of one call may take as wasmtime holds them: as many as the memory. A little is given
    /// to every guest, as they take more there than in it.
    ///
    /// A byte of a `list<u8>` takes 40 bytes as a value of its own. Without this bound, an actor with a small memory
    /// could have the host take forty times as much.
    pub(crate) fn max_value_bytes(&self) -> usize {
        self.memory_bytes.max(1 << 20)
    }
}

/// Whether an instance serves one call or many.
///
/// | | [`Ephemeral`](Self::Ephemeral) | [`Warm`](Self::Warm) |
/// |---|---|---|
/// | state of the guest between calls | none | kept, but any call may get a fresh instance |
/// | cost of a call | an instantiation, microseconds | less, and no start functions |
/// | memory between calls | none | that of up to `pool` instances |
/// | calls in one instance | one | one at a time, `calls` in all |
///
/// A guest cannot rely on the state of a warm instance: which instance a call gets is not said, and instances that
/// rest are dropped when the pool of the engine is nearly full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instances {
    /// A fresh instance for each call: an actor keeps nothing between calls.
    #[default]
    Ephemeral,
    /// An instance serves many calls, one at a time, and keeps its state from one to the next. One
    /// that traps, exits, reaches a limit or is ended from outside is thrown away.
    Warm {
        /// How many instances rest between calls at most. Each keeps its memory and its slot of the pool. More
        /// may run at once.
        pool: usize,
        /// The number of calls after which an instance is thrown away. One that holds resources of a caller stays
        /// until these end.
        calls: u32,
        /// The time without a call after which an instance is thrown away.
        idle: Duration,
    },
}

/// The parts of the host that WASI shows a guest. A guest sees nothing else, except for clocks,
/// random numbers and a log for its output, which need no grant.
///
/// The values of its environment may be secrets, so its debug form shows only their names:
///
/// ```
/// use exosuit_engine::WasiGrants;
///
/// let grants = WasiGrants {
///     environment: vec![("TOKEN".to_owned(), "s3cret".to_owned())],
///     ..WasiGrants::default()
/// };
/// let shown = format!("{grants:?}");
/// assert!(shown.contains("TOKEN") && !shown.contains("s3cret"));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WasiGrants {
    /// Its command line, behind the name of the program.
    pub arguments: Vec<String>,
    /// Its environment: names and values. Nothing of the environment of the host is in it.
    pub environment: Vec<(String, String)>,
    /// Directories of the host that it may enter.
    pub directories: Vec<Directory>,
}

/// A directory of the host, under the name that a guest knows it by. No path leads out of it, nor a symbolic link.
/// `writable` covers everything below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where it is; it must exist when the actor is made.
    pub host: PathBuf,
    /// Its name for the guest: `/data`.
    pub guest: String,
    /// Whether the guest may change what is in it.
    pub writable: bool,
}

impl fmt::Debug for WasiGrants {
    /// Values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.environment.iter().map(|(name, _value)| name);
        f.debug_struct("WasiGrants")
            .field("arguments", &self.arguments.len())
            .field("environment", &names.collect::<Vec<_>>())
            .field("directories", &self.directories)
            .finish()
    }
}
