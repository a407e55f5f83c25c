//! Configurations of actors, providers and links. In 1.x they are stored in the lattice, and used
//! by name.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::control::Control;
use crate::failure::Failure;

/// Stores a configuration, and returns the names to use it by: none if it is empty.
///
/// Its name is made from its content, so that the same configuration is stored once.
pub(super) async fn put(
    control: &Control,
    values: &BTreeMap<String, String>,
) -> Result<Vec<String>, Failure> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let name = name(values);
    control
        .ask(&format!("config.put.{name}"), &json!(values))
        .await?;
    Ok(vec![name])
}

/// The name of a configuration, the same as `Exosuit.Model.Configuration.name/1` gives. Each text
/// follows its length, so that different configurations have different names.
fn name(values: &BTreeMap<String, String>) -> String {
    let mut digest = Sha256::new();
    for text in values.iter().flat_map(|(key, value)| [key, value]) {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    }
    format!("sha256-{}", HEXLOWER.encode(&digest.finalize()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_of_all_that_it_stands_for() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            name(&pairs.collect())
        };
        assert_eq!(
            of(&[("bucket", "visits")]),
            "sha256-bfd4f7d197bcfb3ed44fa9487bd640af"
        );
        assert_ne!(of(&[("a", "bc")]), of(&[("ab", "c")]));
    }
}
