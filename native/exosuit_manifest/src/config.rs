//! Configuration: a list of named parts, or the free form of old manifests.
//!
//! ```text
//! config:                          config:
//!   - name: defaults                 key: value        one part, given
//!     properties: {key: value}
//!   - name: secrets-of-shop                            a part stored elsewhere
//! ```
//!
//! Values are texts, numbers or booleans, and are kept as written: providers parse them by their
//! own tables.

use exosuit_core::ConfigurationName;

use crate::diagnostic::Code;
use crate::model::{Configured, Part};
use crate::value::{Map, Value};

const EXPECTED: &str = "a list of {name, properties}, or a map";
const VALUES: &str = "a map of configuration values";
const NAME: &str = "the name of this configuration";
const STORED: &str = "the name of a stored configuration, of A-Z, a-z, 0-9, _, =, /, - and .";

/// Parses a field of configuration. In a list, later parts replace values of earlier ones, as in
/// 1.x. A part without properties names a configuration that is stored on the host, or in its
/// lattice.
pub(crate) fn parse(field: Option<&Value>) -> Configured {
    let Some(value) = field else {
        return Configured::default();
    };
    if value.is_list() {
        let parts = value.list(EXPECTED);
        Configured::of(parts.iter().filter_map(part).collect())
    } else {
        Configured::of(vec![Part::Given(value.texts(EXPECTED))])
    }
}

/// Reports secrets. wadm supports them, and Exosuit does not yet.
pub(crate) fn refuse_secrets(map: &Map) {
    if let Some(secrets) = map.get("secrets") {
        secrets.refuse(Code::Unsupported, "secrets are not supported yet");
    }
}

/// One part of a list.
fn part(part: &Value) -> Option<Part> {
    let map = part.map("a map with name and properties", &["name", "properties"])?;
    let name = map.require("name", NAME);
    if let Some(properties) = map.get("properties") {
        name.and_then(|name| name.text(NAME));
        return Some(Part::Given(properties.texts(VALUES)));
    }
    let name = name?;
    let parse = |text: &str| ConfigurationName::parse(text).ok();
    let parsed = name.parsed(STORED, parse)?;
    Some(Part::Stored {
        name: parsed.as_str().to_owned(),
        place: name.place(),
    })
}
