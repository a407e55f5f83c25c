//! What one call knows: the data of its store.

use std::sync::Arc;

use bytes::Bytes;
use exosuit_core::Invocation;
use wasmtime::{ModuleExport, Store};
use wasmtime_wasi::p1::WasiP1Ctx;

use super::super::store::{Limited, bounded};
use crate::actor::Shared;
use crate::limiter::Limiter;
use crate::{Error, sandbox};

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

impl Limited for State {
    fn limiter(&mut self) -> &mut Limiter {
        &mut self.limiter
    }
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

    /// A store for this call.
    pub(super) fn into_store(self, engine: &wasmtime::Engine) -> Store<Self> {
        let deadline = self.call.context.deadline;
        bounded(engine, self, deadline)
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
