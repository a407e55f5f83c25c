//! The pending puts of links. A deletion cancels all earlier puts.
//!
//! A put may wait for locks and for a provider. Without this, a put that was requested before a deletion could take
//! effect after it, and a permission that was taken away would be back. The order is that of the requests: a put
//! is noted when it is requested, and checks under the lock of the table whether it was voided.
//!
//! ```text
//! put_link requested ── begin ─────────── is_void? ── in the table
//! delete_link requested ──────── void ──┘
//! ```
//!
//! The flag of a put outlives a void: it is never reset, as a put that was cancelled cannot come
//! back. The lock of the map is held for a look-up only.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use exosuit_core::LinkKey;
use parking_lot::Mutex;

/// The puts under way, by the key of their link.
///
/// A put that is finished or dropped removes its entry, so the map holds only puts under way.
#[derive(Default)]
pub(crate) struct Changes(Mutex<HashMap<LinkKey, Vec<Arc<AtomicBool>>>>);

/// A put, from its request until it is dropped.
pub(crate) struct Change {
    changes: Arc<Changes>,
    key: LinkKey,
    is_void: Arc<AtomicBool>,
}

impl Changes {
    /// Notes a put.
    pub(crate) fn begin(self: &Arc<Self>, key: LinkKey) -> Change {
        let is_void = Arc::new(AtomicBool::new(false));
        let mut all = self.0.lock();
        all.entry(key.clone())
            .or_default()
            .push(Arc::clone(&is_void));
        Change {
            changes: Arc::clone(self),
            key,
            is_void,
        }
    }

    /// Voids every put of a key that is under way: none of them takes effect from now on.
    ///
    /// The caller holds the write lock of the table, under which puts check their flags.
    pub(crate) fn void(&self, key: &LinkKey) {
        for is_void in self.0.lock().get(key).into_iter().flatten() {
            is_void.store(true, Ordering::Release);
        }
    }
}

impl Change {
    /// Whether its link was deleted after it was asked for.
    pub(crate) fn is_void(&self) -> bool {
        self.is_void.load(Ordering::Acquire)
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        let mut all = self.changes.0.lock();
        if let Some(under_way) = all.get_mut(&self.key) {
            under_way.retain(|other| !Arc::ptr_eq(other, &self.is_void));
            if under_way.is_empty() {
                all.remove(&self.key);
            }
        }
    }
}
