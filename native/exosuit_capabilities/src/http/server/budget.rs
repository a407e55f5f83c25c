//! The bytes that an address may hold for all its clients, of requests and of answers.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The unit in which bytes are counted: a semaphore counts no further than 2^61, and a permit is
/// taken in 32 bits.
const UNIT: u64 = 1_024;

/// The bytes that an address may hold at a time.
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    units: usize,
}

/// A part of the budget, until it is dropped. None is taken for nothing.
#[derive(Default)]
pub(crate) struct Held(Option<OwnedSemaphorePermit>);

/// A part of the budget that is still to become free.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Result<Held, AcquireError>> + Send + Sync>>;

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        let units = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(Semaphore::MAX_PERMITS);
        let units = units.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(units)),
            units,
        }
    }

    /// Takes what is missing to so many bytes in all; whether there was as much.
    pub(crate) fn raise(&self, held: &mut Held, bytes: u64) -> bool {
        let Some(missing) = missing(held, bytes) else {
            return true;
        };
        let taken = Arc::clone(&self.free).try_acquire_many_owned(missing).ok();
        let is_enough = taken.is_some();
        held.add(Held(taken));
        is_enough
    }

    /// The same for bytes that are held already: more than there are in all count as all.
    pub(crate) fn count(&self, held: &mut Held, bytes: u64) -> bool {
        self.raise(held, bytes.min(self.units as u64 * UNIT))
    }

    /// Waits for what is missing to so many bytes in all; nothing where nothing is.
    pub(crate) fn wait(&self, held: &Held, bytes: u64) -> Option<Waiting> {
        let missing = missing(held, bytes.min(self.units as u64 * UNIT))?;
        let free = Arc::clone(&self.free).acquire_many_owned(missing);
        Some(Box::pin(async move { Ok(Held(Some(free.await?))) }))
    }
}

fn missing(held: &Held, bytes: u64) -> Option<u32> {
    let units = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(usize::MAX);
    let missing = units.saturating_sub(held.units());
    (missing > 0).then(|| u32::try_from(missing).unwrap_or(u32::MAX))
}

impl Held {
    fn units(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Holds what the other held as well.
    pub(crate) fn add(&mut self, other: Self) {
        match (&mut self.0, other.0) {
            (Some(own), Some(more)) => own.merge(more),
            (none, more) => *none = none.take().or(more),
        }
    }
}
