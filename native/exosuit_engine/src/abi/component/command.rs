//! Runs a component that is a program: `wasi:cli/run`.
//!
//! The payload is its standard input, its standard output is the answer. A program runs once and exits, so
//! each call gets an instance of its own, even if the actor keeps warm instances for its other exports.
//!
//! Input and output are in memory: the input is the payload that the router holds anyway, the output is bounded by
//! the message limit. A program that writes more finds its output closed. Standard error goes to the log.

use std::sync::Arc;

use bytes::Bytes;
use exosuit_core::{Context, Reply};
use wasmtime::component::InstancePre;
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};
use wasmtime_wasi::{I32Exit, WasiCtxBuilder};

use super::super::store::bounded;
use super::function::Function;
use super::state::ComponentState;
use crate::Error;
use crate::actor_shared::ActorShared;
use crate::sandbox::{self, Sandbox};

/// The interface that such a program exports.
const RUN: &str = "wasi:cli/run";

/// Whether the operation is that of a program, in any version: `wasi:cli/run#run`, `wasi:cli/run@0.2.6#run`.
pub(in crate::abi) fn is_run(operation: &str) -> bool {
    operation
        .strip_prefix(RUN)
        .is_some_and(|rest| rest.starts_with(['@', '#']))
}

/// Runs the program to its end and returns its output.
///
/// The permit is held until then, as for every instance at work. Output that was written before a failure is lost with
/// it: an error has no place for it.
pub(super) async fn run(
    instance: &InstancePre<ComponentState>,
    function: &Function,
    actor: &Arc<ActorShared>,
    context: Context,
    input: Bytes,
) -> Result<Reply, Error> {
    let _permit = actor.share.acquire(context.deadline).await?;
    let (sandbox, output) = streams(actor, input).await?;
    let state = ComponentState::with(actor, context, Some(sandbox));
    let mut store = bounded(&actor.engine, state);
    let ended = async {
        let instance = instance.instantiate_async(&mut store).await?;
        let run = function.within(&mut store, instance)?;
        let run = run.typed::<(), (Result<(), ()>,)>(&store)?;
        run.call_async(&mut store, ()).await
    };
    match ended.await {
        Ok((Ok(()),)) => Ok(Reply::Bytes(output.contents())),
        Ok((Err(()),)) => Err(Error::Guest("the program failed".to_owned())),
        Err(error) => match exited(&error) {
            Some(ended) => ended.map(|()| Reply::Bytes(output.contents())),
            None => Err(store.data().explain(&error)),
        },
    }
}

/// The sandbox of a program, and the pipe that collects its output, bounded by the message limit. Output is the
/// answer, so it does not go to the log. Opens the granted directories, which leaves the scheduler.
pub(in crate::abi) async fn streams(
    actor: &Arc<ActorShared>,
    input: Bytes,
) -> Result<(Sandbox<WasiCtxBuilder>, MemoryOutputPipe), Error> {
    let output = MemoryOutputPipe::new(actor.limits.message_bytes);
    let mut sandbox = sandbox::open(actor).await?;
    let wasi = &mut sandbox.wasi;
    wasi.stdin(MemoryInputPipe::new(input))
        .stdout(output.clone());
    Ok((sandbox, output))
}

/// The result of a program that called `exit`: success for status 0. None if it ended otherwise.
pub(in crate::abi) fn exited(error: &wasmtime::Error) -> Option<Result<(), Error>> {
    let I32Exit(status) = error.downcast_ref()?;
    Some(match status {
        0 => Ok(()),
        status => Err(Error::Guest(format!(
            "the program exited with status {status}"
        ))),
    })
}
