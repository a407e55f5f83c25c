//! One setting: its names, its kind and bounds, and where it may stand.

/// A setting that a provider honours.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// As the guides write it. Keys of settings may be in any case.
    pub name: &'static str,
    /// Other spellings that mean the same.
    pub other_names: &'static [&'static str],
    /// The kind of its value.
    pub kind: Kind,
    /// The allowed places.
    pub scope: Scope,
    /// Safety or privacy depends on it: if it cannot be honoured, it is refused.
    pub safety: bool,
    /// The default for people, where the kind does not say it.
    pub default_text: &'static str,
    /// Its effect, in one line.
    pub doc: &'static str,
}

/// The kind of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text that its provider reads.
    Text,
    /// `true` or `false`; its default.
    Flag(bool),
    /// A whole number within bounds.
    Number(Bounds),
    /// A number of bytes within bounds: `16777216`, `16m`.
    Bytes(Bounds),
    /// A number of milliseconds within bounds.
    Milliseconds(Bounds),
}

/// The default of a number, and its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The value if none is given.
    pub default: u64,
    /// The smallest accepted value.
    pub least: u64,
    /// The largest accepted value.
    pub most: u64,
}

/// The allowed place of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In the configuration of the provider.
    Provider,
    /// At the provider's end of a link.
    Link,
    /// At the provider's end of a link, or in the configuration of the provider for all its links.
    Either,
    /// As `Either`; it belongs to the address that several links may share.
    Address,
}

/// A setting that providers of other hosts honour, and this one does not.
#[derive(Debug, Clone, Copy)]
pub struct Foreign {
    /// Its name there.
    pub name: &'static str,
    /// Its effect in other hosts, and the replacement here.
    pub instead: &'static str,
}

impl Setting {
    /// A text of a link or of the provider for all its links, with no default.
    pub(super) const fn text(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Text, doc).shown("none")
    }

    /// A flag, and its default.
    pub(super) const fn flag(name: &'static str, default: bool, doc: &'static str) -> Self {
        Self::new(name, Kind::Flag(default), doc).shown(if default { "`true`" } else { "`false`" })
    }

    /// A whole number: default, least, most.
    pub(super) const fn number(name: &'static str, bounds: [u64; 3], doc: &'static str) -> Self {
        Self::new(name, Kind::Number(Bounds::of(bounds)), doc)
    }

    /// A number of bytes: default, least, most.
    pub(super) const fn bytes(name: &'static str, bounds: [u64; 3], doc: &'static str) -> Self {
        Self::new(name, Kind::Bytes(Bounds::of(bounds)), doc)
    }

    /// From one millisecond to an hour.
    pub(super) const fn milliseconds(name: &'static str, default: u64, doc: &'static str) -> Self {
        let bounds = Bounds::of([default, 1, 3_600_000]);
        Self::new(name, Kind::Milliseconds(bounds), doc)
    }

    const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            name,
            other_names: &[],
            kind,
            scope: Scope::Either,
            safety: false,
            default_text: "",
            doc,
        }
    }

    pub(super) const fn also(self, other_names: &'static [&'static str]) -> Self {
        Self {
            other_names,
            ..self
        }
    }

    pub(super) const fn of(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    pub(super) const fn for_safety(self) -> Self {
        Self {
            safety: true,
            ..self
        }
    }

    pub(super) const fn shown(self, default_text: &'static str) -> Self {
        Self {
            default_text,
            ..self
        }
    }

    /// Its names, its own first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.other_names.iter().copied())
    }

    /// Whether a key, in any case, means this setting.
    pub fn is_called(&self, key: &str) -> bool {
        self.names().any(|name| name.eq_ignore_ascii_case(key))
    }

    /// The number that a text stands for. The error says what would be right.
    ///
    /// ```
    /// use exosuit_core::KEYVALUE;
    ///
    /// let max_bytes = KEYVALUE.setting("MAX_BYTES").expect("a setting");
    /// assert_eq!(max_bytes.parse("64k"), Ok(65_536));
    /// assert!(max_bytes.parse("64x").is_err_and(|right| right.contains("512, 64k, 16m, 1g")));
    /// ```
    pub fn parse(&self, text: &str) -> Result<u64, String> {
        let (number, what, bounds) = match self.kind {
            Kind::Text => return Err("a text".to_owned()),
            Kind::Flag(_) => return parse_flag(text).ok_or_else(|| "true or false".to_owned()),
            Kind::Number(bounds) => (text.parse().ok(), "a whole number", bounds),
            Kind::Milliseconds(bounds) => (text.parse().ok(), "a number of milliseconds", bounds),
            Kind::Bytes(bounds) => {
                let what = "a number of bytes (512, 64k, 16m, 1g)";
                (parse_bytes(text), what, bounds)
            }
        };
        let Bounds { least, most, .. } = bounds;
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| format!("{what} from {least} to {most}"))
    }

    /// The number that holds where nothing is said: 1 or 0 for a flag, 0 for a text.
    pub fn default_number(&self) -> u64 {
        match self.kind {
            Kind::Text => 0,
            Kind::Flag(default) => default.into(),
            Kind::Number(bounds) | Kind::Bytes(bounds) | Kind::Milliseconds(bounds) => {
                bounds.default
            }
        }
    }

    /// The row of a guide's table: names, default, effect.
    pub fn row(&self) -> String {
        let names: Vec<_> = self.names().map(|name| format!("`{name}`")).collect();
        let default = match self.kind {
            _ if !self.default_text.is_empty() => self.default_text.to_owned(),
            Kind::Bytes(bounds) => in_words(bounds.default),
            _ => self.default_number().to_string(),
        };
        format!("| {} | {default} | {} |", names.join(", "), self.doc)
    }
}

