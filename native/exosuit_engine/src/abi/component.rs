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
mod prepared;
mod returned;
mod sending;
mod state;
mod streaming;
mod types;
mod unanswered;
mod value;

use std::sync::{Arc, Weak};

use bytes::Bytes;
use exosuit_core::{Context, Invocation, Payload, Reply, Value};

use self::function::{Function, call_with_bytes, call_with_values};
use super::guest::{Guest, Pool};
use crate::Error;
use crate::actor_shared::ActorShared;

pub(crate) use self::guest::ComponentGuest;
pub(super) use self::imports::{ComponentLinker, linker};
pub(crate) use self::prepared::PreparedComponent;
pub(super) use self::unanswered::linked;

impl PreparedComponent {
    pub(super) async fn call(
        self: &Arc<Self>,
        actor: &Arc<ActorShared>,
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
                let (slot, mut guest) = self.guest(actor, pool, context).await?;
                let answer = guest.call(function, &operation, arguments).await;
                if answer.as_ref().err().is_none_or(Error::is_an_answer) {
                    slot.leave(Guest::Component(guest));
                }
                answer
            }
        }
    }

    pub(super) async fn instantiate(
        &self,
        actor: &Arc<ActorShared>,
        context: Context,
    ) -> Result<(), Error> {
        ComponentGuest::new(&self.linked.instance, actor, context)
            .await
            .map(drop)
    }
}

impl ComponentGuest {
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
