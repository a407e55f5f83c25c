//! Finds mistakes, and settings without effect, in a configuration.

use std::collections::BTreeMap;

use super::{Builtin, Foreign, Scope, Setting};
use crate::{Code, Configuration, Error, Id, Link, nearest};

/// The number of settings of one configuration that are named in warnings.
const MAX_WARNINGS: usize = 16;

/// The place of a provider's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// In its own configuration.
    ToProvider,
    /// At its end of a link.
    ToLink,
    /// At the other end of a link, which the provider does not read.
    ToOtherEnd,
}

impl Builtin {
    /// Checks the keys of a configuration. An error names a setting that safety or privacy depends
    /// on and that would have no effect, or one that is given twice. The texts that are returned
    /// name every other setting without effect, for people to read.
    pub fn check(&self, given: Given, settings: &Configuration) -> Result<Vec<String>, Error> {
        let mut warnings = Vec::new();
        let mut seen: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
        for (key, value) in settings {
            match self.setting(key) {
                None => warnings.extend(self.unknown(given, key)),
                Some(setting) => {
                    warnings.extend(misplaced(setting, given, key)?);
                    let before = seen.insert(setting.name, (key, value.trim()));
                    if let Some((other, _)) = before.filter(|(_, known)| *known != value.trim()) {
                        return Err(twice(other, key));
                    }
                }
            }
        }
        Ok(bounded(warnings))
    }

    /// Checks both ends of a link as the provider `id` sees them; as [`Builtin::check`].
    pub fn check_link(&self, id: &Id, link: &Link) -> Result<Vec<String>, Error> {
        let (own, other) = if *id == link.source {
            (&link.source_config, &link.target_config)
        } else {
            (&link.target_config, &link.source_config)
        };
        let mut warnings = self.check(Given::ToLink, own)?;
        warnings.extend(self.check(Given::ToOtherEnd, other)?);
        Ok(warnings)
    }

    /// The other end may have settings of its own, which this provider does not know.
    fn unknown(&self, given: Given, key: &str) -> Option<String> {
        if given == Given::ToOtherEnd {
            return None;
        }
        let key: String = key.chars().take(64).collect();
        let name = key.to_lowercase();
        let foreign = self.foreign.iter().find(|foreign| foreign.name == name);
        if let Some(Foreign { instead, .. }) = foreign {
            return Some(format!("setting {key} has no effect here: {instead}"));
        }
        let names = self.settings.iter().flat_map(Setting::names);
        let hint = nearest::hint(&name, names);
        let own = self.name;
        Some(format!(
            "{own} knows no setting {key}: it has no effect{hint}"
        ))
    }
}

/// Keeps the first warnings: a link may have thousands of settings, and each warning is an event.
fn bounded(mut warnings: Vec<String>) -> Vec<String> {
    if warnings.len() > MAX_WARNINGS {
        let more = warnings.len() - MAX_WARNINGS;
        warnings.truncate(MAX_WARNINGS);
        warnings.push(format!("{more} further settings have no effect"));
    }
    warnings
}

fn misplaced(setting: &Setting, given: Given, key: &str) -> Result<Option<String>, Error> {
    let right = match (given, setting.scope) {
        (Given::ToProvider, Scope::Link) => "the provider's end of a link",
        (Given::ToLink, Scope::Provider) => "the configuration of the provider",
        (Given::ToOtherEnd, Scope::Link | Scope::Either | Scope::Address) => {
            "the provider's end of the link"
        }
        _ => return Ok(None),
    };
    let detail = format!("setting {key} has no effect where it stands: it belongs to {right}");
    if setting.safety {
        return Err(Error::new(Code::InvalidLink, detail));
    }
    Ok(Some(detail))
}

