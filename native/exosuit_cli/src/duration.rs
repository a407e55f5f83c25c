//! Durations as arguments.

use std::time::Duration;

use exosuit_core::measure::{DURATION, milliseconds};

/// A duration as people write it: `500ms`, `5s`, `1m 30s`. At most a day, as hosts have it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    milliseconds(text)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("expected {DURATION}"))
}
