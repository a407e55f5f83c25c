//! How new versions of an application roll out: annotations of the manifest. wadm keeps
//! annotations, and ignores those that it does not know.

use exosuit_core::Bound;
use exosuit_core::measure::milliseconds;

use crate::diagnostic::Code;
use crate::model::Rollout;
use crate::node::integer;
use crate::value::Value;

/// The prefix of Exosuit's annotations. Unknown ones with it are warned about.
const PREFIX: &str = "exosuit.";
/// How many hosts may update at a time.
const MAX_UNAVAILABLE: &str = "exosuit.max_unavailable";
/// The time in which a version must run everywhere.
const PROGRESS_DEADLINE: &str = "exosuit.progress_deadline";
const KNOWN: [&str; 2] = [MAX_UNAVAILABLE, PROGRESS_DEADLINE];

/// The bounds of that number of hosts.
const HOSTS: Bound = Bound::new("max_unavailable", 1..=1_000, "a number of hosts");
const DEADLINE: &str = "a duration from 1s to 1day, as in 90s or 5m";
const SECOND: u64 = 1_000;
const DAY: u64 = 86_400 * SECOND;

/// Parses the settings among `metadata.annotations`.
pub(crate) fn parse(annotations: &Value) -> Rollout {
    for (key, value) in annotations.fields() {
        if key.starts_with(PREFIX) && !KNOWN.contains(&key) {
            let hint = value.hint(key, KNOWN.into_iter());
            let message = format!("unknown annotation of Exosuit, not read{hint}");
            value.warn(Code::UnknownField, message);
        }
    }
    Rollout {
        max_unavailable: annotations.find(MAX_UNAVAILABLE).and_then(|it| hosts(&it)),
        progress_deadline_ms: annotations
            .find(PROGRESS_DEADLINE)
            .and_then(|it| deadline(&it)),
    }
}

/// A number of hosts, quoted or not: for wadm, annotations are texts.
fn hosts(value: &Value) -> Option<u32> {
    value.measured(&HOSTS.to_string(), |text| {
        let hosts = HOSTS.check(integer(text)?).ok()?;
        u32::try_from(hosts).ok()
    })
}

/// A duration between a second and a day.
fn deadline(value: &Value) -> Option<u64> {
    value.measured(DEADLINE, |text| {
        milliseconds(text).filter(|it| (SECOND..=DAY).contains(it))
    })
}
