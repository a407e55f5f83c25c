//! Components: WASI 0.2, `wasi:http`, the further packages of `exosuit_wit`, and links.
//!
//! A call is one function of a [`guest`]: [`incoming`] answers HTTP, with a body that is then still
//! [`streaming`] while the guest is [`sending`] it, [`command`] runs a program, [`function`] calls any
//! other export. What an instance uses goes out through its [`caller`]: [`outgoing`] for HTTP,
//! [`keyvalue`], [`host`] for configuration and log, and [`imports`] for interfaces that only links
//! know; [`unanswered`] keeps place for what nothing knows. [`kinds`] are its types of resources, [`resources`] take
//! them in and out, [`held`] are those of others, and [`pin`] keeps an instance for those who have some of it.
//! [`types`] are those of its functions, [`value`] what passes there, and [`plain`] what passes without being taken
//! apart.
//!
//! A component is linked once ([`prepared`]); a call needs an instance, with a store and its data ([`state`]). What
//! ends a call in each of these ways is said in their files. In common is this: the future of a call owns its
//! instance, and dropping the future drops the instance.
//!
//! # Which way a call takes
//!
//! | payload | operation | way | instance |
//! |---|---|---|---|
//! | a request of HTTP | any | [`incoming::handle`] | warm or fresh; it goes with the body of the response |
//! | bytes | `wasi:cli/run` | [`command::run`] | fresh |
//! | values | a function with resources | `call_with_resources` | pinned, or warm or fresh if none is needed |
//! | bytes or values | any other function | `ComponentGuest::call` | warm or fresh |
//!
//! An instance goes back to its pool only if the guest returned, or was not called at all ([`Error::is_an_answer`]).
//! Everything else drops it together with the slot of its call.

mod body;
mod bridge;
mod caller;
pub(super) mod command;
mod function;
mod guest;
mod held;
mod host;
mod imports;
mod incoming;
mod keyvalue;
mod kinds;
mod outgoing;
mod pin;
mod plain;
mod prepared;
mod resources;
mod returned;
mod sending;
mod state;
mod streaming;
mod types;
mod unanswered;
mod value;

use std::sync::{Arc, Weak};

use bytes::Bytes;
use exosuit_core::{Context, Invocation, Origin, Payload, Reply, Value};

use self::function::{Function, call_with_bytes, call_with_values, input};
use self::pin::{Holder, Pin, PinTurn};
use self::resources::{Rules, call_with_resources, pin_of};
use self::value::lower_all;
use super::guest::{Guest, Pool};
use crate::Error;
use crate::actor_shared::ActorShared;
use crate::explain::{MAX_NAME, cut};

pub(crate) use self::guest::ComponentGuest;
pub(super) use self::imports::{ComponentLinker, linker};
pub(crate) use self::pin::Pins;
pub(crate) use self::prepared::PreparedComponent;
pub(super) use self::unanswered::linked;

impl PreparedComponent {
    /// Calls the component. `pool` and `pins` are weak: a running call must not keep the instances of an actor that
    /// ended.
    ///
    /// An operation that the component does not export is refused before an instance is taken.
    pub(super) async fn call(
        self: &Arc<Self>,
        actor: &Arc<ActorShared>,
        pool: &Weak<Pool>,
        pins: &Weak<Pins>,
        call: Invocation,
    ) -> Result<Reply, Error> {
        let Invocation {
            origin,
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
            Arguments::Values(values) if function.has_resources() => {
                let call = ResourceCall {
                    function,
                    operation: &operation,
                    actor,
                    origin: &origin,
                    context,
                };
                self.call_with_resources(call, pool, pins, values).await
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

    /// Calls a function with resources: in the instance where they live, in one that is pinned for its caller if it
    /// gives some, else in any.
    ///
    /// In a pinned instance the call first waits for its turn, and no instance is taken from the pool meanwhile. If
    /// the pin has ended by then, the call fails with the reason, and its guest is not called. If the guest does
    /// not return, the pin ends as well.
    async fn call_with_resources(
        &self,
        call: ResourceCall<'_>,
        pool: &Weak<Pool>,
        pins: &Weak<Pins>,
        values: Vec<Value>,
    ) -> Result<Reply, Error> {
        let ResourceCall { actor, context, .. } = call;
        let mut turn = match (pin_of(&values, actor), pins.upgrade()) {
            (Some(pin), _) => pin.turn(context.within).await?,
            (None, Some(pins)) if call.function.signature()?.gives_own => {
                let holder = Holder::of(call.origin);
                pins.turn_for_caller(actor, &holder, context).await?
            }
            _ => {
                let (slot, mut guest) = self.guest(actor, pool, context).await?;
                let answer = guest.call_with_resources(&call, values, None).await;
                if answer.as_ref().err().is_none_or(Error::is_an_answer) {
                    slot.leave(Guest::Component(guest));
                }
                return answer;
            }
        };
        let context = turn.context(context);
        let mut guest = match turn.guest.take() {
            Some(guest) => guest.with(context).await,
            None if turn.is_new() => {
                let (slot, guest) = self.guest(actor, pool, context).await?;
                turn.slot = Some(slot);
                guest
            }
            None => return Err(call.refused(values, turn)),
        };
        let pin = Arc::clone(&turn.pin);
        let answer = guest.call_with_resources(&call, values, Some(&pin)).await;
        if answer.as_ref().err().is_none_or(Error::is_an_answer) {
            turn.guest = Some(guest);
            turn.finish();
        }
        answer
    }

    /// Makes an instance and drops it: whether it can be made at all.
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
    /// Calls a function that takes or gives resources. Those of the component live in `pin`.
    async fn call_with_resources(
        &mut self,
        call: &ResourceCall<'_>,
        arguments: Vec<Value>,
        pin: Option<&Arc<Pin>>,
    ) -> Result<Reply, Error> {
        let called = call_with_resources(self, call.function, call.operation, arguments, pin);
        let called = called.await;
        let state = self.store.data();
        state.conclude();
        called.map_err(|error| state.explain(&error))
    }

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

/// A call of a function that takes or gives resources.
struct ResourceCall<'a> {
    function: &'a Function,
    operation: &'a str,
    actor: &'a Arc<ActorShared>,
    origin: &'a Origin,
    context: Context,
}

impl ResourceCall<'_> {
    /// Why a call with resources of an instance that has ended fails: its error names the resource.
    fn refused(&self, values: Vec<Value>, turn: PinTurn) -> Error {
        let pin = Arc::clone(&turn.pin);
        turn.leave_ended();
        let signature = match self.function.signature() {
            Ok(signature) => signature,
            Err(error) => return error,
        };
        let mut rules = Rules::new(Arc::clone(self.actor), Some(&pin));
        let max = self.actor.limits.max_value_bytes();
        match lower_all(values, signature, max, &mut rules) {
            Err(misfit) => input(self.operation, &misfit),
            Ok(_) => Error::Input(format!(
                "{}: a resource of the call is gone",
                cut(self.operation, MAX_NAME)
            )),
        }
    }
}

/// The arguments of a call of an exported function.
enum Arguments {
    Bytes(Bytes),
    Values(Vec<Value>),
}
