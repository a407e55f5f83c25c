//! Reading settings: keys in any case, numbers within bounds, errors that say what would be right.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use exosuit_core::{Code, Configuration, Error};

/// Settings in layers: a later one stands above an earlier.
///
/// Unknown keys are passed over: links of other hosts carry settings that mean nothing here.
#[derive(Default)]
pub(crate) struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Lays settings on top of those that are there.
    pub(crate) fn lay(&mut self, configuration: &Configuration) {
        for (key, value) in configuration {
            self.put(key, value);
        }
    }

    /// Lays one setting on top.
    pub(crate) fn put(&mut self, key: &str, value: &str) {
        self.0.insert(key.to_lowercase(), value.trim().to_owned());
    }

    /// A setting as it was given.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// A whole number.
    pub(crate) fn number(
        &self,
        key: &str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<u64, Error> {
        self.read(key, default, range, "a whole number", |text| {
            text.parse().ok()
        })
    }

    /// A number of bytes: `16777216`, `16m`.
    pub(crate) fn bytes(
        &self,
        key: &str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<u64, Error> {
        self.read(
            key,
            default,
            range,
            "a number of bytes (512, 64k, 16m, 1g)",
            parse_bytes,
        )
    }

    /// A number of milliseconds, at least one and at most an hour.
    pub(crate) fn milliseconds(&self, key: &str, default: u64) -> Result<Duration, Error> {
        self.number(key, default, 1..=3_600_000)
            .map(Duration::from_millis)
    }

    fn read(
        &self,
        key: &str,
        default: u64,
        range: RangeInclusive<u64>,
        kind: &str,
        parse: impl Fn(&str) -> Option<u64>,
    ) -> Result<u64, Error> {
        let Some(text) = self.text(key) else {
            return Ok(default);
        };
        parse(text)
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                invalid(key, text, &format!("{kind} from {least} to {most}"))
            })
    }
}

/// The error for a setting that is not what it must be.
pub(crate) fn invalid(key: &str, found: &str, expected: &str) -> Error {
    let found: String = found.chars().take(64).collect();
    Error::new(
        Code::InvalidLink,
        format!("setting {key} is {found:?}, expected {expected}"),
    )
}

fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let (digits, unit) = match text.strip_suffix(['k', 'm', 'g']) {
        Some(digits) if text.ends_with('k') => (digits, 1 << 10),
        Some(digits) if text.ends_with('m') => (digits, 1 << 20),
        Some(digits) => (digits, 1 << 30),
        None => (text.as_str(), 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        for (key, value) in pairs {
            settings.put(key, value);
        }
        settings
    }

    #[test]
    fn bytes_may_have_a_unit() {
        for (text, expected) in [("7", 7), ("2k", 2_048), ("2M", 2 << 20), (" 1g ", 1 << 30)] {
            let found = settings(&[("size", text)]).bytes("size", 0, 0..=u64::MAX);
            assert_eq!(found, Ok(expected), "{text:?}");
        }
        for bad in [
            "",
            "k",
            "-1",
            "1.5m",
            "1t",
            "99999999999999999999",
            "99999999999999g",
        ] {
            let found = settings(&[("size", bad)]).bytes("size", 0, 0..=u64::MAX);
            assert!(found.is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn keys_are_found_in_any_case_and_the_last_layer_wins() {
        let settings = settings(&[("LIMIT", "1"), ("limit", "2")]);
        assert_eq!(settings.number("limit", 0, 0..=9), Ok(2));
        assert_eq!(settings.number("other", 5, 0..=9), Ok(5));
    }

    #[test]
    fn an_error_names_the_key_the_value_and_the_range() {
        let error = settings(&[("limit", "ten")])
            .number("limit", 0, 1..=9)
            .expect_err("not a number");
        assert_eq!(
            error.detail,
            "setting limit is \"ten\", expected a whole number from 1 to 9"
        );
    }
}
