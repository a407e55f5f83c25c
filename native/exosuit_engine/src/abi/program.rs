//! Modules that are programs: commands of WASI preview 1.
//!
//! A call of `wasi:cli/run` runs the program to its end, in an instance of its own. The payload is its
//! standard input, its standard output is the answer, at most the message limit of the actor. Its standard error
//! goes to the log. `exit(0)` and a return from `_start` are success; any other status is an error of the guest.
//!
//! It runs on the threads that poll the call, and stops as other guests do: at its deadline, at a limit, or when the
//! future of the call is dropped. Files that it wrote before stay written, as after any end.
//!
//! The program sees its grants and nothing of the call but its input. It cannot call actors or capabilities:
//! preview 1 has no imports for them.
//!
//! | it ends by | the caller gets |
//! |---|---|
//! | a return from `_start`, or `exit(0)` | its standard output, also if it is empty |
//! | `exit` with another status | `guest`: the program exited with that status |
//! | a trap | `trap`, with the function |
//! | a limit of memory, tables or stack | `limit` |
//! | more output than the message limit | what it makes of a closed output |
//! | the deadline | `deadline` |

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use exosuit_core::{Context, Invocation};
use wasmtime::InstancePre;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::WasiP1Ctx;

use super::component::command::{exited, is_run, streams};
use super::store::{Limited, bounded};
use super::{preview1, stubs};
use crate::Error;
use crate::actor_shared::ActorShared;
use crate::configuration::setup;
use crate::explain::{self, MAX_NAME, cut};
use crate::limiter::Limiter;
use crate::sandbox::Sandbox;

pub(super) type ProgramLinker = wasmtime::Linker<ProgramState>;

/// The export that starts a program.
pub(super) const START: &str = "_start";

/// The data of a program's instance.
pub(crate) struct ProgramState {
    /// The context of the one call that the instance serves, with its deadline.
    context: Context,
    limiter: Limiter,
    sandbox: Sandbox<WasiP1Ctx>,
}

impl Limited for ProgramState {
    fn limiter(&mut self) -> &mut Limiter {
        &mut self.limiter
    }

    fn deadline(&self) -> Instant {
        self.context.deadline
    }
}

/// Makes the linker for all programs; once per engine.
pub(super) fn linker(engine: &wasmtime::Engine) -> Result<ProgramLinker, Error> {
    let mut linker = ProgramLinker::new(engine);
    preview1::add_to_linker(&mut linker, |state: &mut ProgramState| &mut state.sandbox)
        .map_err(setup)?;
    Ok(linker)
}

/// A linked program. It has no warm instances: a program runs once, from a fresh memory, whatever the actor's
/// `Instances` say.
pub(crate) struct PreparedProgram {
    instance: InstancePre<ProgramState>,
    /// Imports that nothing here answers. Calling one fails.
    unanswered: Vec<String>,
}

impl PreparedProgram {
    /// Links a module that exports `_start`. Functions that WASI does not have become stubs. An import of another
    /// kind, or a function of WASI with another type, is an error.
    pub(super) fn new(linker: &ProgramLinker, module: &wasmtime::Module) -> Result<Self, Error> {
        let (instance, unanswered) = stubs::linked(linker, module).map_err(|error| {
            Error::Module(format!(
                "{error:#}: a program may import functions of {}",
                preview1::WASI
            ))
        })?;
        Ok(Self {
            instance,
            unanswered,
        })
    }

    pub(super) fn unanswered(&self) -> &[String] {
        &self.unanswered
    }

    /// Runs the program. Any version of `wasi:cli/run` names it; every other operation is unknown.
    pub(super) async fn call(
        &self,
        actor: &Arc<ActorShared>,
        call: Invocation,
    ) -> Result<Bytes, Error> {
        if !is_run(&call.operation) {
            return Err(Error::UnknownOperation(format!(
                "the program has no function {:?}: call wasi:cli/run#run",
                cut(&call.operation, MAX_NAME)
            )));
        }
        let _permit = actor.share.acquire(call.context.deadline).await?;
        let (sandbox, output) = streams(actor, call.payload.into_bytes()?).await?;
        let state = ProgramState {
            context: call.context,
            limiter: Limiter::new(actor.limits, actor.engine.parts()),
            sandbox: sandbox.build(WasiCtxBuilder::build_p1),
        };
        self.run(actor, state).await?;
        Ok(output.contents())
    }

    /// Makes an instance and drops it, without running `_start`: whether it can be made at all.
    pub(super) async fn instantiate(
        &self,
        actor: &Arc<ActorShared>,
        context: Context,
    ) -> Result<(), Error> {
        let (sandbox, _output) = streams(actor, Bytes::new()).await?;
        let state = ProgramState {
            context,
            limiter: Limiter::new(actor.limits, actor.engine.parts()),
            sandbox: sandbox.build(WasiCtxBuilder::build_p1),
        };
        let mut store = bounded(&actor.engine, state);
        let made = self.instance.instantiate_async(&mut store).await;
        made.map(drop)
            .map_err(|error| explain::explain(&error, &store.data().limiter))
    }

    /// Runs `_start` to its end. `exit` ends it by an error of wasmtime's, which carries the status.
    async fn run(&self, actor: &Arc<ActorShared>, state: ProgramState) -> Result<(), Error> {
        let mut store = bounded(&actor.engine, state);
        let ended = async {
            let instance = self.instance.instantiate_async(&mut store).await?;
            let start = instance.get_typed_func::<(), ()>(&mut store, START)?;
            start.call_async(&mut store, ()).await
        };
        let Err(error) = ended.await else {
            return Ok(());
        };
        exited(&error).unwrap_or_else(|| Err(explain::explain(&error, &store.data().limiter)))
    }
}
