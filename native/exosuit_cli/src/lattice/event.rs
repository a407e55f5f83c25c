//! Events of hosts.
//!
//! Events are `CloudEvents` on `wasmbus.evt.<lattice>.…`. They are not signed, so they are only
//! used to wait and to print.

use exosuit_lattice::Subscription;
use serde::Deserialize;
use serde_json::Value;

use super::control::Control;
use super::member;
use crate::failure::Failure;

/// The fields of a `CloudEvent` that are used.
#[derive(Deserialize)]
pub(super) struct Event {
    source: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    pub(super) data: Value,
}

impl Event {
    /// Whether this host sent it.
    pub(super) fn is_of(&self, host: &str) -> bool {
        self.source == host
    }

    /// The type of the event: `component_scaled`.
    pub(super) fn name(&self) -> &str {
        self.kind.rsplit('.').next().unwrap_or_default()
    }

    /// A field of its data, as text.
    pub(super) fn text(&self, field: &str) -> &str {
        self.data[field].as_str().unwrap_or_default()
    }
}

/// Subscribes to all events in the form of 1.x.
pub(super) async fn subscribe(control: &Control) -> Result<Subscription, Failure> {
    let subject = format!("wasmbus.evt.{}.>", control.lattice);
    Ok(control.bus.subscribe(&subject, None).await?)
}

/// Passes each event on, of one host or of all. It does not end by itself.
pub(super) async fn follow(
    control: &Control,
    mut each: impl FnMut(&Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let only = match control.host {
        Some(_) => Some(member::find(control).await?),
        None => None,
    };
    let mut told = subscribe(control).await?;
    while let Some(message) = told.next().await {
        // Other messages may be sent to the same subject.
        let Ok(event) = serde_json::from_slice::<Value>(&message.payload) else {
            continue;
        };
        if only.as_ref().is_none_or(|host| event["source"] == **host) {
            each(&event)?;
        }
    }
    Ok(())
}
