//! Configuration: a list of named parts, or the free form of old manifests.

use exosuit_core::Configuration;

use crate::diagnostic::Code;
use crate::node::quote;
use crate::value::{Map, Value};

const EXPECTED: &str = "a list of {name, properties}, or a map";
const VALUES: &str = "a map of configuration values";

/// Reads a field of configuration. Of a list, later parts win over earlier ones, as in 1.x.
pub(crate) fn read(field: Option<&Value>) -> Configuration {
    let Some(value) = field else {
        return Configuration::new();
    };
    if value.is_list() {
        value.list(EXPECTED).iter().flat_map(part).collect()
    } else {
        value.texts(EXPECTED)
    }
}

/// Reports secrets, which wadm knows and Exosuit does not yet.
pub(crate) fn refuse_secrets(map: &Map) {
    if let Some(secrets) = map.get("secrets") {
        secrets.refuse(Code::Unsupported, "secrets are not supported yet");
    }
}

fn part(part: &Value) -> Configuration {
    let Some(map) = part.map("a map with name and properties", &["name", "properties"]) else {
        return Configuration::new();
    };
    let name = map.require("name", "the name of this configuration");
    let name = name.and_then(|name| name.text("the name of this configuration"));
    match (map.get("properties"), name) {
        (Some(properties), _) => properties.texts(VALUES),
        (None, Some(name)) => {
            let message = format!(
                "expected properties: without them {} is configuration stored in the lattice, \
                 which is not supported yet",
                quote(name)
            );
            map.value().refuse(Code::Unsupported, message);
            Configuration::new()
        }
        (None, None) => Configuration::new(),
    }
}
