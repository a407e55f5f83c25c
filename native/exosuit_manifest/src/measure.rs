//! Sizes and durations as people write them.

use std::time::Duration;

pub(crate) const SIZE: &str = "a size such as 64MiB, or a number of bytes";
pub(crate) const DURATION: &str = "a duration such as 500ms, 30s or 2m";

/// `64MiB`, `512 KiB`, `1GiB`, `4096`: at least one byte.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    number.checked_mul(factor).filter(|bytes| *bytes > 0)
}

/// `500ms`, `30s`, `1m 30s`, in milliseconds: at least one.
pub(crate) fn milliseconds(text: &str) -> Option<u64> {
    let duration: Duration = humantime::parse_duration(text).ok()?;
    u64::try_from(duration.as_millis())
        .ok()
        .filter(|milliseconds| *milliseconds > 0)
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
            ("0", None),
            ("", None),
            ("MiB", None),
            ("-1", None),
            ("64MB", None),
            ("1.5MiB", None),
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
            ("5", None),
            ("soon", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(milliseconds(text), duration, "{text:?}");
        }
    }
}
