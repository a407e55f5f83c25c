//! The names of WIT types as atoms: fields of records, cases of variants and enums, flags.
//!
//! A VM never frees atoms, and crashes when it has too many. Therefore the atoms are created once,
//! when a component is loaded, within a budget for the whole VM ([`MAX_NAMES`]). Converting a value
//! never creates an atom: a name that is not an atom yet becomes a string. Names from another host
//! may be such.
//!
//! `module_names` calls [`make`] once after each compile, on a dirty scheduler; [`term`] runs for each
//! value on any scheduler. The set of names made so far lives as long as the VM, as the atoms do:
//! loading the same component again costs nothing from the budget.

mod table;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use exosuit_core::{Code, Error, WitName};
use parking_lot::Mutex;
use rustler::{Atom, Encoder, Env, Term};

use self::table::MAX_NAMES;

/// How many names one component may add: a stranger's component does not use up the budget of all others.
/// Sixteen such components would.
const MAX_NEW: usize = 1 << 13;

/// The names that are atoms already, each with its slot in the table; a name that is too long for an
/// atom has none. Names that the VM had as atoms before, such as `ok`, count as well.
static MADE: LazyLock<Mutex<HashMap<WitName, Option<usize>>>> = LazyLock::new(Mutex::default);

/// Makes atoms of the names, of which one may come twice. If the budget does not suffice for all, makes
/// none, and returns the error `limit` with the three numbers. All or none: half of a component's names
/// as atoms would make the form of its values depend on what was loaded before.
pub(crate) fn make(env: Env<'_>, names: &[&WitName]) -> Result<(), Error> {
    let mut made = MADE.lock();
    let new = names.iter().filter(|name| !made.contains_key(**name));
    let new: BTreeMap<&str, &WitName> = new.map(|name| (&***name, *name)).collect();
    let left = (MAX_NAMES - made.len()).min(MAX_NEW);
    if new.len() > left {
        let new = new.len();
        return Err(Error::new(
            Code::Limit,
            format!(
                "the component has {new} names of fields, cases and flags that this VM does not know yet; a component \
                 may add {left} (at most {MAX_NEW}, and {MAX_NAMES} for all components since the VM's start)"
            ),
        ));
    }
    for name in new.into_values() {
        // A name that is too long for an atom stays a string.
        let atom = Atom::from_str(env, &elixir(name)).ok();
        let slot = atom.and_then(|atom| table::add(atom, name));
        made.insert(name.clone(), slot);
    }
    for name in names {
        if let Some(Some(slot)) = made.get(*name) {
            name.set_number(*slot);
        }
    }
    Ok(())
}

/// The name as an atom if there is one, otherwise as a string. A name of a component knows its atom;
/// another one, for example of another host, takes a look-up in the VM's table of atoms.
pub(crate) fn term<'a>(env: Env<'a>, name: &WitName) -> Term<'a> {
    if let Some(atom) = name.number().and_then(table::atom) {
        return atom.encode(env);
    }
    let name = elixir(name);
    match Atom::existing_from_utf8_bytes(env, name.as_bytes()) {
        Ok(atom) => atom.encode(env),
        Err(_) => name.encode(env),
    }
}

/// The name of an atom, as WIT writes it.
pub(crate) fn of(term: Term<'_>) -> WitName {
    let known = Atom::from_term(term).ok().and_then(table::name);
    let read = || wit(&term.atom_to_string().unwrap_or_default());
    known.cloned().unwrap_or_else(read)
}

/// The name as WIT writes it: `reply-to` for `reply_to`.
fn wit(name: &str) -> WitName {
    if name.contains('_') {
        name.replace('_', "-").into()
    } else {
        name.into()
    }
}

/// The name as Elixir writes it: `reply_to` for `reply-to`.
fn elixir(name: &WitName) -> Cow<'_, str> {
    if name.contains('-') {
        name.replace('-', "_").into()
    } else {
        (&**name).into()
    }
}
