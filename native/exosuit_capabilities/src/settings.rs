//! Parses settings by the tables of [`exosuit_core::Builtin`]: keys in any case and spelling, numbers within
//! their bounds, and errors with the expected value.
//!
//! A link's settings lie on top of its provider's, so a provider says what holds for all its links.
//! A number is parsed when it is asked for, and an error quotes the key as its author spelled it.
//!
//! ```text
//! table      timeout_ms, a number, with a default
//! provider   TIMEOUT_MS = "5000"
//! link       timeout_ms = "1000"        ◄── this one counts
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use exosuit_core::{Builtin, Code, Configuration, Error, Setting};

/// The settings of one provider in layers. A later layer overrides an earlier one.
///
/// It holds only what the provider's table names. [`Builtin::check`] reports everything else.
pub(crate) struct Settings {
    /// The table of the provider.
    builtin: &'static Builtin,
    given: BTreeMap<&'static str, Given>,
}

/// One setting as it was given.
struct Given {
    /// As it was spelled, for errors.
    key: String,
    value: String,
}

impl Settings {
    /// No settings: each has its default.
    pub(crate) fn new(builtin: &'static Builtin) -> Self {
        Self {
            builtin,
            given: BTreeMap::new(),
        }
    }

    /// Adds a layer on top.
    pub(crate) fn lay(&mut self, configuration: &Configuration) {
        for (key, value) in configuration {
            self.put(key, value);
        }
    }

    /// Adds one setting on top. An unknown key is ignored.
    pub(crate) fn put(&mut self, key: &str, value: &str) {
        if let Some(setting) = self.builtin.setting(key) {
            let (key, value) = (key.to_owned(), value.trim().to_owned());
            self.given.insert(setting.name, Given { key, value });
        }
    }

    /// The text of a setting, without blanks around it. `None` if it was not given.
    pub(crate) fn text(&self, name: &'static str) -> Option<&str> {
        Some(self.given.get(self.row(name).name)?.value.as_str())
    }

    /// The key of a setting as its author spelled it, for errors.
    pub(crate) fn key(&self, name: &'static str) -> &str {
        self.given.get(name).map_or(name, |given| &given.key)
    }

    /// A flag, if it was given.
    pub(crate) fn flag(&self, name: &'static str) -> Result<Option<bool>, Error> {
        let given = self.given_number(name)?;
        Ok(given.map(|number| number == 1))
    }

    /// A number, in bytes or milliseconds if the setting has a unit. Its default if it was not
    /// given.
    pub(crate) fn number(&self, name: &'static str) -> Result<u64, Error> {
        let given = self.given_number(name)?;
        Ok(given.unwrap_or_else(|| self.row(name).default_number()))
    }

    /// A number, if it was given.
    pub(crate) fn given_number(&self, name: &'static str) -> Result<Option<u64>, Error> {
        let setting = self.row(name);
        let Some(Given { key, value }) = self.given.get(setting.name) else {
            return Ok(None);
        };
        let parsed = setting.parse(value);
        let number = parsed.map_err(|expected| invalid(key, value, &expected))?;
        Ok(Some(number))
    }

    /// A number of things. What this machine cannot count becomes its largest number.
    pub(crate) fn count(&self, name: &'static str) -> Result<usize, Error> {
        let number = self.number(name)?;
        Ok(usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// A duration. The setting is in milliseconds.
    pub(crate) fn duration(&self, name: &'static str) -> Result<Duration, Error> {
        self.number(name).map(Duration::from_millis)
    }

    /// The row of a setting in the table. A name that is not there is a fault of ours, and panics
    /// in every test.
    fn row(&self, name: &'static str) -> &'static Setting {
        let setting = self.builtin.setting(name);
        setting.unwrap_or_else(|| panic!("the table of {} has no {name}", self.builtin.name))
    }
}

/// The error for a setting that is not what it must be.
///
/// The value is cut to 64 characters. Do not pass secrets.
pub(crate) fn invalid(key: &str, found: &str, expected: &str) -> Error {
    let found: String = found.chars().take(64).collect();
    Error::new(
        Code::InvalidLink,
        format!("setting {key} is {found:?}, expected {expected}"),
    )
}

#[cfg(test)]
mod tests {
    use exosuit_core::{HTTP_SERVER, MESSAGING};

    use super::*;

    fn settings(builtin: &'static Builtin, pairs: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::new(builtin);
        for (key, value) in pairs {
            settings.put(key, value);
        }
        settings
    }

    #[test]
    fn keys_are_found_in_any_case_and_spelling_and_the_last_layer_wins() {
        let given = settings(
            &MESSAGING,
            &[("MAX_IN_FLIGHT", "1"), ("max_in_flight", "2")],
        );
        assert_eq!(given.number("max_in_flight"), Ok(2));
        assert_eq!(given.number("timeout_ms"), Ok(30_000));
        assert_eq!(given.given_number("timeout_ms"), Ok(None));
        let given = settings(&HTTP_SERVER, &[("MAX_CONTENT_LEN", " 2k ")]);
        assert_eq!(given.number("max_body_bytes"), Ok(2_048));
    }

    #[test]
    fn an_error_names_the_key_as_it_was_spelled_the_value_and_the_range() {
        let given = settings(&MESSAGING, &[("Max_In_Flight", "ten")]);
        let error = given.number("max_in_flight").expect_err("not a number");
        assert_eq!(
            error.detail,
            "setting Max_In_Flight is \"ten\", expected a whole number from 1 to 65536"
        );
    }
}
