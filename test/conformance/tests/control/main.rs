//! The control interface: hosts as their users start them, driven by the clients of both generations
//! through every call that these have.

#[allow(dead_code, reason = "shared with tests that take more of it")]
#[path = "../../../../native/exosuit_lattice/tests/common/nats.rs"]
mod nats;

mod actors;
mod events;
mod host;
mod otp;
mod otp_events;
mod v1;
mod v1_events;
mod wadm;

use std::time::Duration;

/// As long as anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a client gathers answers: again and again, where it waits for one.
const WINDOW: Duration = Duration::from_millis(250);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let value = tokio::time::timeout(PATIENCE, future).await;
    value.unwrap_or_else(|late| panic!("{what} did not come within {PATIENCE:?}: {late}"))
}

/// Asks again until there is something.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            if let Some(found) = ask().await {
                return found;
            }
        }
    })
    .await
}
