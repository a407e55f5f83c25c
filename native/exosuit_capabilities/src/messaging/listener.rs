//! Brings the messages of one subscription to an actor.
//!
//! One handler runs per subscription. It takes a permit before it takes a message, so messages that
//! cannot be handled yet wait in the mailbox, which has a bound. When it ends, it gives the
//! subscription back: a change of the link continues with it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use exosuit_core::{
    Code, Context, Contract, Deliver, Error, Heard, Id, Invocation, LinkName, Message, Notice,
    Observe, Origin, Reply, Subscription, Target, Value, bounded,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::form::Form;
use super::settings::Limits;

/// The router ends a call at its deadline. This much later, the listener gives up itself.
const GRACE: Duration = Duration::from_millis(250);

/// The actor at the other end of a link, and how it is called.
pub(crate) struct Listener {
    pub(crate) provider: Id,
    pub(crate) actor: Id,
    pub(crate) contract: Contract,
    pub(crate) link: LinkName,
    pub(crate) form: Form,
    pub(crate) limits: Limits,
    pub(crate) deliver: Weak<dyn Deliver>,
    pub(crate) observe: Arc<dyn Observe>,
}

impl Listener {
    /// Calls the actor with each message, a bounded number at a time, until the end. Further messages wait in
    /// the subscription, which bounds them. Returns the subscription with its waiting messages.
    pub(crate) async fn listen(
        self,
        mut subscription: Subscription,
        end: CancellationToken,
        running: TaskTracker,
    ) -> Subscription {
        let listener = Arc::new(self);
        let places = Arc::new(Semaphore::new(listener.limits.in_flight));
        let each = async {
            while let Ok(place) = Arc::clone(&places).acquire_owned().await {
                match subscription.next().await {
                    Some(Heard::Message(message)) => {
                        let listener = Arc::clone(&listener);
                        running.spawn(async move {
                            listener.handle(message).await;
                            drop(place);
                        });
                    }
                    Some(Heard::Lost(count)) => listener.lost(count),
                    None => return,
                }
            }
        };
        tokio::select! {
            biased;
            () = end.cancelled() => {}
            () = each => {}
        }
        subscription
    }

    /// Calls the actor with a message. No answer is sent for it: a guest that answers publishes to
    /// the reply subject itself.
    async fn handle(&self, message: Message) {
        let Some(deliver) = self.deliver.upgrade() else {
            return;
        };
        let (operation, payload) = match self.form.call(message) {
            Ok(call) => call,
            Err(error) => return self.report("", error),
        };
        let deadline = Instant::now() + self.limits.timeout;
        let call = deliver.deliver(Invocation {
            origin: self.origin(),
            target: Target::Actor(self.actor.to_string()),
            operation: operation.to_owned(),
            payload,
            context: Context::until(deadline),
        });
        // The router reports failed calls. It cannot see that an answer is an error of the guest.
        if let Ok(Reply::Value(Value::Error(words))) = bounded(call, deadline + GRACE, None).await {
            self.report(
                operation,
                Error::new(Code::Guest, in_words(words.as_deref())),
            );
        }
    }

    /// Reports messages that found no room.
    fn lost(&self, count: u64) {
        let detail = format!(
            "{count} messages came faster than the actor handles them, and found no room to wait"
        );
        self.report("", Error::new(Code::Overloaded, detail));
    }

    /// Reports a failure that no caller waits for.
    fn report(&self, operation: &str, error: Error) {
        self.observe.observe(Notice::CallFailed {
            origin: self.origin(),
            target: self.actor.to_string(),
            operation: operation.to_owned(),
            error,
        });
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

/// The text of a guest's error, cut for a log.
fn in_words(words: Option<&Value>) -> String {
    const LENGTH: usize = 300;
    match words {
        Some(Value::Binary(text)) => String::from_utf8_lossy(text).chars().take(LENGTH).collect(),
        _ => "the handler failed".to_owned(),
    }
}
