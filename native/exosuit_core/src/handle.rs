//! Handles: references to resources of WIT, which live in an instance of a guest or with a provider.
//!
//! A [`Handle`] passes as a [`Value`](crate::Value). Those who carry it know only its type and who made it; the crate
//! that made it finds its own again by [`Held::as_any`]. A resource ends with the last handle to it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

/// The thing that a handle refers to.
pub trait Held: Any + Send + Sync {
    /// Its type: the interface without its version, and the name (`acme:shop/carts/cart`). `None` until it has one.
    fn kind(&self) -> Option<&str>;

    /// Whether it is of this type. A resource without a type takes this one.
    fn is_of(&self, kind: &str) -> bool;

    /// The id of the actor or the provider that made it.
    fn maker(&self) -> Option<&str>;

    /// Why it cannot be used any more, if so.
    fn ended(&self) -> Option<String> {
        None
    }

    /// The process that it was given to has ended.
    fn abandon(&self) {}

    /// For the crate that made it.
    fn as_any(&self) -> &dyn Any;
}

/// A reference to a resource. All clones are one handle: what is given away with one of them is gone from all.
#[derive(Clone)]
pub struct Handle {
    held: Arc<Mutex<Option<Arc<dyn Held>>>>,
    is_lent: bool,
}

impl Handle {
    /// The first handle to a resource, with the right to give it away.
    pub fn new(held: Arc<dyn Held>) -> Self {
        Self {
            held: Arc::new(Mutex::new(Some(held))),
            is_lent: false,
        }
    }

    /// The same handle without the right to give the resource away: a `borrow`.
    #[must_use]
    pub fn lent(&self) -> Self {
        Self {
            held: Arc::clone(&self.held),
            is_lent: true,
        }
    }

    /// Whether it is a `borrow`.
    pub fn is_lent(&self) -> bool {
        self.is_lent
    }

    /// The resource, unless it was dropped or given away.
    pub fn get(&self) -> Option<Arc<dyn Held>> {
        self.held.lock().clone()
    }

    /// Takes the resource out of all clones: it is given away, or dropped. `None` if that was done before, or if this
    /// is a `borrow`.
    pub fn take(&self) -> Option<Arc<dyn Held>> {
        if self.is_lent {
            None
        } else {
            self.held.lock().take()
        }
    }

    /// A number that all clones have, and no other handle of this time.
    pub fn key(&self) -> usize {
        Arc::as_ptr(&self.held).addr()
    }

    /// Whether the two are clones of one handle.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.held, &other.held)
    }
}

impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        self.is(other)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.get();
        let kind = held.as_ref().and_then(|held| held.kind());
        f.debug_tuple("Handle").field(&kind).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Held for Nothing {
        fn kind(&self) -> Option<&str> {
            None
        }

        fn is_of(&self, _kind: &str) -> bool {
            true
        }

        fn maker(&self) -> Option<&str> {
            None
        }

        fn as_any(&self) -> &dyn Any {
            self
        }
    }

    #[test]
    fn what_is_given_away_is_gone_from_all_clones_and_what_is_lent_is_not_given_away() {
        let handle = Handle::new(Arc::new(Nothing));
        let (clone, lent) = (handle.clone(), handle.lent());
        assert!(lent.take().is_none());
        assert!(lent.get().is_some());
        assert!(clone.take().is_some());
        assert!(handle.take().is_none());
        assert!(lent.get().is_none());
        assert_eq!(clone, lent);
    }
}
