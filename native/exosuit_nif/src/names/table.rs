//! The names of atoms and the atoms of names, looked up without a lock: calls on all schedulers need
//! them for every field of a record.
//!
//! An open hash table by atom, which only grows. A name remembers its slot, so that its atom is found
//! without a search.
//!
//! Nothing is ever removed: a slot is set once ([`OnceLock`]), so readers need no lock, and a search ends at the first
//! empty slot. Atoms are never freed either, so an entry stays right. Two threads that add names at a time cannot take
//! one slot: `set` succeeds once.
//!
//! A page is allocated when its first slot is taken: a VM with few names has a few pages, of 1 024 in all.

use std::hash::{Hash, Hasher};
use std::sync::OnceLock;

use exosuit_core::WitName;
use rustler::Atom;

/// How many names may become atoms: an eighth of the atoms that a VM has by default.
pub(super) const MAX_NAMES: usize = 1 << 17;

/// At most half of the slots are taken, so that a search is short.
const SLOTS: usize = 2 * MAX_NAMES;

/// Slots are allocated when the first one of their page is taken.
const PAGE: usize = 1 << 8;

/// The slots that are allocated together.
type Page = [OnceLock<(Atom, WitName)>; PAGE];

static PAGES: [OnceLock<Box<Page>>; SLOTS / PAGE] = [const { OnceLock::new() }; SLOTS / PAGE];

/// Adds an atom and its name. Returns the slot.
pub(super) fn add(atom: Atom, name: &WitName) -> Option<usize> {
    slots(atom).find(|slot| {
        let page = PAGES[slot / PAGE].get_or_init(|| Box::new([const { OnceLock::new() }; PAGE]));
        page[slot % PAGE].set((atom, name.clone())).is_ok()
    })
}

/// The atom in a slot.
pub(super) fn atom(slot: usize) -> Option<Atom> {
    entry(slot).map(|(atom, _name)| *atom)
}

/// The name of an atom, if it was added.
pub(super) fn name(atom: Atom) -> Option<&'static WitName> {
    let mut entries = slots(atom).map_while(entry);
    entries
        .find(|(known, _name)| *known == atom)
        .map(|(_atom, name)| name)
}

/// The entry of a slot; `None` if it, or its page, is empty.
fn entry(slot: usize) -> Option<&'static (Atom, WitName)> {
    PAGES[slot / PAGE].get()?[slot % PAGE].get()
}

/// The slots of an atom, in the order of the search. The BEAM numbers atoms as they are made, above
/// six bits that say what kind of term it is: those of one component are neighbours.
fn slots(atom: Atom) -> impl Iterator<Item = usize> {
    let mut word = Word(0);
    atom.as_c_arg().hash(&mut word);
    let first = word.0 >> 6;
    (0..SLOTS).map(move |step| (first + step) % SLOTS)
}

/// Takes the machine word of a term, which rustler shows to hashers alone.
struct Word(usize);

impl Hasher for Word {
    fn write_usize(&mut self, word: usize) {
        self.0 = word;
    }

    fn write(&mut self, _bytes: &[u8]) {}

    fn finish(&self) -> u64 {
        self.0 as u64
    }
}
