//! The options of a router, and the limits of an actor. `Exosuit.Config` and manifests set them; Elixir has checked
//! the numbers.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The options of a router. The defaults are fit for production.
///
/// They hold for the life of the router. The limits of one actor are [`ActorLimits`], which may
/// change.
///
/// ```
/// use std::time::Duration;
/// use exosuit_router::Options;
///
/// let options = Options { restart_wait: Duration::from_secs(1), ..Options::default() };
/// assert_eq!(options.max_depth, 16);
/// assert_eq!(options.max_restart_waiters, 1_024);
/// assert_eq!(options.provider_timeout, Duration::from_secs(30));
/// assert!(options.local_first);
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    /// How deeply calls may be nested. Two actors that call each other without end stop here.
    ///
    /// A call from outside has depth 0; each call inside another has one more. 16 by default.
    pub max_depth: u8,
    /// How long a call waits for an actor that is specified but does not run.
    ///
    /// 5 seconds by default. Several restarts during one call share this time.
    pub restart_wait: Duration,
    /// How many calls may wait for one actor to restart. Each holds its payload in memory.
    ///
    /// 1,024 by default.
    pub max_restart_waiters: usize,
    /// How long a provider may take for one link, or for its stop.
    ///
    /// 30 seconds by default. It also bounds the wait for other changes of the same link.
    pub provider_timeout: Duration,
    /// Whether a target on this host is preferred. If not, each call goes through the lattice,
    /// which picks one of the hosts that serve the target, perhaps this one.
    ///
    /// True by default.
    pub local_first: bool,
    /// The clock that claims expire by.
    ///
    /// The system's by default.
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
///
/// They are checked for each call, so a change takes effect at once. Calls that run beyond a
/// lowered limit finish.
///
/// ```
/// use std::time::Duration;
/// use exosuit_router::ActorLimits;
///
/// // Ten calls run, a hundred wait, and none takes longer than two seconds.
/// let limits = ActorLimits { instances: 10, queue: 100, deadline: Some(Duration::from_secs(2)) };
/// # let _ = limits;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActorLimits {
    /// How many calls run at the same time.
    ///
    /// With 0, no call runs: all of them queue or are refused.
    pub instances: u32,
    /// How many calls wait for a slot. Further calls are refused.
    ///
    /// With 0, a call that finds no free slot is refused at once. Nested calls never wait here.
    pub queue: u32,
    /// The longest time for a call from its arrival, whatever its own deadline is. `None` and times
    /// beyond the clock's reach set no limit.
    pub deadline: Option<Duration>,
}

/// The time of day. Tests use their own clocks.
///
/// Only the expiry of claims depends on it, in whole seconds. Deadlines use the monotonic clock.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use exosuit_router::{Clock, Options};
///
/// let fixed = Clock::new(|| UNIX_EPOCH + Duration::from_secs(1_700_000_000));
/// let options = Options { clock: fixed, ..Options::default() };
/// # let _ = options;
/// ```
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// A clock that asks `now`, which must not block.
    ///
    /// It runs under the lock of the table, at each call whose claims expire.
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