impl Bounds {
    const fn of([default, least, most]: [u64; 3]) -> Self {
        Self {
            default,
            least,
            most,
        }
    }
}

fn parse_flag(text: &str) -> Option<u64> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(1),
        "false" => Some(0),
        _ => None,
    }
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

fn in_words(bytes: u64) -> String {
    let units = [(30, "g"), (20, "m"), (10, "k")];
    let unit = units
        .iter()
        .find(|(bits, _)| bytes >= 1 << bits && bytes.trailing_zeros() >= *bits);
    unit.map_or_else(
        || bytes.to_string(),
        |(bits, unit)| format!("{}{unit}", bytes >> bits),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_may_have_a_unit() {
        let setting = Setting::bytes("size", [0, 0, u64::MAX], "");
        for (text, expected) in [("7", 7), ("2k", 2_048), ("2M", 2 << 20), ("1g", 1 << 30)] {
            assert_eq!(setting.parse(text), Ok(expected), "{text:?}");
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
            assert!(setting.parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_with_the_bounds() {
        let setting = Setting::number("limit", [1, 1, 9], "");
        for bad in ["0", "10", "ten", "", "-1", "1.0", "18446744073709551616"] {
            let expected = "a whole number from 1 to 9".to_owned();
            assert_eq!(setting.parse(bad), Err(expected), "{bad:?}");
        }
        assert_eq!(setting.parse("9"), Ok(9));
        let flag = Setting::flag("flag", false, "");
        assert_eq!([flag.parse("TRUE"), flag.parse("false")], [Ok(1), Ok(0)]);
        assert!(flag.parse("yes").is_err());
    }

    #[test]
    fn a_row_shows_names_and_default() {
        let setting = Setting::bytes("size", [16 << 20, 0, 1 << 30], "does").also(&["len"]);
        assert_eq!(setting.row(), "| `size`, `len` | 16m | does |");
        assert_eq!(in_words(1_025), "1025");
        assert_eq!(Setting::text("a", "b").row(), "| `a` | none | b |");
    }
}
