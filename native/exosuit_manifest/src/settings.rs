//! The trait `exosuit`: settings for Exosuit only. wadm ignores it.
//!
//! | setting | form | actor | provider |
//! |---|---|---|---|
//! | `annotations` | a map | yes | yes |
//! | `singleton` | a boolean | yes | yes |
//! | `limits` | sizes, numbers, durations | yes | |
//! | `instances` | `ephemeral`, `warm`, or `warm: {…}` | yes | |
//! | `execution` | `auto`, `inline` or `async` | yes | |
//! | `grants` | see `grants` | yes | |
//!
//! A setting with a mistake becomes the default, so that the rest is checked.

use std::collections::BTreeMap;

use exosuit_core::Bound;
use exosuit_core::measure::{DURATION, SIZE, bytes, milliseconds};

use crate::diagnostic::Source;
use crate::grants;
use crate::model::{ActorLimits, ActorSettings, Execution, InstancePolicy};
use crate::value::{Map, Value};

const EXPECTED: &str = "a map of settings";
const FIELDS: [&str; 6] = [
    "annotations",
    "execution",
    "grants",
    "instances",
    "limits",
    "singleton",
];
const LIMITS: [&str; 6] = [
    "deadline",
    "log",
    "memory",
    "queue",
    "resource_idle",
    "table",
];
const EXECUTIONS: [(&str, Execution); 3] = [
    ("auto", Execution::Auto),
    ("inline", Execution::Inline),
    ("async", Execution::Async),
];

/// The parsed trait.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) singleton: bool,
    pub(crate) actor: ActorSettings,
}

impl Settings {
    /// The settings of an actor.
    pub(crate) fn of_actor(properties: &Value, source: &Source) -> Option<Self> {
        let map = properties.map(EXPECTED, &FIELDS)?;
        let actor = ActorSettings {
            limits: setting(&map, "limits", limits),
            instances: setting(&map, "instances", instances),
            execution: setting(&map, "execution", |value| value.choice(&EXECUTIONS)),
            grants: setting(&map, "grants", |value| grants::parse(value, source)),
            places: map.places(),
        };
        Some(Self {
            annotations: annotations(&map),
            singleton: singleton(&map),
            actor,
        })
    }

    /// The settings of a provider.
    pub(crate) fn of_provider(properties: &Value) -> Option<Self> {
        let map = properties.map(EXPECTED, &["annotations", "singleton"])?;
        Some(Self {
            annotations: annotations(&map),
            singleton: singleton(&map),
            actor: ActorSettings::default(),
        })
    }
}

fn singleton(map: &Map) -> bool {
    let singleton = map.get("singleton");
    singleton.and_then(|value| value.flag()).unwrap_or_default()
}

fn annotations(map: &Map) -> BTreeMap<String, String> {
    let annotations = map.get("annotations");
    annotations.map_or_else(BTreeMap::new, |value| value.texts("a map of annotations"))
}

/// The limits, in bytes and milliseconds.
fn limits(value: &Value) -> Option<ActorLimits> {
    let map = value.map("a map of limits", &LIMITS)?;
    let number = |key, bound| map.get(key)?.number(bound);
    Some(ActorLimits {
        memory: map
            .get("memory")
            .and_then(|size| size.measured(SIZE, bytes)),
        table: number("table", Bound::NUMBER),
        queue: number("queue", Bound::AMOUNT),
        log: number("log", Bound::NUMBER),
        deadline_ms: duration(&map, "deadline"),
        resource_idle_ms: duration(&map, "resource_idle"),
    })
}

/// Parses `ephemeral`, `warm`, or `warm: {calls, idle, pool}`.
fn instances(value: &Value) -> Option<InstancePolicy> {
    let settings = if value.is_map() {
        let map = value.map("ephemeral or warm", &["warm"])?;
        let expected = "warm, with calls, idle and pool";
        let settings = map.require("warm", expected)?;
        Some(settings.map(expected, &["calls", "idle", "pool"])?)
    } else if value.choice(&[("ephemeral", true), ("warm", false)])? {
        return Some(InstancePolicy::Ephemeral);
    } else {
        None
    };
    let number = |key| settings.as_ref()?.get(key)?.number(Bound::NUMBER);
    Some(InstancePolicy::Warm {
        pool: number("pool"),
        calls: number("calls"),
        idle_ms: settings.as_ref().and_then(|map| duration(map, "idle")),
    })
}

fn setting<T: Default>(map: &Map, key: &str, parse: impl FnOnce(&Value) -> Option<T>) -> T {
    let value = map.get(key);
    value.and_then(|value| parse(&value)).unwrap_or_default()
}

fn duration(map: &Map, key: &str) -> Option<u64> {
    map.get(key)?.measured(DURATION, milliseconds)
}
