//! Actors on a host; components in the words of 1.x.
//!
//! In 1.x an actor is a *component*, and starting, scaling and stopping are one request: to run
//! this many instances. A host acknowledges at once and sends an event when it is done. Each set of
//! annotations has its own number of instances.

use std::path::Path;

use exosuit_claims::{Issuers, MAX_WASM, Policy, inspect, unix_now};
use serde_json::{Value, json};

use super::control::Control;
use super::event::Event;
use super::inventory::{Component, Inventory};
use super::outcome::Outcome;
use super::{configuration, member};
use crate::failure::Failure;
use crate::files;
use crate::protocol::{StartActor, UpdateActor};

/// Starts an actor that does not exist on the host, and waits until it runs.
pub(super) async fn start(control: &Control, start: &StartActor) -> Result<Value, Failure> {
    let id = match &start.id {
        Some(id) => id.clone(),
        None => public_key(&start.path)?,
    };
    let host = member::find(control).await?;
    let inventory = Inventory::of(control, &host).await?;
    inventory.refuse_taken(&host, &id)?;
    let outcome = Outcome::expect(control, &host).await?;
    let body = json!({
        "component_ref": reference(&start.path),
        "component_id": id,
        "host_id": host,
        "count": start.instances,
        "config": configuration::put(control, &start.config).await?,
        "annotations": start.annotations,
        "allow_update": false,
    });
    control.ask_host(&host, "component.scale", &body).await?;
    let instances = start.instances;
    Outcome::wait(outcome, scaled(&id, |told| told == u64::from(instances))).await?;
    Ok(json!({"id": id}))
}

/// Scales to no instances.
pub(super) async fn stop(control: &Control, id: &str) -> Result<Value, Failure> {
    scale(control, id, 0).await
}

/// Changes the number of instances, and waits for the event. Nothing is sent if the number is right
/// already.
pub(super) async fn scale(control: &Control, id: &str, instances: u32) -> Result<Value, Failure> {
    let host = member::find(control).await?;
    let inventory = Inventory::of(control, &host).await?;
    let component = inventory.component(&host, id)?;
    if inventory.instances(id) == u64::from(instances) {
        return Ok(json!({}));
    }
    let outcome = Outcome::expect(control, &host).await?;
    let body = as_it_is(component, &host, instances);
    control.ask_host(&host, "component.scale", &body).await?;
    let is_stopped = instances == 0;
    Outcome::wait(outcome, scaled(id, |told| !is_stopped || told == 0)).await?;
    Ok(json!({}))
}

/// The request that changes only the number of a component. Without annotations, the number is that
/// of all its instances. Absent fields keep the configuration.
fn as_it_is(component: &Component, host: &str, instances: u32) -> Value {
    json!({
        "component_ref": component.image_ref,
        "component_id": component.id,
        "host_id": host,
        "count": instances,
        "annotations": {},
        "allow_update": false,
    })
}

/// Replaces the code, and waits for the event about the new image.
pub(super) async fn update(control: &Control, update: &UpdateActor) -> Result<Value, Failure> {
    let id = &update.id;
    let host = member::find(control).await?;
    let inventory = Inventory::of(control, &host).await?;
    let component = inventory.component(&host, id)?;
    let outcome = Outcome::expect(control, &host).await?;
    let reference = reference(&update.path);
    let body = json!({
        "component_id": id,
        "new_component_ref": reference,
        "host_id": host,
        "annotations": component.annotations,
        // For our hosts: hosts of 1.x check neither revisions nor issuers.
        "force": update.force,
        "allow_issuer_change": update.allow_issuer_change,
    });
    control.ask_host(&host, "component.update", &body).await?;
    let is_outcome = |event: &Event| {
        event.text("component_id") == *id
            && event.text("image_ref") == reference
            && matches!(event.name(), "component_scaled" | "component_scale_failed")
    };
    Outcome::wait(outcome, is_outcome).await?;
    Ok(json!({}))
}

/// Whether an event is the outcome of scaling a component to such a number. Each set of annotations
/// has its own number and its own event.
fn scaled(id: &str, is_meant: impl Fn(u64) -> bool) -> impl Fn(&Event) -> bool {
    move |event| {
        let is_same = event.text("component_id") == id;
        match event.name() {
            "component_scaled" => {
                is_same && event.data["max_instances"].as_u64().is_some_and(&is_meant)
            }
            "component_scale_failed" => is_same,
            _ => false,
        }
    }
}

/// The actor's reference for hosts: a path becomes a URL on the host's machine; an image stays
/// unchanged.
fn reference(path: &str) -> String {
    if path.starts_with('/') {
        return format!("file://{path}");
    }
    path.to_owned()
}

/// The default id of an actor: the key in its token, which the host checks.
fn public_key(path: &str) -> Result<String, Failure> {
    let needed = |failure: Failure| {
        failure
            .about("an actor needs an --id if its key cannot be read from a file on this machine")
    };
    let wasm = files::read(Path::new(path), MAX_WASM).map_err(needed)?;
    let inspection = inspect(&wasm, &Policy::strict(Issuers::Any), unix_now());
    let inspection = inspection.map_err(|error| needed(Failure::from(error)))?;
    Ok(inspection.claims.subject)
}