fn twice(one: &str, other: &str) -> Error {
    let detail = format!("settings {one} and {other} are the same and differ: give one of them");
    Error::new(Code::InvalidLink, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Contract, HTTP_CLIENT, KEYVALUE, LinkName, MESSAGING};

    fn configuration(keys: &[&str]) -> Configuration {
        let pair = |key: &&str| ((*key).to_owned(), format!("value of {key}"));
        keys.iter().map(pair).collect()
    }

    fn check(builtin: &Builtin, given: Given, keys: &[&str]) -> Result<Vec<String>, Error> {
        builtin.check(given, &configuration(keys))
    }

    #[test]
    fn settings_in_their_place_are_not_mentioned_whatever_their_case() {
        let keys = ["ALLOWED_HOSTS"];
        assert_eq!(check(&HTTP_CLIENT, Given::ToLink, &keys), Ok(Vec::new()));
        let keys = ["allowed_hosts", "Max_Connections"];
        assert_eq!(
            check(&HTTP_CLIENT, Given::ToProvider, &keys),
            Ok(Vec::new())
        );
    }

    #[test]
    fn an_unknown_setting_is_named_with_the_nearest_known_one() {
        let found = check(&MESSAGING, Given::ToLink, &["subscriptons"]).expect("a warning");
        let expected = "messaging knows no setting subscriptons: it has no effect; \
                        did you mean \"subscriptions\"?";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_setting_of_other_hosts_is_named_with_what_stands_for_it() {
        let found = check(&MESSAGING, Given::ToLink, &["CLUSTER_URIS"]).expect("a warning");
        assert!(
            found[0].starts_with("setting CLUSTER_URIS has no effect here: "),
            "{found:?}"
        );
    }

    #[test]
    fn a_setting_in_the_wrong_place_is_named_and_refused_where_safety_depends_on_it() {
        let found = check(&HTTP_CLIENT, Given::ToLink, &["max_connections"]).expect("a warning");
        let expected = "setting max_connections has no effect where it stands: it belongs to the \
                        configuration of the provider";
        assert_eq!(found, [expected]);
        for given in [Given::ToProvider, Given::ToOtherEnd] {
            let error = check(&KEYVALUE, given, &["BUCKET"]).expect_err("two tenants would share");
            assert_eq!(error.code, Code::InvalidLink);
            assert!(error.detail.contains("end of"), "{error}");
        }
    }

    #[test]
    fn a_setting_that_is_given_twice_is_refused_unless_both_say_the_same() {
        let error = check(&KEYVALUE, Given::ToLink, &["BUCKET", "bucket"]).expect_err("twice");
        assert!(error.detail.contains("BUCKET and bucket"), "{error}");
        let same = [("BUCKET", "a"), ("bucket", " a ")];
        let same = same.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert!(KEYVALUE.check(Given::ToLink, &same.into()).is_ok());
    }

    #[test]
    fn of_many_settings_without_effect_the_first_are_named_and_the_rest_counted() {
        let keys: Vec<_> = (0..1_000).map(|n| format!("unheard{n:04}")).collect();
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        let found = check(&KEYVALUE, Given::ToLink, &keys).expect("warnings");
        assert_eq!(found.len(), MAX_WARNINGS + 1);
        assert_eq!(found[MAX_WARNINGS], "984 further settings have no effect");
    }

    #[test]
    fn both_ends_of_a_link_are_checked() {
        let id = |text| Id::parse(text).expect("an id");
        let link = |source_config, target_config| Link {
            source: id("actor"),
            target: id("store"),
            name: LinkName::default(),
            contract: Contract::parse("wasi:keyvalue").expect("a contract"),
            interfaces: Vec::new(),
            source_config,
            target_config,
        };
        let good = link(configuration(&["mine"]), configuration(&["bucket"]));
        assert_eq!(KEYVALUE.check_link(&id("store"), &good), Ok(Vec::new()));
        let bad = link(configuration(&["bucket"]), Configuration::new());
        assert!(KEYVALUE.check_link(&id("store"), &bad).is_err());
    }
}
