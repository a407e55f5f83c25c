//! The keys that a watcher has reported. Pure, so that tests can try every order of events.
//!
//! It keeps names and revisions, and no values: some hundred bytes for each key. Deleted keys are kept as
//! well, because the server keeps their markers, and the numbers of both must agree.
//!
//! Reading everything again is a *sweep*: keys are noted in `seen` as they come, and when the last one has
//! come, the keys that were not seen are gone. A sweep that is interrupted begins again. A new bucket begins
//! with a sweep, and the keys of the former one wait in `before`, so that those that come again are not
//! reported as lost.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem;
use std::sync::Arc;

use async_nats::datetime::DateTime;

/// The bound on keys: about a million. More than any real lattice has, so beyond it something is
/// wrong. New keys are then ignored, and the known ones are still followed. Deleted keys make room
/// for new ones, the oldest first.
const MAX_KEYS: usize = 1 << 20;
/// The bound on the bytes of all keys: 64 MiB.
const MAX_BYTES: usize = 64 << 20;

/// The keys of a bucket with their revisions.
///
/// | field | grows with | bound |
/// |---|---|---|
/// | `keys` | keys, deleted ones included | `max_keys`, and `room` bytes |
/// | `dead` | deleted keys | is a part of `keys` |
/// | `seen` | keys, during a sweep | is a part of `keys` |
/// | `before` | live keys of former buckets | `MAX_KEYS` |
#[derive(Debug)]
pub(super) struct KeyMirror {
    /// The bound on the number of keys. Tests use a small one.
    max_keys: usize,
    /// The bound on their bytes.
    room: usize,
    /// The bytes of the keys now.
    bytes: usize,
    /// When the bucket was created. Another time means another bucket.
    created: Option<DateTime>,
    /// The last revision that was applied.
    revision: u64,
    keys: HashMap<Arc<str>, KeyState>,
    /// The deleted keys, by their last revision.
    dead: BTreeSet<(u64, Arc<str>)>,
    /// The keys that were seen since everything is being read again.
    seen: Option<HashSet<Arc<str>>>,
    /// The keys of the bucket before this one.
    before: HashMap<Arc<str>, KeyState>,
}

/// A key: its last revision, and whether it has a value.
#[derive(Debug, Clone, Copy)]
struct KeyState {
    revision: u64,
    is_live: bool,
}

/// Where to continue reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Every key with its last value.
    Beginning,
    /// The changes from this revision on.
    Revision(u64),
}

/// The change that a message makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyChange {
    /// The key has another value.
    Put,
    /// The key had a value, and has none any more.
    Deleted,
    /// It was applied before.
    Nothing,
    /// There is no room for this key.
    Dropped,
}

/// Keys that vanished without a delete marker.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gone {
    /// Keys that are no longer in the bucket.
    pub(super) deleted: Vec<String>,
    /// Keys of the former bucket that this one lacks.
    pub(super) lost: Vec<String>,
}

impl Default for KeyMirror {
    fn default() -> Self {
        Self::with_room(MAX_KEYS, MAX_BYTES)
    }
}

impl KeyMirror {
    fn with_room(max_keys: usize, room: usize) -> Self {
        Self {
            max_keys,
            room,
            bytes: 0,
            created: None,
            revision: 0,
            keys: HashMap::new(),
            dead: BTreeSet::new(),
            seen: None,
            before: HashMap::new(),
        }
    }

    /// Where to continue, in a bucket with this creation time and last revision.
    ///
    /// A bucket with another creation time, or with fewer revisions than were applied, is another
    /// one. Its live keys of before move to `before`, and everything starts anew.
    pub(super) fn begin(&mut self, created: DateTime, last_revision: u64) -> From {
        let is_same = self.created == Some(created) && self.revision <= last_revision;
        if is_same && self.seen.is_none() {
            return From::Revision(self.revision + 1);
        }
        if !is_same && self.created.is_some() {
            let keys = mem::take(&mut self.keys);
            let room = MAX_KEYS.saturating_sub(self.before.len());
            let live = keys.into_iter().filter(|(_, known)| known.is_live);
            self.before.extend(live.take(room));
            self.dead.clear();
            (self.revision, self.bytes) = (0, 0);
        }
        self.created = Some(created);
        self.seen = Some(HashSet::new());
        From::Beginning
    }

    /// Reads everything again next time, because something was missed.
    ///
    /// The keys stay, so a sweep reports only differences.
    pub(super) fn restart(&mut self) {
        self.seen = Some(HashSet::new());
    }

