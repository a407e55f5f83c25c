//! Components: WASI 0.2, `wasi:http`, the further packages of `exosuit_wit`, and links.
//!
//! A call is one function of a [`guest`]: [`incoming`] answers HTTP, with a body that is then still
//! [`streaming`] while the guest is [`sending`] it, [`command`] runs a program, [`function`] calls any
//! other export. What an instance uses goes out through its [`caller`]: [`outgoing`] for HTTP,
//! [`keyvalue`], [`host`] for configuration and log, and [`imports`] for interfaces that only links
//! know; [`unanswered`] keeps place for what nothing knows. [`types`] are those of its functions, [`value`]
//! what passes there, and [`plain`] what passes without being taken apart.

mod body;
mod caller;
pub(super) mod command;
mod function;
mod guest;
mod host;
mod imports;
mod incoming;
mod keyvalue;
mod outgoing;
mod plain;
mod sending;
mod state;
mod streaming;
mod types;
mod unanswered;
mod value;

use std::sync::{Arc, Weak};

use bytes::Bytes;
use exosuit_core::{Context, Invocation, Payload, Reply, Value, WitName};
use wasmtime::component::Component;
use wasmtime_wasi_http::p2::bindings::ProxyIndices;

use self::function::{Function, Functions, call_with_bytes, call_with_values};
use self::state::State;
use super::{Pool, Seat};
use crate::Error;
use crate::actor::Shared;

pub(crate) use self::guest::Guest;
pub(super) use self::imports::linker;
pub(super) use self::unanswered::{Linked, linked};

pub(super) type Linker = wasmtime::component::Linker<State>;

/// A component that is linked.
pub(crate) struct Prepared {
    linked: Linked,
    functions: Functions,
    /// What answers HTTP, if it does.
    handler: Option<ProxyIndices>,
}

impl Prepared {
    pub(super) fn new(linker: &Linker, component: &Component) -> Result<Self, Error> {
        let linked = unanswered::linked(linker, component)?;
        Ok(Self {
            functions: Functions::of(component),
            handler: ProxyIndices::new(&linked.instance).ok(),
            linked,
        })
    }

    /// The names of fields, cases and flags in the types of its functions, and of those that links answer. A name
    /// may come twice.
    pub(super) fn names<'a>(&'a self, each: &mut impl FnMut(&'a WitName)) {
        self.functions.names(each);
        self.linked
            .bridged
            .iter()
            .for_each(|signature| signature.names(each));
    }

    /// The imports that nothing here answers, each with the reason.
    pub(super) fn unanswered(&self) -> &[String] {
        &self.linked.unanswered
    }

    pub(super) async fn call(
        self: &Arc<Self>,
        actor: &Arc<Shared>,
        pool: &Weak<Pool>,
        call: Invocation,
    ) -> Result<Reply, Error> {
        let Invocation {
            operation,
            payload,
            context,
            ..
        } = call;
        let arguments = match payload {
            Payload::Http(exchange) => {
                return incoming::handle(self, actor, pool, context, *exchange).await;
            }
            Payload::Bytes(bytes) => Arguments::Bytes(bytes),
            Payload::Values(values) => Arguments::Values(values),
        };
        let function = self.functions.find(&operation)?;
        match arguments {
            Arguments::Bytes(input) if command::is_run(&operation) => {
                command::run(&self.linked.instance, function, actor, context, input).await
            }
            arguments => {
                let (seat, mut guest) = self.guest(actor, pool, context).await?;
                let answer = guest.call(function, &operation, arguments).await;
                if answer.as_ref().err().is_none_or(Error::is_an_answer) {
                    guest.leave(seat);
                }
                answer
            }
        }
    }

    pub(super) async fn instantiate(
        &self,
        actor: &Arc<Shared>,
        context: Context,
    ) -> Result<(), Error> {
        Guest::new(&self.linked.instance, actor, context)
            .await
            .map(drop)
    }

    /// An instance for a call, and where it is left.
    async fn guest(
        &self,
        actor: &Arc<Shared>,
        pool: &Weak<Pool>,
        context: Context,
    ) -> Result<(Seat, Guest), Error> {
        let place = actor.share.take(context.deadline).await?;
        let (seat, rested) = Seat::take(pool, place);
        let guest = match rested {
            Some(super::Guest::Component(rested)) => rested.with(context).await,
            _ => Guest::new(&self.linked.instance, actor, context).await?,
        };
        Ok((seat, guest))
    }
}

impl Guest {
    /// Calls a function.
    async fn call(
        &mut self,
        function: &Function,
        operation: &str,
        arguments: Arguments,
    ) -> Result<Reply, Error> {
        let Self { store, instance } = self;
        let called = async {
            match arguments {
                Arguments::Bytes(bytes) => call_with_bytes(store, *instance, function, bytes).await,
                Arguments::Values(values) => {
                    call_with_values(store, *instance, function, operation, values).await
                }
            }
        };
        let called = called.await;
        let state = self.store.data();
        state.conclude();
        called.map_err(|error| state.explain(&error))
    }
}

/// What an exported function is called with.
enum Arguments {
    Bytes(Bytes),
    Values(Vec<Value>),
}
