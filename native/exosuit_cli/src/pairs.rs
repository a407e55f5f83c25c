//! Arguments of the form `KEY=VALUE`.
//!
//! An option such as `--config` may be repeated. Two values for one key are a mistake, since only
//! one of them could count.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::failure::Failure;

#[derive(Clone, Debug)]
pub(crate) struct Pair(String, String);

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self(key.to_owned(), value.to_owned())),
            _ => Err("expected KEY=VALUE, like zone=home"),
        }
    }
}

/// The pairs of an option that may be repeated, but not with the same key.
pub(crate) fn unique(option: &str, pairs: Vec<Pair>) -> Result<BTreeMap<String, String>, Failure> {
    let mut unique = BTreeMap::new();
    for Pair(key, value) in pairs {
        if unique.insert(key.clone(), value).is_some() {
            return Err(Failure::usage(format!("{option} {key} is given twice")));
        }
    }
    Ok(unique)
}
