//! Providers on a host.
//!
//! A name without a scheme is a built-in provider, a path an archive for hosts of wasmCloud, and
//! anything else a reference that is sent as it is.

use exosuit_core::{Id, Reference};
use serde_json::{Value, json};

use super::control::Control;
use super::event::Event;
use super::inventory::Inventory;
use super::outcome::Outcome;
use super::{configuration, member};
use crate::failure::Failure;
use crate::protocol::StartProvider;

/// Starts a provider, and waits until it runs.
pub(super) async fn start(control: &Control, start: &StartProvider) -> Result<Value, Failure> {
    let reference = reference(&start.name)?;
    let id = match &start.id {
        Some(id) => id.clone(),
        None => usual_id(&start.name)?,
    };
    let host = member::find(control).await?;
    let inventory = Inventory::of(control, &host).await?;
    inventory.refuse_taken(&host, &id)?;
    let outcome = Outcome::expect(control, &host).await?;
    let body = json!({
        "provider_ref": reference,
        "provider_id": id,
        "host_id": host,
        "config": configuration::put(control, &start.config).await?,
        "annotations": start.annotations,
    });
    control.ask_host(&host, "provider.start", &body).await?;
    Outcome::wait(
        outcome,
        named(&id, ["provider_started", "provider_start_failed"]),
    )
    .await?;
    Ok(json!({"id": id}))
}

/// Stops a provider, and waits until it has stopped.
pub(super) async fn stop(control: &Control, id: &str) -> Result<Value, Failure> {
    let host = member::find(control).await?;
    let inventory = Inventory::of(control, &host).await?;
    if inventory.providers.iter().all(|it| it.id != id) {
        let text = format!("no provider {id:?} on {host}");
        return Err(Failure::refused("not_found", text));
    }
    let outcome = Outcome::expect(control, &host).await?;
    let body = json!({"provider_id": id, "host_id": host});
    control.ask_host(&host, "provider.stop", &body).await?;
    Outcome::wait(
        outcome,
        named(id, ["provider_stopped", "provider_stop_failed"]),
    )
    .await?;
    Ok(json!({}))
}

/// Whether an event is the outcome for this provider.
fn named(id: &str, kinds: [&'static str; 2]) -> impl Fn(&Event) -> bool {
    move |event| event.text("provider_id") == id && kinds.contains(&event.name())
}

/// The provider's reference for hosts. `keyvalue` is built in; images and archives are for wasmCloud
/// hosts.
fn reference(name: &str) -> Result<String, Failure> {
    match Reference::parse(name).map_err(Failure::usage)? {
        Reference::File(path) if Id::parse(&path).is_ok() && path == name => {
            Ok(format!("wasmcloud+builtin://{name}"))
        }
        Reference::File(path) if path.starts_with('/') => Ok(format!("file://{path}")),
        Reference::File(_) => Err(Failure::usage(format!(
            "expected the absolute path of a provider archive, as each host reads it, got {name:?}"
        ))),
        Reference::Builtin(_) | Reference::Module(_) | Reference::Registry(_) => {
            Ok(name.to_owned())
        }
    }
}

/// The id of a provider whose user gave none: the last part of its name.
fn usual_id(name: &str) -> Result<String, Failure> {
    let last = name.rsplit("://").next().unwrap_or(name);
    let id = Id::parse(last);
    let id = id.map_err(|_| Failure::usage(format!("a provider from {name:?} needs an --id")))?;
    Ok(id.as_str().to_owned())
}
