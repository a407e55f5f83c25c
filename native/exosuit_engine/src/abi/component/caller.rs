//! Who calls when a component uses an import: its actor, inside the call that it serves.

use std::sync::Arc;

use exosuit_core::{Answer, Context, Invocation, LinkName, Origin, Payload, Reply, Target, Value};

use crate::actor_shared::ActorShared;

/// The origin of what an instance calls.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) actor: Arc<ActorShared>,
    pub(super) context: Context,
}

impl Caller {
    /// Calls an operation of a contract, by the link of the default name.
    pub(super) fn call(&self, contract: &str, operation: String, payload: Payload) -> Answer {
        self.actor.call_out(Invocation {
            origin: Origin::Actor(self.actor.id.clone()),
            target: Target::Import {
                namespace: contract.to_owned(),
                link: LinkName::DEFAULT.to_owned(),
            },
            operation,
            payload,
            context: self.context.nested(),
        })
    }

    /// Calls a WIT function.
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
