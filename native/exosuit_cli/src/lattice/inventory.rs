//! The inventory of a host, and the hosts of a lattice, in the form of a host's socket.
//!
//! Hosts of Exosuit add fields, such as status and errors, that 1.x does not have. This module
//! keeps to the common ones, because both kinds of hosts may be asked.

use futures_util::StreamExt;
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::control::Control;
use super::link;
use super::member::{self, Member};
use crate::failure::Failure;

/// How many hosts are asked at the same time.
const AT_ONCE: usize = 64;

/// The inventory of a host.
#[derive(Default, Deserialize)]
pub(super) struct Inventory {
    #[serde(default)]
    friendly_name: Value,
    #[serde(default)]
    labels: Value,
    #[serde(default)]
    version: Value,
    #[serde(default)]
    uptime_seconds: Value,
    #[serde(default, alias = "actors")]
    pub(super) components: Vec<Component>,
    #[serde(default)]
    pub(super) providers: Vec<Provider>,
}

/// An actor on a host, with the annotations of its instances.
#[derive(Deserialize)]
pub(super) struct Component {
    pub(super) id: String,
    pub(super) image_ref: String,
    #[serde(default)]
    name: Value,
    #[serde(default)]
    revision: Value,
    #[serde(default)]
    pub(super) max_instances: u32,
    #[serde(default)]
    pub(super) annotations: Option<Map<String, Value>>,
}

/// A provider on a host.
#[derive(Deserialize)]
pub(super) struct Provider {
    pub(super) id: String,
    #[serde(default)]
    image_ref: Value,
    #[serde(default)]
    annotations: Option<Map<String, Value>>,
}

impl Inventory {
    /// The inventory of a host.
    pub(super) async fn of(control: &Control, host: &str) -> Result<Self, Failure> {
        let answer = control.ask_host(host, "host.get", &Value::Null).await?;
        serde_json::from_value(answer).map_err(|error| {
            Failure::refused(
                "internal",
                format!("its inventory cannot be decoded: {error}"),
            )
            .about(host)
        })
    }

    /// The number of instances of a component. Each set of annotations has an entry of its own.
    pub(super) fn instances(&self, id: &str) -> u64 {
        let same = self.components.iter().filter(|it| it.id == id);
        same.map(|it| u64::from(it.max_instances)).sum()
    }

    /// The component, or the error that there is none.
    pub(super) fn component(&self, host: &str, id: &str) -> Result<&Component, Failure> {
        let found = self.components.iter().find(|it| it.id == id);
        found.ok_or_else(|| Failure::refused("not_found", format!("no actor {id:?} on {host}")))
    }

    /// An error if the id is in use.
    pub(super) fn refuse_taken(&self, host: &str, id: &str) -> Result<(), Failure> {
        let component = self.components.iter().any(|it| it.id == id);
        let provider = self.providers.iter().any(|it| it.id == id);
        let role = match (component, provider) {
            (false, false) => return Ok(()),
            (true, _) => "actor",
            (false, true) => "provider",
        };
        let text = format!("{host} has {role} {id:?}");
        Err(Failure::refused("conflict", text))
    }
}

/// The inventory of the selected host, with all links of the lattice.
pub(super) async fn inventory(control: &Control) -> Result<Value, Failure> {
    let host = member::find(control).await?;
    let inventory = Inventory::of(control, &host).await?;
    let links = link::list(control).await?;
    Ok(json!({
        "host_id": host,
        "lattice": control.lattice.as_str(),
        "friendly_name": inventory.friendly_name,
        "labels": inventory.labels,
        "version": inventory.version,
        "uptime_seconds": inventory.uptime_seconds,
        "actors": inventory.components.iter().map(actor).collect::<Vec<_>>(),
        "providers": inventory.providers.iter().map(provider).collect::<Vec<_>>(),
        "links": links["links"],
    }))
}

/// An actor in the form of a host's socket. Hosts of 1.x list only running ones.
fn actor(component: &Component) -> Value {
    json!({
        "id": component.id,
        "status": "running",
        "instances": component.max_instances,
        "image_ref": component.image_ref,
        "annotations": component.annotations,
        "claims": {"name": component.name, "revision": component.revision},
    })
}

/// A provider in the form of a host's socket.
fn provider(provider: &Provider) -> Value {
    json!({
        "id": provider.id,
        "status": "running",
        "image_ref": provider.image_ref,
        "annotations": provider.annotations,
    })
}

/// All hosts, with their inventories, asked 64 at a time.
pub(super) async fn hosts(control: &Control) -> Result<Value, Failure> {
    let members = member::all(control).await?;
    if members.is_empty() {
        return Err(control.nobody());
    }
    let hosts = stream::iter(members)
        .map(|member| host(control, member))
        .buffered(AT_ONCE);
    let hosts: Vec<_> = hosts.collect().await;
    Ok(json!({"lattice": control.lattice.as_str(), "hosts": hosts}))
}

/// A host with its inventory. A host that answers only a ping is shown as unreachable.
async fn host(control: &Control, member: Member) -> Value {
    let inventory = Inventory::of(control, &member.id).await.ok();
    let count = |count: fn(&Inventory) -> usize| inventory.as_ref().map(count);
    json!({
        "host_id": member.id,
        "friendly_name": member.friendly_name,
        "labels": member.labels,
        "uptime_seconds": member.uptime_seconds,
        "version": member.version,
        "actors": count(|it| it.components.len()),
        "providers": count(|it| it.providers.len()),
        "reachable": inventory.is_some(),
    })
}
