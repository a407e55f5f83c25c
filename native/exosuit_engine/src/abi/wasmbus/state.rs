//! The data in the store of a wasmbus instance: its actor, its limits, and the call that it serves.
//!
//! Host functions get it with each call of the guest. [`Call`] has all that belongs to one call; when the call ends,
//! it is replaced as a whole, so that a warm instance carries nothing from one caller to the next but the guest's
//! own memory.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use exosuit_core::{Context, Invocation};
use wasmtime::ModuleExport;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::WasiP1Ctx;

use super::super::store::Limited;
use crate::actor_shared::ActorShared;
use crate::limiter::Limiter;
use crate::sandbox::{self, Sandbox};
use crate::{Error, explain};

/// The data of one instance. `call` is replaced for each call.
pub(crate) struct WasmbusState {
    /// Its limits, its log, and the way for its calls.
    pub(super) actor: Arc<ActorShared>,
    pub(super) call: Call,
    /// The index of the exported memory, to look it up without its name.
    pub(super) memory: ModuleExport,
    pub(super) limiter: Limiter,
    /// Made when the guest first uses it: most guests import more of WASI than they call, and making it
    /// costs as much as a call. With directories it may fail, and is therefore made before the guest runs.
    wasi: Option<Box<Sandbox<WasiP1Ctx>>>,
}

/// One call: its input, and the answer as far as the guest has given it.
pub(super) struct Call {
    /// The guest fetches operation and payload with `__guest_request`, as often as it likes.
    pub(super) operation: String,
    pub(super) payload: Bytes,
    /// The deadline, and how deeply the call is nested.
    pub(super) context: Context,
    /// The answer and the error that the guest has set so far.
    pub(super) response: Bytes,
    pub(super) error: Option<String>,
    /// The answer to the last host call, until the guest has read it.
    pub(super) host_response: Bytes,
    /// The error of the last host call, until the guest has read it.
    pub(super) host_error: Option<exosuit_core::Error>,
}

impl Call {
    /// The call as the guest will see it. A payload that is not bytes is refused: wasmbus modules know nothing else.
    pub(super) fn new(invocation: Invocation) -> Result<Self, Error> {
        let payload = invocation.payload.into_bytes()?;
        Ok(Self::of(invocation.operation, payload, invocation.context))
    }

    /// A call without an answer yet.
    fn of(operation: String, payload: Bytes, context: Context) -> Self {
        Self {
            operation,
            payload,
            context,
            response: Bytes::new(),
            error: None,
            host_response: Bytes::new(),
            host_error: None,
        }
    }

    /// The lengths of operation and payload, the arguments of `__guest_call`.
    pub(super) fn lengths(&self) -> Result<(u32, u32), Error> {
        Ok((
            addressable("the operation", self.operation.len())?,
            addressable("the payload", self.payload.len())?,
        ))
    }

    /// The result of the call, once the guest has returned `code`. The order is that of the table in
    /// [`wasmbus`](super): an error that the guest set, an error of the host that it left unread, the code.
    fn conclude(self, code: u32) -> Result<Bytes, Error> {
        if let Some(text) = self.error {
            return Err(Error::Guest(text));
        }
        if let Some(error) = self.host_error {
            return Err(Error::Host(error));
        }
        if code != 1 {
            let code = code.cast_signed();
            return Err(Error::Guest(format!(
                "the guest returned {code} and no error, expected 1 for success"
            )));
        }
        Ok(self.response)
    }
}

impl Limited for WasmbusState {
    fn limiter(&mut self) -> &mut Limiter {
        &mut self.limiter
    }

    fn deadline(&self) -> Instant {
        self.call.context.deadline
    }
}

impl WasmbusState {
    /// The data of a fresh instance. Opens the directories that the actor was granted, which leaves the scheduler.
    pub(super) async fn new(
        actor: &Arc<ActorShared>,
        call: Call,
        memory: ModuleExport,
    ) -> Result<Self, Error> {
        let wasi = match actor.grants.directories.as_slice() {
            [] => None,
            _ => Some(Box::new(
                sandbox::open(actor).await?.build(WasiCtxBuilder::build_p1),
            )),
        };
        Ok(Self {
            actor: actor.clone(),
            call,
            memory,
            limiter: Limiter::new(actor.limits, actor.engine.parts()),
            wasi,
        })
    }

    /// The WASI of the guest, made at its first use.
    pub(super) fn sandbox(&mut self) -> &mut Sandbox<WasiP1Ctx> {
        let sandbox = || {
            let sandbox = sandbox::without_directories(&self.actor);
            Box::new(sandbox.build(WasiCtxBuilder::build_p1))
        };
        self.wasi.get_or_insert_with(sandbox)
    }

    /// Ends the call and returns its result. Nothing of the call stays in the instance.
    pub(super) fn conclude(&mut self, code: u32) -> Result<Bytes, Error> {
        if let Some(sandbox) = &self.wasi {
            sandbox.end_lines();
        }
        let none = Call::of(String::new(), Bytes::new(), self.call.context);
        std::mem::replace(&mut self.call, none).conclude(code)
    }

    /// The error of a guest that did not return, by what wasmtime says and which limit was reached.
    pub(super) fn explain(&self, error: &wasmtime::Error) -> Error {
        explain::explain(error, &self.limiter)
    }
}

/// A size for a guest of 32 bits.
fn addressable(what: &'static str, size: usize) -> Result<u32, Error> {
    u32::try_from(size).map_err(|_| Error::Unaddressable { what, size })
}
