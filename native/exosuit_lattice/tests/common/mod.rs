//! Helpers of the tests of the lattice: real servers, and waiting without sleeping.
#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod host;
pub(crate) mod nats;

use std::future::Future;
use std::time::Duration;

/// As long as anything in a test may take, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something, and fails with its name when it does not come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let value = tokio::time::timeout(PATIENCE, future).await;
    value.unwrap_or_else(|late| panic!("{what} did not come within {PATIENCE:?}: {late}"))
}

/// Tries until it gives something.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    within(what, async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            if let Some(value) = attempt().await {
                return value;
            }
        }
    })
    .await
}
