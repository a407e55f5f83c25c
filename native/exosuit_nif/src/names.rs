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

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

use exosuit_core::{Code, Error, WitName};
use parking_lot::Mutex;
use rustler::{Atom, Encoder, Env, Term};

/// How many names may become atoms: an eighth of the atoms that a VM has by default.
const MAX_NAMES: usize = 1 << 17;

/// How many names one component may add: a stranger's component does not use up the budget of all others.
/// Sixteen such components would.
const MAX_NEW: usize = 1 << 13;

/// The names that are atoms already. Names that the VM had as atoms before, such as `ok`, count as well.
static MADE: LazyLock<Mutex<HashSet<WitName>>> = LazyLock::new(Mutex::default);

/// Makes atoms of the names. If the budget does not suffice for all, makes none, and returns the error
/// `limit` with the three numbers. All or none: half of a component's names as atoms would make the form
/// of its values depend on what was loaded before.
pub(crate) fn make(env: Env<'_>, names: BTreeSet<&WitName>) -> Result<(), Error> {
    let mut made = MADE.lock();
    let new: Vec<_> = names
        .into_iter()
        .filter(|name| !made.contains(*name))
        .collect();
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
    for name in new {
        // A name that is too long for an atom stays a string.
        let _ = Atom::from_str(env, &elixir(name));
        made.insert(name.clone());
    }
    Ok(())
}

/// The name as an atom if there is one, otherwise as a string. One look-up in the VM's table of atoms.
pub(crate) fn term<'a>(env: Env<'a>, name: &WitName) -> Term<'a> {
    let name = elixir(name);
    match Atom::existing_from_utf8_bytes(env, name.as_bytes()) {
        Ok(atom) => atom.encode(env),
        Err(_) => name.encode(env),
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
