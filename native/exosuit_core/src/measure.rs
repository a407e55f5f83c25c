//! Sizes and durations as people write them: one form each, for every door.

use std::time::Duration;

use crate::Bound;

/// The accepted form of a size, for messages.
pub const SIZE: &str = "a size such as 64MiB, or a number of bytes";

/// The accepted form of a duration, for messages.
pub const DURATION: &str = "a duration such as 500ms, 30s or 2m, at most 24h";

/// The bytes of a size: `64MiB`, `512 KiB`, `1GiB`, `16m`, `4096`. Must be within [`Bound::BYTES`].
///
/// ```
/// use exosuit_core::measure;
///
/// assert_eq!(measure::bytes("64MiB"), Some(64 << 20));
/// assert_eq!(measure::bytes("4096"), Some(4_096));
/// assert_eq!(measure::bytes("a lot"), None);
/// ```
pub fn bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" | "k" | "K" => 1 << 10,
        "MiB" | "m" | "M" => 1 << 20,
        "GiB" | "g" | "G" => 1 << 30,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    let bytes = number.checked_mul(factor)?;
    Bound::BYTES.contains(bytes).then_some(bytes)
}

/// The milliseconds of a duration: `500ms`, `30s`, `1m 30s`. Must be within
/// [`Bound::MILLISECONDS`].
///
/// ```
/// use exosuit_core::measure;
///
/// assert_eq!(measure::milliseconds("1m 30s"), Some(90_000));
/// assert_eq!(measure::milliseconds("25h"), None);
/// ```
pub fn milliseconds(text: &str) -> Option<u64> {
    let duration: Duration = humantime::parse_duration(text).ok()?;
    let milliseconds = u64::try_from(duration.as_millis()).ok()?;
    Bound::MILLISECONDS
        .contains(milliseconds)
        .then_some(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, size) in [
            ("4096", Some(4_096)),
            ("64MiB", Some(64 << 20)),
            ("512 KiB", Some(512 << 10)),
            ("1GiB", Some(1 << 30)),
            ("16m", Some(16 << 20)),
            ("0", None),
            ("", None),
            ("MiB", None),
            ("-1", None),
            ("64MB", None),
            ("1.5MiB", None),
            ("300000GiB", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(bytes(text), size, "{text:?}");
        }
    }

    #[test]
    fn durations() {
        for (text, duration) in [
            ("500ms", Some(500)),
            ("1m 30s", Some(90_000)),
            ("0s", None),
            ("1us", None),
            ("24h", Some(86_400_000)),
            ("24h 1ms", None),
            ("5", None),
            ("soon", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(milliseconds(text), duration, "{text:?}");
        }
    }
}