    /// Applies a change.
    ///
    /// A revision that is not newer changes nothing, so it does not matter if a message comes
    /// twice, as it does after each interruption.
    pub(super) fn apply(&mut self, key: &str, revision: u64, is_live: bool) -> KeyChange {
        self.revision = self.revision.max(revision);
        let known = self.keys.get(key).copied();
        if known.is_none() && !self.make_room(key, is_live) {
            return if is_live {
                KeyChange::Dropped
            } else {
                KeyChange::Nothing
            };
        }
        let key: Arc<str> = key.into();
        if let Some(seen) = &mut self.seen {
            seen.insert(Arc::clone(&key));
        }
        if known.is_some_and(|known| known.revision >= revision) {
            return KeyChange::Nothing;
        }
        self.note(key, KeyState { revision, is_live }, known);
        let was_live = known.is_some_and(|known| known.is_live);
        match (is_live, was_live) {
            (true, _) => KeyChange::Put,
            (false, true) => KeyChange::Deleted,
            (false, false) => KeyChange::Nothing,
        }
    }

    /// Stores the state of a key.
    ///
    /// Keeps `bytes` and `dead` in step with `keys`.
    fn note(&mut self, key: Arc<str>, now: KeyState, before: Option<KeyState>) {
        match before {
            None => self.bytes += key.len(),
            Some(before) if before.is_live => {}
            Some(before) => {
                self.dead.remove(&(before.revision, Arc::clone(&key)));
            }
        }
        if !now.is_live {
            self.dead.insert((now.revision, Arc::clone(&key)));
        }
        self.keys.insert(key, now);
    }

    /// Whether there is room for a new key. For a key with a value, the oldest deleted keys are
    /// removed.
    ///
    /// A marker of an unknown key needs no entry: nobody was told of the key. Then the counts
    /// differ from the server's, and the next check reads everything again, which is slower but not
    /// wrong.
    fn make_room(&mut self, key: &str, is_live: bool) -> bool {
        while self.keys.len() >= self.max_keys || self.bytes + key.len() > self.room {
            if !is_live {
                return false;
            }
            let Some((_, oldest)) = self.dead.pop_first() else {
                return false;
            };
            self.keys.remove(&oldest);
            self.bytes -= oldest.len();
            if let Some(seen) = &mut self.seen {
                seen.remove(&oldest);
            }
        }
        true
    }

    /// Everything was read: returns the keys that were not seen.
    ///
    /// It may be called without a sweep, after continuing from a revision. Then only keys of a
    /// former bucket can be gone.
    pub(super) fn caught_up(&mut self) -> Gone {
        let mut gone = Gone::default();
        if let Some(seen) = self.seen.take() {
            let keys = mem::take(&mut self.keys);
            let (there, missing): (HashMap<_, _>, HashMap<_, _>) =
                keys.into_iter().partition(|(key, _)| seen.contains(key));
            self.keys = there;
            self.bytes = self.keys.keys().map(|key| key.len()).sum();
            self.dead.retain(|(_, key)| self.keys.contains_key(key));
            gone.deleted = live(missing);
        }
        let before = mem::take(&mut self.before);
        gone.lost = live(before)
            .into_iter()
            .filter(|key| !self.is_live(key.as_str()))
            .collect();
        gone.deleted.sort_unstable();
        gone.lost.sort_unstable();
        gone
    }

    /// Whether the bucket has as many messages as this has keys, deleted ones included. The server
    /// removes delete markers some day, and with them the evidence of a deletion.
    pub(super) fn agrees(&self, messages: u64) -> bool {
        self.keys.len() as u64 == messages
    }

    /// Whether the key has a value, as far as is known.
    fn is_live(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(|known| known.is_live)
    }
}

