//! How long it takes until a task of Tokio runs that was woken from elsewhere, by a thread that goes on
//! meanwhile, as a scheduler of the BEAM does.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::runtime::Builder;
use tokio::sync::mpsc;

/// By when a worker that has nothing to do is asleep: one that still looks for work need not be woken.
const ASLEEP_AFTER: Duration = Duration::from_micros(20);

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
    let mut total = Duration::ZERO;
    for time in 1..=times {
        let start = Instant::now();
        wake.blocking_send(time)?;
        while woken.load(SeqCst) != time {
            spin_loop();
        }
        total += start.elapsed();
        let asleep = Instant::now() + ASLEEP_AFTER;
        while Instant::now() < asleep {
            spin_loop();
        }
    }
    Ok(total.as_secs_f64())
}
