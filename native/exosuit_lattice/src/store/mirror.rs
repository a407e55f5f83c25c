//! Which keys a bucket has, as far as its changes told: pure, so that every order can be tried.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem;
use std::sync::Arc;

use async_nats::datetime::DateTime;

/// More keys than any lattice has, and more bytes of them; past them something is wrong, and we do not
/// grow with it: further keys are passed over, and those that are known go on to be followed. Deleted
/// keys make room for new ones, the oldest first.
const MAX_KEYS: usize = 1 << 20;
const MAX_BYTES: usize = 64 << 20;

/// What a watcher knows of its bucket.
#[derive(Debug)]
pub(super) struct Mirror {
    /// How many keys and bytes of keys it takes, and how many bytes it has.
    most_keys: usize,
    room: usize,
    bytes: usize,
    /// When the bucket was made: another moment, another bucket.
    created: Option<DateTime>,
    /// The last change that was seen.
    revision: u64,
    keys: HashMap<Arc<str>, Known>,
    /// The deleted ones among them, by their last revision.
    dead: BTreeSet<(u64, Arc<str>)>,
    /// The keys that are there, while all are read anew.
    seen: Option<HashSet<Arc<str>>>,
    /// The keys of the bucket that was there before this one.
    before: HashMap<Arc<str>, Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    revision: u64,
    is_live: bool,
}

/// Where to go on reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Every key, with its last value.
    Beginning,
    /// What has changed, from this revision on.
    Revision(u64),
}

/// What a change means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Put,
    Deleted,
    /// Known already.
    Nothing,
    /// There are more keys than any lattice has: this one is not followed.
    Dropped,
}

/// What has gone without a word.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gone {
    /// Keys that are not there any more.
    pub(super) deleted: Vec<String>,
    /// Keys of a bucket that is not there any more, which this one lacks.
    pub(super) lost: Vec<String>,
}

impl Default for Mirror {
    fn default() -> Self {
        Self::with_room(MAX_KEYS, MAX_BYTES)
    }
}