/// The keys that have a value.
fn live(keys: HashMap<Arc<str>, KeyState>) -> Vec<String> {
    keys.into_iter()
        .filter(|(_, known)| known.is_live)
        .map(|(key, _)| key.as_ref().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(second: i64) -> DateTime {
        DateTime::from_unix_timestamp(second).expect("a time")
    }

    /// One that has read a, b and the end of c.
    fn mirror() -> KeyMirror {
        let mut mirror = KeyMirror::default();
        assert_eq!(mirror.begin(moment(1), 4), From::Beginning);
        assert_eq!(mirror.apply("a", 1, true), KeyChange::Put);
        assert_eq!(mirror.apply("b", 2, true), KeyChange::Put);
        assert_eq!(mirror.apply("c", 4, false), KeyChange::Nothing);
        assert_eq!(mirror.caught_up(), Gone::default());
        mirror
    }

    #[test]
    fn reading_goes_on_where_it_ended() {
        let mut mirror = mirror();
        assert_eq!(mirror.begin(moment(1), 6), From::Revision(5));
        assert_eq!(mirror.apply("a", 5, false), KeyChange::Deleted);
        assert_eq!(mirror.apply("b", 6, true), KeyChange::Put);
        assert_eq!(mirror.caught_up(), Gone::default());
        assert!(mirror.agrees(3));
    }

    #[test]
    fn what_is_known_is_no_news() {
        let mut mirror = mirror();
        mirror.restart();
        assert_eq!(mirror.begin(moment(1), 4), From::Beginning);
        assert_eq!(mirror.apply("a", 1, true), KeyChange::Nothing);
        assert_eq!(mirror.apply("b", 3, true), KeyChange::Put);
        assert_eq!(mirror.caught_up(), Gone::default());
    }

    #[test]
    fn what_has_gone_without_a_mark_is_found() {
        let mut mirror = mirror();
        assert!(!mirror.agrees(2));
        mirror.restart();
        assert_eq!(mirror.begin(moment(1), 9), From::Beginning);
        assert_eq!(mirror.apply("b", 2, true), KeyChange::Nothing);
        let gone = Gone {
            deleted: vec!["a".to_owned()],
            lost: Vec::new(),
        };
        assert_eq!(mirror.caught_up(), gone);
        assert_eq!(mirror.begin(moment(1), 9), From::Revision(5));
    }

    #[test]
    fn what_there_is_no_room_for_is_passed_over_and_what_is_known_goes_on() {
        let mut mirror = KeyMirror::with_room(9, 8);
        assert_eq!(mirror.begin(moment(1), 9), From::Beginning);
        assert_eq!(mirror.apply("four", 1, true), KeyChange::Put);
        assert_eq!(mirror.apply("another", 2, true), KeyChange::Dropped);
        assert_eq!(mirror.apply("tiny", 3, true), KeyChange::Put);
        assert_eq!(mirror.apply("x", 4, true), KeyChange::Dropped);
        assert_eq!(mirror.caught_up(), Gone::default());
        assert_eq!(mirror.apply("four", 5, false), KeyChange::Deleted);
        // It is read anew after each interruption, as it cannot tell what it lacks.
        assert!(!mirror.agrees(4));
        mirror.restart();
        assert_eq!(mirror.begin(moment(1), 9), From::Beginning);
        assert_eq!(mirror.apply("tiny", 3, true), KeyChange::Nothing);
        assert_eq!(mirror.caught_up(), Gone::default());
        assert_eq!(mirror.apply("x", 6, true), KeyChange::Put);
    }

    #[test]
    fn deleted_keys_make_room_for_new_ones() {
        for (max_keys, room) in [(4, MAX_BYTES), (MAX_KEYS, 4 + 3 * 7)] {
            let mut mirror = KeyMirror::with_room(max_keys, room);
            assert_eq!(mirror.begin(moment(1), 1), From::Beginning);
            assert_eq!(mirror.apply("stay", 1, true), KeyChange::Put);
            for n in 1..100u64 {
                let key = format!("key-{:03}", n % 50);
                assert_eq!(mirror.apply(&key, 2 * n, true), KeyChange::Put, "{n}");
                assert_eq!(mirror.apply(&key, 2 * n + 1, false), KeyChange::Deleted);
            }
            assert_eq!((mirror.keys.len(), mirror.dead.len()), (4, 3));
            assert_eq!(mirror.bytes, 4 + 3 * 7);
            // The word that another key was deleted takes nobody's place.
            assert_eq!(mirror.apply("key-999", 300, false), KeyChange::Nothing);
            assert_eq!(mirror.caught_up(), Gone::default());
            assert_eq!(mirror.apply("stay", 301, false), KeyChange::Deleted);
            assert_eq!((mirror.keys.len(), mirror.dead.len()), (4, 4));
        }
    }

    #[test]
    fn live_keys_make_no_room() {
        let mut mirror = KeyMirror::with_room(2, 8);
        assert_eq!(mirror.begin(moment(1), 4), From::Beginning);
        assert_eq!(mirror.apply("a", 1, true), KeyChange::Put);
        assert_eq!(mirror.apply("b", 2, false), KeyChange::Nothing);
        assert_eq!(mirror.apply("b", 3, true), KeyChange::Put);
        assert_eq!(mirror.apply("c", 4, true), KeyChange::Dropped);
        assert_eq!(mirror.caught_up(), Gone::default());
        assert_eq!(mirror.apply("a", 5, false), KeyChange::Deleted);
        assert_eq!(mirror.apply("c", 6, true), KeyChange::Put);
    }

    #[test]
    fn reading_anew_that_was_interrupted_begins_again() {
        let mut mirror = KeyMirror::default();
        mirror.begin(moment(1), 2);
        mirror.apply("a", 1, true);
        assert_eq!(mirror.begin(moment(1), 2), From::Beginning);
    }

    #[test]
    fn a_bucket_that_was_made_anew_lacks_what_the_old_one_had() {
        for (created, last) in [(2, 9), (1, 1)] {
            let mut mirror = mirror();
            assert_eq!(mirror.begin(moment(created), last), From::Beginning);
            assert_eq!(mirror.apply("b", 1, true), KeyChange::Put);
            let gone = Gone {
                deleted: Vec::new(),
                lost: vec!["a".to_owned()],
            };
            assert_eq!(mirror.caught_up(), gone);
            assert_eq!(mirror.caught_up(), Gone::default());
        }
    }
}
