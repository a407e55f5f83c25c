//! The one Tokio runtime of the VM.
//!
//! The threads of a library outlive every process of the VM, so there is one runtime for all hosts.
//! The linker settings in `build.rs` keep the library mapped, because its threads run its code
//! until the VM ends.
//!
//! It has a thread for each core, beside the schedulers of the BEAM, and up to 512 blocking threads that
//! exist while files, directories or databases are used. Guests that use up their slice on a scheduler
//! continue here, so a busy host has twice as many threads as cores that compete.
//!
//! | what panics | the effect |
//! |---|---|
//! | a task | it ends; its [`Reply`](crate::reply::Reply) answers `dropped` |
//! | a NIF | rustler catches it, and raises in the calling process |
//! | a destructor or a monitor | rustler catches it |
//! | work on a blocking thread | whoever waits for it gets an error of the join |
//!
//! The runtime is never shut down: that would block until its tasks end, and the VM may end at any time.

use std::ops::Deref;
use std::sync::OnceLock;

use exosuit_core::{Code, Error};
use tokio::runtime::{Builder, Runtime};

/// The runtime, once [`start`] has run. It is never shut down.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// Starts the runtime, unless it runs already. Every other function here needs it. Called by `engine_start`, so the
/// application does it before any host. Fails with `internal` if the system gives no threads.
pub(crate) fn start() -> Result<(), Error> {
    if RUNTIME.get().is_some() {
        return Ok(());
    }
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .thread_name("exosuit")
        .build()
        .map_err(|error| Error::new(Code::Internal, format!("Tokio cannot start: {error}")))?;
    // Another process may have set it in the meantime; its runtime serves as well.
    let _ = RUNTIME.set(runtime);
    Ok(())
}

/// The runtime.
///
/// # Panics
///
/// If [`start`] has not run. The application calls it first, and rustler turns the panic into an
/// exception.
pub(crate) fn runtime() -> &'static Runtime {
    RUNTIME
        .get()
        .expect("the application exosuit has been started")
}

/// A value that is dropped on Tokio, and not on the thread that drops its holder. Reading it costs nothing extra.
///
/// The BEAM collects resources as garbage on a scheduler. Values that unmap code, close files or stop tasks when they
/// are dropped take longer than a scheduler may be blocked. The drop comes a moment after that of the holder: who
/// needs it done, such as the start of a provider on the same port, must wait for it in another way.
pub(crate) struct Reaped<T: Send + 'static>(Option<T>);

impl<T: Send> Reaped<T> {
    /// Wraps a value.
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
