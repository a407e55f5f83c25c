//! What one call knows: the data of its store.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use exosuit_core::Invocation;
use wasmtime::{ModuleExport, Store, UpdateDeadline};
use wasmtime_wasi::p1::WasiP1Ctx;

use crate::actor::Shared;
use crate::limiter::Limiter;
use crate::{Error, sandbox};

/// Ticks of the epoch until a guest gives others their turn.
const SLICE: u64 = 1;

/// What one call knows.
pub(crate) struct State {
    pub(super) actor: Arc<Shared>,
    pub(super) call: Invocation,
    pub(super) memory: ModuleExport,
    pub(super) limiter: Limiter,
    /// Made when the guest first uses it: most import more of WASI than they call. Where it may
    /// fail, it is made before the guest runs.
    wasi: Option<Box<WasiP1Ctx>>,
    pub(super) response: Bytes,
    pub(super) error: Option<String>,
    pub(super) host_response: Bytes,
    /// Until the guest has read it.
    pub(super) host_error: Option<exosuit_core::Error>,
}

impl State {
    pub(super) fn new(
        actor: &Arc<Shared>,
        call: Invocation,
        memory: ModuleExport,
    ) -> Result<Self, Error> {
        let wasi = match actor.grants.directories.as_slice() {
            [] => None,
            _ => Some(Box::new(sandbox::open(actor)?.build_p1())),
        };
        Ok(Self {
            actor: actor.clone(),
            call,
            memory,
            limiter: Limiter::new(actor.limits),
            wasi,
            response: Bytes::new(),
            error: None,
            host_response: Bytes::new(),
            host_error: None,
        })
    }

    /// A store that gives way at the end of each slice and traps at the deadline.
    pub(super) fn into_store(self, engine: &wasmtime::Engine) -> Store<Self> {
        let deadline = self.call.context.deadline;
        let mut store = Store::new(engine, self);
        store.limiter(|state| &mut state.limiter);
        store.set_epoch_deadline(SLICE);
        store.epoch_deadline_callback(move |_| {
            if Instant::now() >= deadline {
                return Err(Error::Deadline.into());
            }
            // Tokio's way to yield lets its timers and sockets have their turn as well; wasmtime's
            // own would wait in line before them 61 times.
            let turn = Box::pin(tokio::task::yield_now());
            Ok(UpdateDeadline::YieldCustom(SLICE, turn))
        });
        store
    }

    pub(super) fn wasi(&mut self) -> &mut WasiP1Ctx {
        let sandbox = || Box::new(sandbox::without_directories(&self.actor).build_p1());
        self.wasi.get_or_insert_with(sandbox)
    }

    /// What the call comes to, once the guest has returned.
    pub(super) fn conclude(&mut self, code: u32) -> Result<Bytes, Error> {
        if let Some(text) = self.error.take() {
            return Err(Error::Guest(text));
        }
        if let Some(error) = self.host_error.take() {
            return Err(Error::Host(error));
        }
        if code != 1 {
            let code = code.cast_signed();
            return Err(Error::Guest(format!(
                "the guest returned {code} and no error, expected 1 for success"
            )));
        }
        Ok(std::mem::take(&mut self.response))
    }
}
