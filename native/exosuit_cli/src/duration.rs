//! Durations as arguments.

use std::time::Duration;

/// A number and a unit: `500ms`, `5s`, `2m`. At most a day, as the host has it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let milliseconds = || {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(unit)
    };
    let range = 1..=86_400_000;
    let given = milliseconds().filter(|milliseconds| range.contains(milliseconds));
    given
        .map(Duration::from_millis)
        .ok_or_else(|| "expected a number and one of ms, s, m, like 5s, a day at most".to_owned())
}
