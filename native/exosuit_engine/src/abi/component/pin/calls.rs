//! The calls that run in pinned instances now, and which of them each is part of.
//!
//! A call in a pinned instance waits for its turn. If it is part of the call that has the turn, it would wait for
//! itself: a guest calls a provider, which calls the guest's resource. So each call that runs in a pinned instance has
//! a number, which calls within it carry ([`Context::within`](exosuit_core::Context)), through other actors and through
//! the processes of providers. From that number, the calls around it are found here.
//!
//! The number does not leave the host, and a provider's process that is not the one of its call, or a task of it,
//! does not have it. There, and where two calls wait for each other's instances, calls wait until their deadline.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

/// The calls by their numbers, with the one around each. As many as pinned instances work.
static RUNNING: Mutex<BTreeMap<NonZeroU64, Option<NonZeroU64>>> = Mutex::new(BTreeMap::new());

/// A call that runs in a pinned instance, until this is dropped.
pub(super) struct PinnedCall(NonZeroU64);

impl PinnedCall {
    /// Begins a call within another one.
    pub(super) fn begin(within: Option<NonZeroU64>) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Relaxed).wrapping_add(1);
        let number = NonZeroU64::new(number).unwrap_or(NonZeroU64::MAX);
        RUNNING.lock().insert(number, within);
        Self(number)
    }

    pub(super) fn number(&self) -> NonZeroU64 {
        self.0
    }
}

impl Drop for PinnedCall {
    fn drop(&mut self) {
        RUNNING.lock().remove(&self.0);
    }
}

/// Whether a call within `within` is part of this one, which still runs.
pub(super) fn is_part(mut within: Option<NonZeroU64>, of: NonZeroU64) -> bool {
    let running = RUNNING.lock();
    while let Some(number) = within {
        let Some(around) = running.get(&number) else {
            return false;
        };
        if number == of {
            return true;
        }
        within = *around;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_part_of_those_around_it_while_they_run() {
        let outer = PinnedCall::begin(None);
        let inner = PinnedCall::begin(Some(outer.number()));
        let other = PinnedCall::begin(None);
        let (out, within) = (outer.number(), inner.number());
        assert!(is_part(Some(within), out) && is_part(Some(within), within));
        assert!(!is_part(Some(out), within) && !is_part(Some(within), other.number()));
        assert!(!is_part(None, out));
        drop(outer);
        assert!(!is_part(Some(within), out));
        assert!(is_part(Some(within), within));
    }
}
