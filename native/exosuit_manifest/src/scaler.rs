//! The traits `spreadscaler` and `daemonscaler`.
//!
//! | field | `spreadscaler` | `daemonscaler` |
//! |---|---|---|
//! | `instances` (or `replicas`) | in all | on each matching host |
//! | `spread` | where, by weight | where |
//!
//! wadm 0.6 says `replicas`. Both names at once are a mistake.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use exosuit_core::Bound;

use crate::model::{ScalerKind, Spread};
use crate::value::Value;

/// The weight of a spread that does not give one, as in wadm.
const DEFAULT_WEIGHT: u32 = 100;

/// A parsed scaler. Without the trait, it is the default: a spread scaler without numbers.
#[derive(Default)]
pub(crate) struct Scaler {
    pub(crate) kind: ScalerKind,
    pub(crate) instances: Option<NonZeroU32>,
    pub(crate) spread: Vec<Spread>,
}

impl Scaler {
    /// Parses the properties of a scaler of this kind.
    pub(crate) fn parse(kind: ScalerKind, properties: &Value) -> Option<Self> {
        let known = ["instances", "replicas", "spread"];
        let map = properties.map("a map with instances", &known)?;
        let instances = map.either("instances", "replicas");
        let spread = map.get("spread");
        let spread = spread.map_or_else(Vec::new, |spread| spread.list("a list of spreads"));
        Some(Self {
            kind,
            instances: instances
                .and_then(|instances| instances.number(Bound::INSTANCES))
                .and_then(NonZeroU32::new),
            spread: spread.iter().filter_map(parse_spread).collect(),
        })
    }
}

/// One entry of `spread`. It needs a name.
fn parse_spread(spread: &Value) -> Option<Spread> {
    let expected = "a map with name, requirements and weight";
    let map = spread.map(expected, &["name", "requirements", "weight"])?;
    let name = map.require("name", "a name for this spread")?;
    let requirements = map.get("requirements");
    let weight = map.get("weight");
    Some(Spread {
        name: name.text("a name for this spread")?.to_owned(),
        requirements: requirements.map_or_else(BTreeMap::new, |labels| {
            labels.texts("a map of the labels that a host must have")
        }),
        weight: weight
            .and_then(|weight| weight.number(Bound::AMOUNT))
            .unwrap_or(DEFAULT_WEIGHT),
        place: spread.place(),
    })
}
