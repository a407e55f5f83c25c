//! What a router is set to.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a router is set to. The defaults are fit for production.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many calls a call may be inside of.
    pub max_depth: u8,
    /// How long a call waits for an actor that is specified but does not run.
    pub restart_wait: Duration,
    /// How many calls wait so, for each actor.
    pub max_restart_waiters: usize,
    /// How long a provider may take over one link, or over its end.
    pub provider_timeout: Duration,
    /// Whether what can be called here is called here. If not, a call goes through the lattice, which
    /// picks one of those who serve the target, this host among them.
    pub local_first: bool,
    /// What says whether claims have expired.
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

/// How many calls one actor takes, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActorLimits {
    /// How many run at the same time.
    pub instances: u32,
    /// How many wait for one of those to end; a call beyond that is refused.
    pub queue: u32,
    /// The longest that a call may take from when it comes in, whatever its own deadline; a time
    /// beyond the clock's reach is none.
    pub deadline: Option<Duration>,
}

/// Tells the time of day; tests bring their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// A clock that asks `now`, which must not block.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Seconds of Unix time. A clock from before 1970 expires nothing and is nobody's clock.
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
