//! Durations as arguments.

use std::time::Duration;

use exosuit_core::measure::{DURATION, milliseconds};

/// Parses a duration such as `500ms`, `5s`, `1m 30s`. At most a day, like the hosts' limit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    milliseconds(text)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("expected {DURATION}"))
}
