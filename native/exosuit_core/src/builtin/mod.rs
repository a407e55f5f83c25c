//! The built-in providers: their names, the contracts that they offer, and their settings.
//!
//! This is the only list of them. The providers, the manifest parser, the inventory, the control
//! interface and the tables of the guides are derived from it.
//!
//! - [`Builtin`]: one provider; [`Builtin::find`] finds it by any of its names.
//! - [`Setting`]: one setting, with its kind and bounds; [`Foreign`]: one that other hosts know.
//! - [`Builtin::check`]: what is wrong or without effect in a configuration.

mod check;
mod setting;
mod tables;

pub use check::Given;
pub use setting::{Bounds, Foreign, Kind, Scope, Setting};
pub use tables::{HTTP_CLIENT, HTTP_SERVER, KEYVALUE, LOGGING, MESSAGING, NUMBERGEN};

use crate::{Code, Contract, Error, nearest};

/// The scheme by which 1.x refers to providers that a host brings along.
const SCHEME: &str = "wasmcloud+builtin://";

/// A provider that hosts bring along.
#[derive(Debug)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// Its names in other hosts.
    pub other_names: &'static [&'static str],
    /// The contracts that it implements, older ones first.
    pub offers: &'static [Offer],
    /// It calls actors with what comes from outside, so it starts after them.
    pub listens: bool,
    /// The settings that it honours.
    pub settings: &'static [Setting],
    /// The settings that the providers of other hosts honour and this one does not.
    pub foreign: &'static [Foreign],
}

/// One contract of a provider.
#[derive(Debug)]
pub struct Offer {
    /// `wasi:http`.
    pub contract: &'static str,
    /// The interfaces that actors call; none for a contract of the wasmbus.
    pub answers: &'static [&'static str],
    /// The interfaces of components that the provider calls.
    pub calls: &'static [&'static str],
}

/// The providers that a host can start.
pub static BUILTINS: [&Builtin; 4] = [&HTTP_CLIENT, &HTTP_SERVER, &KEYVALUE, &MESSAGING];

impl Builtin {
    /// The provider of this name or reference: `keyvalue`, `wasmcloud+builtin://keyvalue`.
    pub fn find(reference: &str) -> Option<&'static Self> {
        let name = reference.strip_prefix(SCHEME).unwrap_or(reference);
        BUILTINS
            .into_iter()
            .find(|it| it.names().any(|own| own == name))
    }

    /// The provider of this name or reference, or an error that names those that there are.
    ///
    /// ```
    /// use exosuit_core::Builtin;
    ///
    /// let keyvalue = Builtin::get("wasmcloud+builtin://keyvalue")?;
    /// assert!(keyvalue.contracts().iter().any(|contract| contract.as_str() == "wasi:keyvalue"));
    /// let error = Builtin::get("keyvalues").expect_err("no such provider");
    /// assert!(error.detail.contains("did you mean \"keyvalue\"?"));
    /// # Ok::<(), exosuit_core::Error>(())
    /// ```
    pub fn get(reference: &str) -> Result<&'static Self, Error> {
        Self::find(reference).ok_or_else(|| {
            let found: String = reference.chars().take(64).collect();
            let known: Vec<_> = Self::all_names().collect();
            let hint = nearest::hint(reference, known.iter().copied());
            let known = known.join(", ");
            let detail =
                format!("there is no built-in provider {found:?}{hint}; known are {known}");
            Error::new(Code::InvalidInput, detail)
        })
    }

    /// Every name that a built-in provider answers to.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        BUILTINS.into_iter().flat_map(Self::names)
    }

    /// Its names, its own first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.other_names.iter().copied())
    }

    /// The contracts that it implements, the older first.
    pub fn contracts(&self) -> Vec<Contract> {
        let parse = |offer: &Offer| Contract::parse(offer.contract).ok();
        self.offers.iter().filter_map(parse).collect()
    }

    /// The settings of these scopes as a table in Markdown, for a guide.
    pub fn settings_table(&self, scopes: &[Scope]) -> String {
        let settings = self.settings.iter();
        let rows = settings
            .filter(|setting| scopes.contains(&setting.scope))
            .map(Setting::row);
        table("| setting | default | |\n|---|---|---|\n", rows)
    }

    /// The settings of other hosts that have no effect here, as a table in Markdown.
    pub fn foreign_table(&self) -> String {
        let row = |it: &Foreign| format!("| `{}` | {} |", it.name, it.instead);
        table("| setting | |\n|---|---|\n", self.foreign.iter().map(row))
    }

    /// The setting that goes by this name, in any case.
    pub fn setting(&self, key: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.is_called(key))
    }
}

fn table(head: &str, rows: impl Iterator<Item = String>) -> String {
    rows.fold(head.to_owned(), |table, row| table + &row + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_found_by_each_of_its_names_and_references() {
        for (reference, name) in [
            ("keyvalue", "keyvalue"),
            ("wasmcloud+builtin://http-server", "http-server"),
            ("messaging-nats", "messaging"),
            ("wasmcloud+builtin://messaging-nats", "messaging"),
        ] {
            assert_eq!(Builtin::find(reference).map(|it| it.name), Some(name));
        }
        for unknown in ["", "key", "file://keyvalue", "wasmcloud+builtin://"] {
            assert!(Builtin::find(unknown).is_none(), "{unknown:?}");
        }
    }

    #[test]
    fn an_unknown_provider_is_refused_with_those_that_there_are() {
        let error = Builtin::get("key-value").expect_err("no such provider");
        let expected = "there is no built-in provider \"key-value\"; did you mean \"keyvalue\"?; \
                        known are http-client, http-server, keyvalue, messaging, messaging-nats";
        assert_eq!(error.detail, expected);
    }

    #[test]
    fn names_contracts_and_settings_are_spelled_right_and_stand_once() {
        let mut names: Vec<_> = Builtin::all_names().collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Builtin::all_names().count());
        for builtin in BUILTINS.into_iter().chain([&LOGGING, &NUMBERGEN]) {
            assert_eq!(builtin.contracts().len(), builtin.offers.len());
            let own = builtin.settings.iter().flat_map(Setting::names);
            let foreign = builtin.foreign.iter().map(|foreign| foreign.name);
            let keys: Vec<_> = own.chain(foreign).collect();
            for key in &keys {
                assert_eq!(*key, key.to_lowercase(), "{key}");
                let count = keys.iter().filter(|other| *other == key).count();
                assert_eq!(count, 1, "{} has {key} {count} times", builtin.name);
            }
        }
    }
}
