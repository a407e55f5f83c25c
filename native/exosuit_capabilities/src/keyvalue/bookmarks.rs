//! The cursors of lists of keys: numbers that stand for positions.
//!
//! # The life of a cursor
//!
//! 1. A page ends at a key. `put` stores the key, and the guest gets a number.
//! 2. The guest passes the number back. `get` finds the key, and the next page begins after it.
//! 3. It is forgotten when its actor has 1,024 newer ones, when the link is deleted, or when the
//!    provider ends.
//!
//! The number is a keyed hash of bucket and key. So the same position has the same number, a guest
//! cannot guess another's, and walking the same list again takes no new room. A number that is
//! passed by another actor, or for another bucket, is not found.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use exosuit_core::{Code, Error, Id, Origin};
use parking_lot::Mutex;

/// The positions that are kept for each caller; the oldest is forgotten first.
const MAX_POSITIONS: usize = 1_024;

/// The keys behind the cursors that were given out.
///
/// A cursor of `wasi:keyvalue` is a number. A position that stays valid while keys come and go is a key. So each
/// number stands for a key. A position of a bucket always has the same number. Each caller has room of its own,
/// so that no caller makes another's cursors invalid.
#[derive(Default)]
pub(crate) struct Bookmarks {
    numbers: RandomState,
    shelves: Mutex<HashMap<Origin, Shelf>>,
}

/// The cursors of one caller.
#[derive(Default)]
struct Shelf {
    positions: HashMap<u64, Position>,
    oldest_first: VecDeque<u64>,
}

/// What a cursor stands for: a key of a bucket.
#[derive(PartialEq, Eq, Hash)]
struct Position {
    bucket: Box<str>,
    key: String,
}

impl Bookmarks {
    /// The number of a position, which is kept.
    pub(crate) fn put(&self, caller: &Origin, bucket: &str, key: String) -> u64 {
        let bucket = bucket.into();
        let position = Position { bucket, key };
        let number = self.numbers.hash_one(&position);
        let mut all = self.shelves.lock();
        let theirs = all.entry(caller.clone()).or_default();
        if theirs.positions.insert(number, position).is_none() {
            theirs.oldest_first.push_back(number);
        }
        if theirs.oldest_first.len() > MAX_POSITIONS {
            let oldest = theirs.oldest_first.pop_front();
            oldest.and_then(|oldest| theirs.positions.remove(&oldest));
        }
        number
    }

    /// The key of a cursor.
    ///
    /// # Errors
    ///
    /// `invalid_input`, if the caller has no such cursor for this bucket.
    pub(crate) fn get(&self, caller: &Origin, bucket: &str, number: u64) -> Result<String, Error> {
        let shelves = self.shelves.lock();
        let position = shelves
            .get(caller)
            .and_then(|shelf| shelf.positions.get(&number))
            .filter(|position| *position.bucket == *bucket);
        match position {
            Some(position) => Ok(position.key.clone()),
            None => Err(Error::new(
                Code::InvalidInput,
                "the cursor is not one of this bucket, or too old: list the keys from the first again",
            )),
        }
    }

    /// Forgets the positions of an actor that no longer calls, of this host or another.
    pub(crate) fn forget(&self, actor: &Id) {
        self.shelves.lock().retain(|caller, _| match caller {
            Origin::Actor(id) => id != actor,
            Origin::Elsewhere(remote) => remote.id != *actor && remote.key.as_ref() != Some(actor),
            Origin::Host | Origin::Provider { .. } => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> Origin {
        Origin::Actor(Id::parse(name).expect("an id"))
    }

    #[test]
    fn a_position_has_one_number_and_belongs_to_a_bucket_and_a_caller() {
        let (marks, caller) = (Bookmarks::default(), caller("a"));
        let number = marks.put(&caller, "b", "key".to_owned());
        assert_eq!(marks.put(&caller, "b", "key".to_owned()), number);
        assert_ne!(marks.put(&caller, "c", "key".to_owned()), number);
        assert_eq!(marks.get(&caller, "b", number), Ok("key".to_owned()));
        assert!(marks.get(&caller, "c", number).is_err());
        assert!(marks.get(&self::caller("b"), "b", number).is_err());
    }

    #[test]
    fn the_oldest_is_forgotten_first_and_nobody_elses() {
        let (marks, caller, other) = (Bookmarks::default(), caller("a"), caller("b"));
        let others = marks.put(&other, "b", "key".to_owned());
        let put = |n: usize| marks.put(&caller, "b", n.to_string());
        let numbers: Vec<_> = (0..=MAX_POSITIONS).map(put).collect();
        assert!(marks.get(&caller, "b", numbers[0]).is_err());
        assert_eq!(marks.get(&caller, "b", numbers[1]), Ok("1".to_owned()));
        assert_eq!(marks.get(&other, "b", others), Ok("key".to_owned()));
        marks.forget(&Id::parse("a").expect("an id"));
        assert!(marks.get(&caller, "b", numbers[1]).is_err());
    }
}
