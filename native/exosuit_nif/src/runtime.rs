//! The one Tokio runtime of the VM.

use std::sync::OnceLock;

use exosuit_core::{Code, Error};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// Starts the runtime, unless it runs. Nothing else here works before.
pub(crate) fn start() -> Result<(), Error> {
    if RUNTIME.get().is_some() {
        return Ok(());
    }
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .thread_name("exosuit")
        .build()
        .map_err(|error| Error::new(Code::Internal, format!("Tokio cannot start: {error}")))?;
    // Another VM process may have been first; its runtime serves as well.
    let _ = RUNTIME.set(runtime);
    Ok(())
}

/// The runtime.
///
/// # Panics
///
/// Before [`start`], which the application calls before anything else: rustler turns it into an
/// exception.
pub(crate) fn runtime() -> &'static Runtime {
    RUNTIME
        .get()
        .expect("the application exosuit has been started")
}

/// Drops `value` on Tokio: not here, where a scheduler may be collecting garbage.
pub(crate) fn reap<T: Send + 'static>(value: T) {
    if let Some(runtime) = RUNTIME.get() {
        runtime.spawn(async move { drop(value) });
    }
}
