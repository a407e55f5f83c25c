//! The time and the random numbers of a test, in place of those of the machine.
//!
//! Hosts outside of tests have none of this: the default of [`Simulation`] is empty, and costs a look at an `Option`
//! where a guest gets its clocks or random numbers.
//!
//! - [`ManualClock`]: stands still until the test moves it. Sleeping guests wait real time all the same.
//! - [`SeededRandom`]: one sequence for each actor, which its instances share.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rand_core::TryRng;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use sha2::{Digest as _, Sha256};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

/// The time and chance that the guests of an actor see. Empty, they see the machine's.
///
/// ```
/// use std::sync::Arc;
/// use exosuit_engine::{ManualClock, Simulation};
///
/// let clock = Arc::new(ManualClock::new(0));
/// let simulation = Simulation { clock: Some(Arc::clone(&clock)), seed: Some(7) };
/// clock.advance(1_000_000_000); // All guests with this clock are a second later.
/// assert_eq!(simulation.clock.map(|clock| clock.wall()), Some(1_000_000_000));
/// ```
#[derive(Clone, Default)]
pub struct Simulation {
    /// The clock. Actors that are given the same one agree about the time.
    pub clock: Option<Arc<ManualClock>>,
    /// The seed of random numbers. Actors with the same seed have different sequences: the id is mixed in.
    pub seed: Option<u64>,
}

/// A clock that stands still until it is moved. Any thread may move it, also while guests run: they read it anew each
/// time. The two numbers move one after the other, so a guest may see one moved and the other not yet.
///
/// Deadlines, idle times and timers of the engine go by the clock of the machine all the same.
///
/// ```
/// use exosuit_engine::ManualClock;
///
/// let clock = ManualClock::new(5);
/// clock.advance(3);
/// assert_eq!(clock.wall(), 8);
/// clock.set(1); // The wall clock may go back; the monotonic time stays at 8.
/// assert_eq!(clock.wall(), 1);
/// ```
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicU64,
    monotonic: AtomicU64,
}

impl ManualClock {
    /// A clock at this time, in nanoseconds since 1970. The monotonic time begins with the same number.
    pub fn new(wall: u64) -> Self {
        Self {
            wall: wall.into(),
            monotonic: wall.into(),
        }
    }

    /// Sets the wall clock. The monotonic time stays.
    pub fn set(&self, wall: u64) {
        self.wall.store(wall, SeqCst);
    }

    /// Moves both times forward by nanoseconds. Beyond 64 bits, which is the year 2554, they begin anew at 0.
    pub fn advance(&self, by: u64) {
        self.wall.fetch_add(by, SeqCst);
        self.monotonic.fetch_add(by, SeqCst);
    }

    /// The time of the wall clock, in nanoseconds since 1970.
    pub fn wall(&self) -> u64 {
        self.wall.load(SeqCst)
    }
}

/// The clock as WASI asks for it.
struct Shared(Arc<ManualClock>);

impl HostWallClock for Shared {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.wall())
    }
}

impl HostMonotonicClock for Shared {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.0.monotonic.load(SeqCst)
    }
}

/// A generator that gives the same numbers for the same seed.
#[derive(Clone)]
pub(crate) struct SeededRandom(Arc<Mutex<StdRng>>);

impl SeededRandom {
    /// The sequence of an actor: the seed and the id are hashed, so that actors of one host have sequences of their own.
    fn new(seed: u64, actor: &str) -> Self {
        let seed = Sha256::new()
            .chain_update(seed.to_le_bytes())
            .chain_update(actor);
        Self(Arc::new(Mutex::new(StdRng::from_seed(
            seed.finalize().into(),
        ))))
    }

    /// Fills the bytes.
    pub(crate) fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().fill_bytes(bytes);
    }
}

impl TryRng for SeededRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.lock().next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.lock().next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fill(bytes);
        Ok(())
    }
}

/// The part of a simulation that an actor keeps: its clock, and its own sequence of random numbers.
#[derive(Default)]
pub(crate) struct Simulated {
    clock: Option<Arc<ManualClock>>,
    pub(crate) random: Option<SeededRandom>,
}

impl Simulated {
    pub(crate) fn new(simulation: Simulation, actor: &str) -> Self {
        Self {
            clock: simulation.clock,
            random: simulation.seed.map(|seed| SeededRandom::new(seed, actor)),
        }
    }

    /// Gives a guest the clock and the random numbers, if there are any. Once for each instance; the seed that WASI
    /// shows it is taken from the actor's sequence, so that instances differ in it.
    pub(crate) fn apply(&self, wasi: &mut WasiCtxBuilder) {
        if let Some(clock) = &self.clock {
            wasi.wall_clock(Shared(clock.clone()))
                .monotonic_clock(Shared(clock.clone()));
        }
        if let Some(random) = &self.random {
            let seed = random.0.lock().random();
            wasi.secure_random(random.clone())
                .insecure_random(random.clone())
                .insecure_random_seed(seed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_to_one_actor_and_others_to_another() {
        let numbers = |seed, actor| {
            let mut bytes = [0; 11];
            SeededRandom::new(seed, actor).fill(&mut bytes);
            bytes
        };
        assert_eq!(numbers(1, "a"), numbers(1, "a"));
        assert_ne!(numbers(1, "a"), numbers(2, "a"));
        assert_ne!(numbers(1, "a"), numbers(1, "b"));
    }

    #[test]
    fn a_clock_moves_when_it_is_told_to() {
        let clock = Arc::new(ManualClock::new(5));
        let shared = Shared(clock.clone());
        clock.advance(3);
        assert_eq!(HostMonotonicClock::now(&shared), 8);
        clock.set(1);
        assert_eq!(HostMonotonicClock::now(&shared), 8);
        assert_eq!(HostWallClock::now(&shared), Duration::from_nanos(1));
    }
}