impl Mirror {
    fn with_room(most_keys: usize, room: usize) -> Self {
        Self {
            most_keys,
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

    /// Where to go on, in a bucket that was made then and whose last change is this.
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

    /// Has all be read anew next time: something was missed.
    pub(super) fn doubt(&mut self) {
        self.seen = Some(HashSet::new());
    }

    /// Takes a change.
    pub(super) fn apply(&mut self, key: &str, revision: u64, is_live: bool) -> News {
        self.revision = self.revision.max(revision);
        let known = self.keys.get(key).copied();
        if known.is_none() && !self.make_room(key, is_live) {
            return if is_live {
                News::Dropped
            } else {
                News::Nothing
            };
        }
        let key: Arc<str> = key.into();
        if let Some(seen) = &mut self.seen {
            seen.insert(Arc::clone(&key));
        }
        if known.is_some_and(|known| known.revision >= revision) {
            return News::Nothing;
        }
        self.note(key, Known { revision, is_live }, known);
        let was_live = known.is_some_and(|known| known.is_live);
        match (is_live, was_live) {
            (true, _) => News::Put,
            (false, true) => News::Deleted,
            (false, false) => News::Nothing,
        }
    }

    fn note(&mut self, key: Arc<str>, now: Known, before: Option<Known>) {
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

    /// Whether there is room for a new key. For a live one, the oldest deleted keys are forgotten.
    fn make_room(&mut self, key: &str, is_live: bool) -> bool {
        while self.keys.len() >= self.most_keys || self.bytes + key.len() > self.room {
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

    /// Everything up to now was read: what was not seen is not there.
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

    /// Whether the bucket has as many keys, deleted ones among them: the marks of those are deleted
    /// some day, and with them the word that they are gone.
    pub(super) fn agrees(&self, messages: u64) -> bool {
        self.keys.len() as u64 == messages
    }

    fn is_live(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(|known| known.is_live)
    }
}

fn live(keys: HashMap<Arc<str>, Known>) -> Vec<String> {
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
    fn mirror() -> Mirror {
        let mut mirror = Mirror::default();
        assert_eq!(mirror.begin(moment(1), 4), From::Beginning);
        assert_eq!(mirror.apply("a", 1, true), News::Put);
        assert_eq!(mirror.apply("b", 2, true), News::Put);
        assert_eq!(mirror.apply("c", 4, false), News::Nothing);
        assert_eq!(mirror.caught_up(), Gone::default());
        mirror
    }

    #[test]
    fn reading_goes_on_where_it_ended() {
        let mut mirror = mirror();
        assert_eq!(mirror.begin(moment(1), 6), From::Revision(5));
        assert_eq!(mirror.apply("a", 5, false), News::Deleted);
        assert_eq!(mirror.apply("b", 6, true), News::Put);
        assert_eq!(mirror.caught_up(), Gone::default());
        assert!(mirror.agrees(3));
    }

    #[test]
    fn what_is_known_is_no_news() {
        let mut mirror = mirror();
        mirror.doubt();
        assert_eq!(mirror.begin(moment(1), 4), From::Beginning);
        assert_eq!(mirror.apply("a", 1, true), News::Nothing);
        assert_eq!(mirror.apply("b", 3, true), News::Put);
        assert_eq!(mirror.caught_up(), Gone::default());
    }

    #[test]
    fn what_has_gone_without_a_mark_is_found() {
        let mut mirror = mirror();
        assert!(!mirror.agrees(2));
        mirror.doubt();
        assert_eq!(mirror.begin(moment(1), 9), From::Beginning);
        assert_eq!(mirror.apply("b", 2, true), News::Nothing);
        let gone = Gone {
            deleted: vec!["a".to_owned()],
            lost: Vec::new(),
        };
        assert_eq!(mirror.caught_up(), gone);
        assert_eq!(mirror.begin(moment(1), 9), From::Revision(5));
    }

    #[test]
    fn what_there_is_no_room_for_is_passed_over_and_what_is_known_goes_on() {
        let mut mirror = Mirror::with_room(9, 8);
        assert_eq!(mirror.begin(moment(1), 9), From::Beginning);
        assert_eq!(mirror.apply("four", 1, true), News::Put);
        assert_eq!(mirror.apply("another", 2, true), News::Dropped);
        assert_eq!(mirror.apply("tiny", 3, true), News::Put);
        assert_eq!(mirror.apply("x", 4, true), News::Dropped);
        assert_eq!(mirror.caught_up(), Gone::default());
        assert_eq!(mirror.apply("four", 5, false), News::Deleted);
        // It is read anew after each interruption, as it cannot tell what it lacks.
        assert!(!mirror.agrees(4));
        mirror.doubt();
        assert_eq!(mirror.begin(moment(1), 9), From::Beginning);
        assert_eq!(mirror.apply("tiny", 3, true), News::Nothing);
        assert_eq!(mirror.caught_up(), Gone::default());
        assert_eq!(mirror.apply("x", 6, true), News::Put);
    }

    #[test]
    fn deleted_keys_make_room_for_new_ones() {
        for (most_keys, room) in [(4, MAX_BYTES), (MAX_KEYS, 4 + 3 * 7)] {
            let mut mirror = Mirror::with_room(most_keys, room);
            assert_eq!(mirror.begin(moment(1), 1), From::Beginning);
            assert_eq!(mirror.apply("stay", 1, true), News::Put);
            for n in 1..100u64 {
                let key = format!("key-{:03}", n % 50);
                assert_eq!(mirror.apply(&key, 2 * n, true), News::Put, "{n}");
                assert_eq!(mirror.apply(&key, 2 * n + 1, false), News::Deleted);
            }
            assert_eq!((mirror.keys.len(), mirror.dead.len()), (4, 3));
            assert_eq!(mirror.bytes, 4 + 3 * 7);
            // The word that another key was deleted takes nobody's place.
            assert_eq!(mirror.apply("key-999", 300, false), News::Nothing);
            assert_eq!(mirror.caught_up(), Gone::default());
            assert_eq!(mirror.apply("stay", 301, false), News::Deleted);
            assert_eq!((mirror.keys.len(), mirror.dead.len()), (4, 4));
        }
    }

    #[test]
    fn live_keys_make_no_room() {
        let mut mirror = Mirror::with_room(2, 8);
        assert_eq!(mirror.begin(moment(1), 4), From::Beginning);
        assert_eq!(mirror.apply("a", 1, true), News::Put);
        assert_eq!(mirror.apply("b", 2, false), News::Nothing);
        assert_eq!(mirror.apply("b", 3, true), News::Put);
        assert_eq!(mirror.apply("c", 4, true), News::Dropped);
        assert_eq!(mirror.caught_up(), Gone::default());
        assert_eq!(mirror.apply("a", 5, false), News::Deleted);
        assert_eq!(mirror.apply("c", 6, true), News::Put);
    }

    #[test]
    fn reading_anew_that_was_interrupted_begins_again() {
        let mut mirror = Mirror::default();
        mirror.begin(moment(1), 2);
        mirror.apply("a", 1, true);
        assert_eq!(mirror.begin(moment(1), 2), From::Beginning);
    }

    #[test]
    fn a_bucket_that_was_made_anew_lacks_what_the_old_one_had() {
        for (created, last) in [(2, 9), (1, 1)] {
            let mut mirror = mirror();
            assert_eq!(mirror.begin(moment(created), last), From::Beginning);
            assert_eq!(mirror.apply("b", 1, true), News::Put);
            let gone = Gone {
                deleted: Vec::new(),
                lost: vec!["a".to_owned()],
            };
            assert_eq!(mirror.caught_up(), gone);
            assert_eq!(mirror.caught_up(), Gone::default());
        }
    }
}
