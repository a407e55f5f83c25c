//! How long it takes until a task of Tokio runs that was woken from elsewhere.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Instant;

use anyhow::Result;
use tokio::runtime::Builder;
use tokio::sync::mpsc;

/// Seconds that so many wakes take, one after the other. Who wakes watches for the effect, so that
/// nobody has to be woken for that.
pub(crate) fn seconds(times: u32) -> Result<f64> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let woken = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&woken);
    let (wake, mut wakes) = mpsc::channel(1);
    runtime.spawn(async move {
        while let Some(time) = wakes.recv().await {
            count.store(time, SeqCst);
        }
    });
    let start = Instant::now();
    for time in 1..=times {
        wake.blocking_send(time)?;
        while woken.load(SeqCst) != time {
            spin_loop();
        }
    }
    Ok(start.elapsed().as_secs_f64())
}
