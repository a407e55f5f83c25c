//! The bounds of numbers in input from outside: one row for each kind, for every door.
//!
//! A door is where input comes in: options, manifests, settings of links, the command line, the
//! control socket, both control interfaces, the records of a lattice. Each of them checks a number
//! against a [`Bound`] before it reaches a process or a NIF.
//!
//! ```
//! use exosuit_core::Bound;
//!
//! assert_eq!(Bound::PORT.check(8080), Ok(8080));
//! assert!(Bound::PORT.check(70_000).is_err());
//! assert!(Bound::PORT.parse("80a").is_err());
//! ```

use std::fmt::{self, Display};
use std::ops::RangeInclusive;

/// The bounds of one kind of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The name of the kind, as the doors use it.
    pub name: &'static str,
    /// The smallest allowed number.
    pub least: u64,
    /// The largest allowed number.
    pub most: u64,
    what: &'static str,
}

/// The reason why a number is refused: the bound, and the given number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {bound}, got {found}")]
pub struct OutOfBounds {
    bound: Bound,
    found: String,
}

macro_rules! bounds {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $range:expr, $what:literal;)*) => {
        impl Bound {
            $($(#[$doc])* pub const $constant: Self = Self::new($name, $range, $what);)*

            /// Every bound.
            pub const ALL: &[Self] = &[$(Self::$constant,)*];
        }
    };
}

bounds! {
    /// The number of calls of one actor that may run at a time on one host, for all annotations together. The
    /// address space of a machine has room for a fifth of that.
    INSTANCES = "instances", 1..=100_000, "a number of instances";
    /// A number of instances that may be 0.
    COUNT = "count", 0..=100_000, "a number of instances";
    /// Counts without a bound of their own. Rust uses 32 bits.
    NUMBER = "number", 1..=4_294_967_295, "a number";
    /// A count that may be 0.
    AMOUNT = "amount", 0..=4_294_967_295, "a number";
    /// Bytes of memory. A machine has 48 bits for addresses.
    BYTES = "bytes", 1..=281_474_976_710_655, "a number of bytes";
    /// The longest duration of an operation. Elixir can wait for at most 49 days, including margins.
    MILLISECONDS = "milliseconds", 1..=86_400_000, "a number of milliseconds";
    /// A waiting time; 0 means not to wait.
    WAIT = "wait", 0..=86_400_000, "a number of milliseconds";
    /// The same in seconds.
    SECONDS = "seconds", 1..=86_400, "a number of seconds";
    /// A TCP port.
    PORT = "port", 1..=65_535, "a port";
    /// On how many servers something is kept: as many as the streams of NATS allow.
    REPLICAS = "replicas", 1..=5, "a number of servers";
    /// How deeply calls may be nested.
    DEPTH = "depth", 1..=255, "a depth";
}

impl Bound {
    /// A bound for one door only.
    pub const fn new(name: &'static str, range: RangeInclusive<u64>, what: &'static str) -> Self {
        Self {
            name,
            least: *range.start(),
            most: *range.end(),
            what,
        }
    }

    /// The number, or the reason why it is refused.
    ///
    /// ```
    /// use exosuit_core::Bound;
    ///
    /// let error = Bound::REPLICAS.check(-1).expect_err("too few");
    /// assert_eq!(error.to_string(), "expected a number of servers from 1 to 5, got -1");
    /// ```
    pub fn check<N: TryInto<u64> + Copy + Display>(self, number: N) -> Result<u64, OutOfBounds> {
        let good = number.try_into().ok().filter(|it| self.contains(*it));
        good.ok_or_else(|| self.refuse(&number.to_string()))
    }

    /// The number in a text of decimal digits, or the reason why it is refused.
    ///
    /// ```
    /// use exosuit_core::Bound;
    ///
    /// assert_eq!(Bound::PORT.parse("8080"), Ok(8080));
    /// for text in ["", "+80", "80 ", "65536"] {
    ///     assert!(Bound::PORT.parse(text).is_err(), "{text:?}");
    /// }
    /// ```
    pub fn parse(self, text: &str) -> Result<u64, OutOfBounds> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        let good = number.filter(|it| self.contains(*it));
        good.ok_or_else(|| self.refuse(&format!("{:?}", clip(text))))
    }

    /// Whether a number is within the bound.
    pub fn contains(self, number: u64) -> bool {
        (self.least..=self.most).contains(&number)
    }

    fn refuse(self, found: &str) -> OutOfBounds {
        OutOfBounds {
            bound: self,
            found: clip(found),
        }
    }
}

impl Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} to {}", self.what, self.least, self.most)
    }
}

fn clip(text: &str) -> String {
    const SHOWN: usize = 64;
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_within_its_bound_is_taken() {
        for bound in Bound::ALL {
            assert_eq!(bound.check(bound.least), Ok(bound.least));
            assert_eq!(bound.parse(&bound.most.to_string()), Ok(bound.most));
        }
    }

    #[test]
    fn all_else_is_refused_with_the_bound_and_the_number() {
        for bound in Bound::ALL {
            assert!(bound.check(bound.most + 1).is_err(), "{bound}");
            for text in ["", "-1", "+1", " 1", "1.5", "ten", "18446744073709551616"] {
                assert!(bound.parse(text).is_err(), "{bound}: {text:?}");
            }
        }
        let error = Bound::INSTANCES
            .check(i128::from(u64::MAX) + 1)
            .map_err(|it| it.to_string());
        let expected = "expected a number of instances from 1 to 100000, got 18446744073709551616";
        assert_eq!(error, Err(expected.to_owned()));
        let error = Bound::PORT
            .parse(&"9".repeat(1_000))
            .map_err(|it| it.to_string().len());
        assert!(error.is_err_and(|length| length < 120));
    }
}
