//! The one Tokio runtime of the VM.

use std::ops::Deref;
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

/// A value that is dropped on Tokio: not with its holder, which a scheduler may be collecting as
/// garbage. For what unmaps code or closes files when the last one lets go of it.
pub(crate) struct Reaped<T: Send + 'static>(Option<T>);

impl<T: Send> Reaped<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T: Send> Deref for Reaped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("taken only when dropped")
    }
}

impl<T: Send + 'static> Drop for Reaped<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        if let Some(runtime) = RUNTIME.get() {
            runtime.spawn(async move { drop(value) });
        }
    }
}
