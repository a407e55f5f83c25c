//! The outcome of a command that a host has only acknowledged.
//!
//! The subscription begins before the command is sent, so the event cannot come too early. If it
//! does not come in time, the command has failed for its user, though the host may still carry it
//! out; the error says so.

use std::time::Duration;

use exosuit_lattice::Subscription;

use super::control::Control;
use super::event::{self, Event};
use crate::failure::Failure;
use crate::output::printable;

/// Receives events from before the command is sent, so that none is missed.
pub(super) struct Outcome {
    told: Subscription,
    timeout: Duration,
    host: String,
}

impl Outcome {
    /// Subscribes to the events of this host. `None` if the command should not wait.
    pub(super) async fn expect(control: &Control, host: &str) -> Result<Option<Self>, Failure> {
        let Some(timeout) = control.timeout else {
            return Ok(None);
        };
        Ok(Some(Self {
            told: event::subscribe(control).await?,
            timeout,
            host: host.to_owned(),
        }))
    }

    /// Waits for the event that `judge` accepts as the outcome. An event with an `error` is a
    /// failure.
    pub(super) async fn wait(
        outcome: Option<Self>,
        judge: impl Fn(&Event) -> bool,
    ) -> Result<(), Failure> {
        let Some(Self {
            mut told,
            timeout,
            host,
        }) = outcome
        else {
            return Ok(());
        };
        let search = async {
            while let Some(message) = told.next().await {
                let event = serde_json::from_slice::<Event>(&message.payload);
                let event = event.ok().filter(|event| event.is_of(&host));
                if let Some(event) = event.filter(|event| judge(event)) {
                    return Some(event);
                }
            }
            None
        };
        match tokio::time::timeout(timeout, search).await {
            Ok(Some(event)) => verdict(&event, &host),
            Ok(None) | Err(_) => Err(Failure::refused(
                "deadline",
                format!(
                    "{host} accepted the command, but did not report its outcome within {timeout:?}; \
                     it may still succeed (set --wait, or see exosuit events)"
                ),
            )),
        }
    }
}

fn verdict(event: &Event, host: &str) -> Result<(), Failure> {
    if !event.name().ends_with("_failed") {
        return Ok(());
    }
    let reason = event.text("reason");
    let code = if reason.is_empty() { "refused" } else { reason };
    Err(Failure::refused(code, printable(event.text("error"))).about(host))
}
