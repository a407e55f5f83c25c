//! `grants` in the trait `exosuit`: what WASI gives to an actor.
//!
//! | grant | checked for |
//! |---|---|
//! | `arguments` | zero bytes |
//! | `environment` | zero bytes, and `=` in names; values are not quoted |
//! | `directories` | at most 16, each with a host path and a guest path of its own |
//!
//! Whether a directory exists is checked by the host that runs the actor, not here.

use std::collections::{BTreeMap, HashMap};

use crate::diagnostic::{Code, Source};
use crate::image::resolve;
use crate::model::{Access, Directory, Grants};
use crate::value::{Map, Value};

const FIELDS: [&str; 3] = ["arguments", "directories", "environment"];
/// The number of directories of an actor. Each call opens all of them.
const MAX_DIRECTORIES: usize = 16;
const ARGUMENT: &str = "a text without zero bytes";
const VARIABLE: &str = "a name without = and zero bytes, and a value without zero bytes";
const DIRECTORY: &str = "a map with host and guest";
const HOST: &str = "the path of a directory, such as ./data";
const GUEST: &str = "a path from the root without . and .., such as /data";
const ACCESS: [(&str, Access); 2] = [("read", Access::Read), ("write", Access::Write)];

/// The grants; `None` if it is not a map.
pub(crate) fn parse(value: &Value, source: &Source) -> Option<Grants> {
    let map = value.map("a map of grants", &FIELDS)?;
    Some(Grants {
        arguments: arguments(&map),
        environment: environment(&map),
        directories: directories(&map, source),
    })
}

/// The arguments of the command line.
fn arguments(map: &Map) -> Vec<String> {
    let list = map.get("arguments");
    let list = list.map(|value| value.list("a list of texts"));
    let argument = |value: &Value| {
        value.measured(ARGUMENT, |text| {
            (!text.contains('\0')).then(|| text.to_owned())
        })
    };
    list.iter().flatten().filter_map(argument).collect()
}

/// The environment variables.
fn environment(map: &Map) -> BTreeMap<String, String> {
    let Some(value) = map.get("environment") else {
        return BTreeMap::new();
    };
    let variables = value.texts("a map of environment variables");
    for (name, text) in &variables {
        if name.is_empty() || name.contains(['=', '\0']) || text.contains('\0') {
            // The value is not quoted, because it may be a secret.
            let at = value.find(name).unwrap_or_else(|| value.clone());
            at.refuse(Code::InvalidValue, format!("expected {VARIABLE}"));
        }
    }
    variables
}

/// The directories. Two with the same name for the guest are a mistake.
fn directories(map: &Map, source: &Source) -> Vec<Directory> {
    let list = map.get("directories");
    let list = list.map(|value| value.list("a list of directories"));
    if let Some(beyond) = list.as_ref().and_then(|list| list.get(MAX_DIRECTORIES)) {
        let message = format!("expected at most {MAX_DIRECTORIES} directories");
        beyond.refuse(Code::TooLarge, message);
    }
    let mut taken = HashMap::new();
    let parse = |value: &Value| {
        let (directory, guest_at) = directory(value, source)?;
        let line = guest_at.place().line;
        if let Some(first) = taken.insert(directory.guest.clone(), line) {
            let message = format!("expected a name of its own; line {first} has this one");
            guest_at.error(Code::Duplicate, message);
        }
        Some(directory)
    };
    list.iter().flatten().filter_map(parse).collect()
}

/// A directory, and the place of the guest's name for it.
fn directory<'a>(value: &Value<'a>, source: &Source) -> Option<(Directory, Value<'a>)> {
    let map = value.map(DIRECTORY, &["access", "guest", "host"])?;
    let host = map.require("host", HOST);
    let host = host.and_then(|host| host.parsed(HOST, |text| path(text, source)));
    let guest_at = map.require("guest", GUEST);
    let guest = guest_at.as_ref();
    let guest = guest.and_then(|guest| guest.parsed(GUEST, guest_path));
    let access = match map.get("access") {
        Some(access) => access.choice(&ACCESS),
        None => Some(Access::default()),
    };
    let directory = Directory {
        host: host?,
        guest: guest?,
        access: access?,
    };
    Some((directory, guest_at?))
}

/// A path of the host, relative to the manifest.
fn path(text: &str, source: &Source) -> Option<String> {
    let good = !text.is_empty() && !text.chars().any(char::is_control);
    good.then(|| resolve(text, source))
}

/// An absolute path without `.` and `..`.
fn guest_path(text: &str) -> Option<String> {
    let names = text.strip_prefix('/')?;
    let name = |name: &str| !matches!(name, "" | "." | "..");
    let good = names.is_empty() || names.split('/').all(name);
    (good && !text.chars().any(char::is_control)).then(|| text.to_owned())
}
