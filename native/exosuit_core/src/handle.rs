//! Handles: references to resources of WIT, which live in an instance of a guest or with a provider.
//!
//! A [`Handle`] passes as a [`Value`](crate::Value). Those who carry it know only its type and who made it; the crate
//! that made it finds its own again by [`Held::as_any`]. A resource ends with the last handle to it.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// The thing that a handle refers to.
pub trait Held: Any + Send + Sync {
    /// Its type: the interface without its version, and the name (`acme:shop/carts/cart`). `None` until it has one.
    fn kind(&self) -> Option<&str>;

    /// Whether it is of this type. A resource without a type takes this one.
    fn is_of(&self, kind: &str) -> bool;

    /// The id of the actor or the provider that made it.
    fn maker(&self) -> Option<&str>;

    /// The reason why it cannot be used any more, or `None`.
    fn ended(&self) -> Option<String> {
        None
    }

    /// For the crate that made it.
    fn as_any(&self) -> &dyn Any;
}

/// A reference to a resource. All clones are one handle: if one of them is given away, all of them are.
#[derive(Clone)]
pub struct Handle(Reach);

/// Where the resource is, until it is dropped or given away.
type Slot = Mutex<Option<Arc<dyn Held>>>;

#[derive(Clone)]
enum Reach {
    Own(Arc<Slot>),
    /// Valid as long as the loan lasts.
    Lent(Weak<Lent>),
}

/// A resource that is lent. It is there as long as its [`Loan`].
struct Lent {
    slot: Arc<Slot>,
}

/// The loan of a resource. When this is dropped, the borrower's handle becomes invalid.
#[must_use]
pub struct Loan {
    /// Borrowers see whether it is there.
    _lent: Arc<Lent>,
}

impl Handle {
    /// The first handle to a resource, with the right to give it away.
    pub fn new(held: Arc<dyn Held>) -> Self {
        Self(Reach::Own(Arc::new(Mutex::new(Some(held)))))
    }

    /// The same handle without the right to give the resource away: a `borrow`, which keeps no resource alive and
    /// ends with its loan. `None` if this is a borrow that has ended.
    pub fn lend(&self) -> Option<(Self, Loan)> {
        let lent = Arc::new(Lent { slot: self.slot()? });
        let borrow = Self(Reach::Lent(Arc::downgrade(&lent)));
        Some((borrow, Loan { _lent: lent }))
    }

    fn slot(&self) -> Option<Arc<Slot>> {
        match &self.0 {
            Reach::Own(slot) => Some(Arc::clone(slot)),
            Reach::Lent(lent) => lent.upgrade().map(|lent| Arc::clone(&lent.slot)),
        }
    }

    /// Whether it is a `borrow`.
    pub fn is_lent(&self) -> bool {
        matches!(self.0, Reach::Lent(_))
    }

    /// The resource, unless it was dropped or given away, or the loan has ended.
    pub fn get(&self) -> Option<Arc<dyn Held>> {
        let slot = self.slot()?;
        let held = slot.lock();
        held.clone()
    }

    /// Takes the resource out of all clones: it is given away, or dropped. `None` if that was done before, or if this
    /// is a `borrow`.
    pub fn take(&self) -> Option<Arc<dyn Held>> {
        match &self.0 {
            Reach::Own(slot) => slot.lock().take(),
            Reach::Lent(_) => None,
        }
    }

    /// Undoes [`take`](Self::take): the clones refer to the resource again.
    pub fn put_back(&self, held: Arc<dyn Held>) {
        if let Reach::Own(slot) = &self.0 {
            slot.lock().get_or_insert(held);
        }
    }

    /// A number that all clones have, and no other handle of this time. 0 for a borrow that has ended.
    pub fn key(&self) -> usize {
        self.slot().map_or(0, |slot| Arc::as_ptr(&slot).addr())
    }

    /// Whether the two are clones of one handle.
    pub fn is(&self, other: &Self) -> bool {
        self.key() == other.key()
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
        let clone = handle.clone();
        let (lent, _loan) = handle.lend().expect("it is no ended borrow");
        assert!(lent.take().is_none());
        assert!(lent.get().is_some());
        assert!(clone.take().is_some());
        assert!(handle.take().is_none());
        assert!(lent.get().is_none());
        assert_eq!(clone, lent);
    }

    #[test]
    fn what_is_put_back_is_there_for_all_clones() {
        let handle = Handle::new(Arc::new(Nothing));
        let clone = handle.clone();
        let held = handle.take().expect("it is there");
        handle.put_back(held);
        assert!(clone.get().is_some());
        assert!(clone.take().is_some());
    }

    #[test]
    fn a_borrow_ends_with_its_loan_and_keeps_no_resource_alive() {
        let resource: Arc<dyn Held> = Arc::new(Nothing);
        let alive = Arc::downgrade(&resource);
        let handle = Handle::new(resource);
        let (lent, loan) = handle.lend().expect("it is no borrow");
        let (lent_again, again) = lent.lend().expect("the loan lasts");
        drop(loan);
        assert!(lent.get().is_none() && lent.lend().is_none());
        assert!(lent_again.get().is_some());
        drop(again);
        assert!(lent_again.get().is_none());

        assert!(handle.get().is_some());
        drop(handle);
        assert!(alive.upgrade().is_none());
    }
}
