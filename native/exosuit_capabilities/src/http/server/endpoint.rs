//! The endpoint of a link: the actor that answers its requests, and how it is called.
//!
//! A call is made in the name of the provider, with the contract and the name of the link: the router checks that the
//! link joins the two, for every request. A link that was deleted a moment ago therefore answers no further request,
//! even on a connection that stays open.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use exosuit_core::{
    Code, Context, Contract, Deliver, Error, Id, Invocation, LinkName, Notice, Observe, Origin,
    Payload, Reply, Target, bounded,
};

use super::budget::Budget;
use super::head::Arrival;
use super::limits::AddressLimits;
use super::refusal::Refusal;
use super::settings::{CallLimits, Form};

/// The router ends a call at its deadline. This much later, the server gives up itself, in case the router does
/// not.
pub(crate) const GRACE: Duration = Duration::from_millis(250);

/// The actor at the other end of a link.
pub(crate) struct Endpoint {
    // These four are the origin and the target of its calls.
    pub(crate) provider: Id,
    pub(crate) actor: Id,
    pub(crate) contract: Contract,
    pub(crate) link: LinkName,
    /// Whole bodies or streams, by the contract.
    pub(crate) form: Form,
    /// The time and the largest body of a call.
    pub(crate) limits: CallLimits,
    /// The router. Weak, because the router holds the provider.
    pub(crate) deliver: Weak<dyn Deliver>,
    /// For answers that are not responses.
    pub(crate) observe: Arc<dyn Observe>,
}

/// What a request inherits from its connection.
#[derive(Clone, Copy)]
pub(crate) struct RequestContext<'a> {
    pub(crate) limits: &'a AddressLimits,
    /// The budget of its client.
    pub(crate) budget: &'a Budget,
    pub(crate) arrival: Arrival,
}

impl Endpoint {
    /// The largest body that is buffered: 0 where bodies stream.
    pub(crate) fn whole_body(&self) -> u64 {
        match self.form {
            Form::Whole => self.limits.max_body_bytes.unwrap_or(0),
            Form::Streamed => 0,
        }
    }

    /// Calls the actor, within the timeout of the link.
    ///
    /// # Errors
    ///
    /// `Refusal::Call` with the code of the router or the actor. Nothing is reported here: the
    /// router reports failed calls.
    pub(crate) async fn call(&self, operation: &str, payload: Payload) -> Result<Reply, Refusal> {
        let deliver = self.deliver.upgrade();
        let deliver = deliver.ok_or(Refusal::Call(Code::Unavailable))?;
        let deadline = Instant::now() + self.limits.timeout;
        let call = deliver.deliver(Invocation {
            origin: self.origin(),
            target: Target::Actor(self.actor.to_string()),
            operation: operation.to_owned(),
            payload,
            context: Context::until(deadline),
        });
        let answer = bounded(call, deadline + GRACE, None).await;
        answer.map_err(|error| Refusal::Call(error.code))
    }

    /// Reports an answer that is not a valid response. The router reports failed calls itself, but cannot see
    /// this.
    pub(crate) fn report(&self, operation: &str, error: Error) -> Refusal {
        let code = error.code;
        self.observe.observe(Notice::CallFailed {
            origin: self.origin(),
            target: self.actor.to_string(),
            operation: operation.to_owned(),
            error,
        });
        Refusal::Call(code)
    }

    /// The caller, by whose link the router decides.
    fn origin(&self) -> Origin {
        Origin::Provider {
            id: self.provider.clone(),
            contract: self.contract.clone(),
            link: self.link.clone(),
        }
    }
}
