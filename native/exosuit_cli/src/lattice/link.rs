//! Links, which all hosts of a lattice share.
//!
//! Settings of links are configurations in 1.x: they are stored under a name first, and the link
//! names them. A list of links therefore shows no settings.

use exosuit_core::Contract;
use serde::Deserialize;
use serde_json::{Value, json};

use super::configuration;
use super::control::Control;
use crate::failure::Failure;
use crate::protocol::{DeleteLink, PutLink};

/// A link as 1.x lists it. Its configurations are named, and stay in the lattice.
#[derive(Deserialize)]
struct ListedLink {
    source_id: String,
    target: String,
    name: String,
    wit_namespace: String,
    wit_package: String,
    #[serde(default)]
    interfaces: Vec<String>,
}

/// Stores the settings, and then the link.
pub(super) async fn put(control: &Control, put: &PutLink) -> Result<Value, Failure> {
    let contract = contract(&put.contract)?;
    let body = json!({
        "source_id": put.source,
        "target": put.target,
        "name": put.name,
        "wit_namespace": contract.namespace(),
        "wit_package": contract.package(),
        "interfaces": put.interfaces,
        "source_config": configuration::put(control, &put.source_config).await?,
        "target_config": configuration::put(control, &put.target_config).await?,
    });
    control.ask("link.put", &body).await?;
    Ok(json!({}))
}

/// Deletes the links of a key.
pub(super) async fn delete(control: &Control, delete: &DeleteLink) -> Result<Value, Failure> {
    let contract = contract(&delete.contract)?;
    let body = json!({
        "source_id": delete.source,
        "name": delete.name,
        "wit_namespace": contract.namespace(),
        "wit_package": contract.package(),
    });
    control.ask("link.del", &body).await?;
    Ok(json!({}))
}

/// All links of the lattice.
pub(super) async fn list(control: &Control) -> Result<Value, Failure> {
    let answer = control.ask("link.get", &Value::Null).await?;
    let answer: Option<Vec<ListedLink>> = serde_json::from_value(answer).map_err(|error| {
        Failure::refused(
            "internal",
            format!("the links in a host's answer cannot be decoded: {error}"),
        )
    })?;
    let links = answer.into_iter().flatten().map(|link| {
        json!({
            "source": link.source_id,
            "target": link.target,
            "name": link.name,
            "namespace": link.wit_namespace,
            "package": link.wit_package,
            "interfaces": link.interfaces,
        })
    });
    Ok(json!({"links": links.collect::<Vec<_>>()}))
}

/// A contract of the command line.
fn contract(text: &str) -> Result<Contract, Failure> {
    Contract::parse(text).map_err(Failure::usage)
}
