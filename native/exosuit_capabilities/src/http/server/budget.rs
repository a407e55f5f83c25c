//! The limit of buffered bytes of requests and answers on one address, and the share of each client.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The unit in which bytes are counted: a semaphore counts no further than 2^61, and a permit is
/// taken in 32 bits.
const UNIT: u64 = 1_024;

/// The bytes that an address may hold at a time, or one of its clients.
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    units: usize,
    /// The parent budget: bytes that this share takes are taken there as well.
    whole: Option<Arc<Budget>>,
}

/// A part of the budget, until it is dropped. None is taken for nothing.
#[derive(Default)]
pub(crate) struct Held {
    own: Option<OwnedSemaphorePermit>,
    /// As much, of the whole.
    whole: Option<OwnedSemaphorePermit>,
}

/// A part of the budget that is still to become free.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Result<Held, AcquireError>> + Send>>;

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        let units = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(Semaphore::MAX_PERMITS);
        let units = units.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(units)),
            units,
            whole: None,
        }
    }

    /// The most that one client may hold of it.
    pub(crate) fn share(self: &Arc<Self>, bytes: u64) -> Self {
        Self {
            whole: Some(Arc::clone(self)),
            ..Self::new(bytes)
        }
    }

    /// Takes what is missing to so many bytes in all; whether there was as much.
    pub(crate) fn raise(&self, held: &mut Held, bytes: u64) -> bool {
        let Some(missing) = missing(held, bytes) else {
            return true;
        };
        let Some(more) = self.try_take(missing) else {
            return false;
        };
        held.add(more);
        true
    }

    /// The same for bytes that are held already: more than there are in all count as all.
    pub(crate) fn count(&self, held: &mut Held, bytes: u64) -> bool {
        self.raise(held, self.at_most(bytes))
    }

    /// Waits for what is missing to so many bytes in all; nothing where nothing is.
    pub(crate) fn wait(&self, held: &Held, bytes: u64) -> Option<Waiting> {
        let missing = missing(held, self.at_most(bytes))?;
        let own = Arc::clone(&self.free).acquire_many_owned(missing);
        let whole = self.whole.as_ref().map(|whole| Arc::clone(&whole.free));
        Some(Box::pin(async move {
            let own = Some(own.await?);
            let whole = match whole {
                Some(free) => Some(free.acquire_many_owned(missing).await?),
                None => None,
            };
            Ok(Held { own, whole })
        }))
    }

    fn at_most(&self, bytes: u64) -> u64 {
        bytes.min(self.units as u64 * UNIT)
    }

    fn try_take(&self, units: u32) -> Option<Held> {
        let take = |budget: &Self| Arc::clone(&budget.free).try_acquire_many_owned(units).ok();
        let own = Some(take(self)?);
        let whole = match &self.whole {
            Some(whole) => Some(take(whole)?),
            None => None,
        };
        Some(Held { own, whole })
    }
}

fn missing(held: &Held, bytes: u64) -> Option<u32> {
    let units = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(usize::MAX);
    let missing = units.saturating_sub(held.units());
    (missing > 0).then(|| u32::try_from(missing).unwrap_or(u32::MAX))
}

impl Held {
    fn units(&self) -> usize {
        self.own
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Holds what the other held as well.
    pub(crate) fn add(&mut self, other: Self) {
        merge(&mut self.own, other.own);
        merge(&mut self.whole, other.whole);
    }
}

fn merge(held: &mut Option<OwnedSemaphorePermit>, more: Option<OwnedSemaphorePermit>) {
    match (held, more) {
        (Some(held), Some(more)) => held.merge(more),
        (none, more @ Some(_)) => *none = more,
        (_, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_room_for_others() {
        let whole = Arc::new(Budget::new(100 << 10));
        let (one, other) = (whole.share(60 << 10), whole.share(60 << 10));
        let mut held = Held::default();
        assert!(one.raise(&mut held, 50 << 10));
        assert!(!one.raise(&mut held, 70 << 10), "more than its share");
        assert!(
            one.count(&mut held, 70 << 10),
            "and all of it, once it is there"
        );

        let mut others = Held::default();
        assert!(!other.raise(&mut others, 50 << 10), "more than is left");
        assert!(other.raise(&mut others, 40 << 10));
        drop(held);
        assert!(other.raise(&mut others, 60 << 10));
        drop(others);
        assert_eq!(whole.free.available_permits(), 100);
    }
}
