//! Calls of a component to the outside: who calls, and inside which call.
//!
//! Every call of a guest, whatever interface it imports, leaves through here and goes to the router, which decides
//! whether it is allowed. The nested context has the deadline of the call that the guest serves, and one level more.
//!
//! One caller belongs to one instance. Requests of HTTP get a copy of it, as they outlive the host function that
//! started them.

use std::num::NonZeroU64;
use std::sync::Arc;

use exosuit_core::{Answer, Context, Invocation, LinkName, Origin, Payload, Reply, Target, Value};

use crate::actor_shared::ActorShared;

/// The origin of the calls of an instance: its actor, within the call that it serves now.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) actor: Arc<ActorShared>,
    /// The context of the call that the instance serves now. Replaced for each call of a warm instance.
    pub(super) context: Context,
    /// The instance, as the owner of the resources that it gets.
    pub(super) number: NonZeroU64,
}

impl Caller {
    /// Calls an operation of a contract. Components have no way to name a link, so it is the link of the default name.
    ///
    /// Nothing happens until the answer is polled. The router refuses a call that is nested too deeply, so that two
    /// actors that call each other end.
    pub(super) fn call(&self, contract: &str, operation: String, payload: Payload) -> Answer {
        self.actor.call_out(Invocation {
            origin: Origin::Actor(self.actor.id.clone()),
            target: Target::Import {
                namespace: contract.to_owned(),
                link: LinkName::DEFAULT.to_owned(),
            },
            operation,
            payload,
            context: Context {
                caller: Some(self.number),
                ..self.context.nested()
            },
        })
    }

    /// Calls a WIT function and waits for its result. An answer that is not a value is an error, as of any other
    /// failure.
    pub(super) async fn ask(
        &self,
        contract: &str,
        operation: String,
        arguments: Vec<Value>,
    ) -> Result<Value, exosuit_core::Error> {
        let answer = self.call(contract, operation, Payload::Values(arguments));
        answer.await.and_then(Reply::into_value)
    }
}
