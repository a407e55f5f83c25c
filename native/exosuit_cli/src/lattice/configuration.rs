//! Configuration of actors, providers and links: in 1.x a thing of the lattice, named by those who use it.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::control::Control;
use crate::failure::Failure;

/// Puts it into the lattice, and gives the names to use it by: none for none.
///
/// It is named by what it holds, so that the same again is no other.
pub(super) async fn put(
    control: &Control,
    values: &BTreeMap<String, String>,
) -> Result<Vec<String>, Failure> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let values = json!(values);
    let name = name(&values);
    control.ask(&format!("config.put.{name}"), &values).await?;
    Ok(vec![name])
}

fn name(values: &Value) -> String {
    let digest = Sha256::digest(values.to_string());
    format!("exosuit-{}", HEXLOWER.encode(&digest[..16]))
}
