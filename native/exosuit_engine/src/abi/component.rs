//! Components: WASI 0.2, `wasi:http`, the further packages of `exosuit_wit`, and links.
//!
//! A call is a fresh instance and one function of it: [`incoming`] answers HTTP, with a body that it
//! may still be [`sending`] then, [`command`] runs a program, [`function`] calls any other export. What an instance uses goes out through its
//! [`caller`]: [`outgoing`] for HTTP, [`keyvalue`], [`host`] for configuration and log, and
//! [`imports`] for interfaces that only links know. [`value`] holds what passes there.

mod body;
mod caller;
mod command;
mod function;
mod host;
mod imports;
mod incoming;
mod keyvalue;
mod outgoing;
mod sending;
mod state;
mod value;

use std::sync::Arc;

use bytes::Bytes;
use exosuit_core::{Context, Invocation, Payload, Reply, Value};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use self::function::Functions;
use self::state::State;
use crate::Error;
use crate::actor::Shared;
use crate::explain::explain;

pub(super) use self::imports::linker;

pub(super) type Linker = wasmtime::component::Linker<State>;

/// A component that is linked.
pub(crate) struct Prepared {
    instance: InstancePre<State>,
    functions: Functions,
    /// What answers HTTP, if it does.
    handler: Option<ProxyPre<State>>,
}

impl Prepared {
    pub(super) fn new(linker: &Linker, component: &Component) -> Result<Self, Error> {
        let linker = imports::linked(linker, component)?;
        let instance = linker.instantiate_pre(component);
        let instance = instance.map_err(|error| unlinked(&error))?;
        Ok(Self {
            functions: Functions::of(component),
            handler: ProxyPre::new(instance.clone()).ok(),
            instance,
        })
    }

    pub(super) async fn call(&self, actor: &Arc<Shared>, call: Invocation) -> Result<Reply, Error> {
        let Invocation {
            operation,
            payload,
            context,
            ..
        } = call;
        match payload {
            Payload::Http(exchange) => {
                let handler = self.handler.as_ref().ok_or_else(no_handler)?;
                incoming::handle(handler, actor, context, *exchange).await
            }
            Payload::Bytes(bytes) => {
                let index = self.functions.find(&operation)?;
                if command::is_run(&operation) {
                    return command::run(&self.instance, index, actor, context, bytes).await;
                }
                self.function(actor, context, index, Arguments::Bytes(bytes))
                    .await
            }
            Payload::Values(values) => {
                let index = self.functions.find(&operation)?;
                self.function(actor, context, index, Arguments::Values(values))
                    .await
            }
        }
    }

    async fn function(
        &self,
        actor: &Arc<Shared>,
        context: Context,
        index: &ComponentExportIndex,
        arguments: Arguments,
    ) -> Result<Reply, Error> {
        let state = State::new(actor, context)?;
        let mut store = state.into_store(self.instance.engine());
        let called = async {
            let instance = self.instance.instantiate_async(&mut store).await?;
            let function = function::function(&mut store, instance, index)?;
            match arguments {
                Arguments::Bytes(bytes) => {
                    function::call_with_bytes(&mut store, function, &bytes).await
                }
                Arguments::Values(values) => {
                    function::call_with_values(&mut store, function, values).await
                }
            }
        };
        let called = called.await;
        called.map_err(|error| explain(&error, &store.data().limiter))
    }
}

/// What an exported function is called with.
enum Arguments {
    Bytes(Bytes),
    Values(Vec<Value>),
}

fn no_handler() -> Error {
    Error::UnknownOperation(
        "the component does not answer HTTP: it exports no wasi:http/incoming-handler of 0.2"
            .to_owned(),
    )
}

fn unlinked(error: &wasmtime::Error) -> Error {
    Error::Module(format!(
        "{error:#}: a component may import WASI 0.2, wasi:http 0.2, wasi:keyvalue and wasi:config \
         of 0.2.0-draft, wasi:logging, and interfaces that links answer"
    ))
}
