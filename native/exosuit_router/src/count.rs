//! A counter whose increments end when they are dropped: for bounds on waiting calls. A future that is dropped
//! while it waits gives its place back, so that no bound leaks.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of [`Counted`] that exist.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicUsize);

/// One increment, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted<'a>(&'a Count);

impl Count {
    /// Increments the counter, unless it has reached `max`.
    ///
    /// `None` does not wait and does not count. The comparison and the increment are one atomic
    /// step, so the bound holds under any number of threads.
    pub(crate) fn enter(&self, max: usize) -> Option<Counted<'_>> {
        let more = |count| (count < max).then_some(count + 1);
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .is_ok()
            .then(|| Counted(self))
    }

    /// The number now. It may change before the caller uses it.
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_does_not_count() {
        let count = Count::default();
        let one = count.enter(1).expect("there is none");
        assert!(count.enter(1).is_none());
        assert!(count.enter(1).is_none());
        assert_eq!(count.get(), 1);
        drop(one);
        assert_eq!(count.get(), 0);
    }
}
