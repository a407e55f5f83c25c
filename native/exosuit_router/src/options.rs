//! The options of a router, and the limits of an actor. `Exosuit.Config` and manifests set them; Elixir has checked
//! the numbers.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The options of a router. The defaults are fit for production.
#[derive(Debug, Clone)]
pub struct Options {
    /// How deeply calls may be nested. Two actors that call each other without end stop here.
    pub max_depth: u8,
    /// How long a call waits for an actor that is specified but does not run.
    pub restart_wait: Duration,
    /// How many calls may wait for one actor to restart. Each holds its payload in memory.
    pub max_restart_waiters: usize,
    /// How long a provider may take for one link, or for its stop.
    pub provider_timeout: Duration,
    /// Whether a target on this host is preferred. If not, each call goes through the lattice,
    /// which picks one of the hosts that serve the target, perhaps this one.
    pub local_first: bool,
    /// The clock that claims expire by.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_depth: 16,
            restart_wait: Duration::from_secs(5),
            max_restart_waiters: 1_024,
            provider_timeout: Duration::from_secs(30),
            local_first: true,
            clock: Clock::default(),
        }
    }
}

/// How many calls one actor takes, and how long each may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActorLimits {
    /// How many calls run at the same time.
    pub instances: u32,
    /// How many calls wait for a slot. Further calls are refused.
    pub queue: u32,
    /// The longest time for a call from its arrival, whatever its own deadline is. `None` and times
    /// beyond the clock's reach set no limit.
    pub deadline: Option<Duration>,
}

/// The time of day. Tests use their own clocks.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// A clock that asks `now`, which must not block.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Seconds since 1970. A clock before 1970 returns 0, so that no claims expire.
    pub(crate) fn unix(&self) -> u64 {
        (self.0)()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
