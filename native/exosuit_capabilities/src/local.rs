//! The lattice of a host that is alone: messages within the VM. No other host takes part.
//!
//! It gives an actor the same messaging on a single host as in a lattice over NATS. Buckets are
//! missing: a store on a single host is in memory or in a file.
//!
//! | of NATS | here |
//! |---|---|
//! | `*` and `>` | the same |
//! | a queue group | one member gets each message, in turn |
//! | "no responders" | `unavailable`, at once |
//! | a slow subscriber | loses messages, and is told how many |
//! | a message is sent while nobody listens | it is gone |
//!
//! Sending takes the lock of all listeners and copies a message into each mailbox. It never waits:
//! mailboxes are bounded, and lose what does not fit.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use exosuit_core::{
    Bucket, BucketLimits, Code, Done, Error, Heard, Id, Lattice, Mailbox, Message, Pending,
    Subscription, bounded,
};
use parking_lot::Mutex;

/// Messages within one VM: subjects, wildcards and groups as NATS has them.
///
/// Clones of the `Arc` share the listeners. A subscription ends when it is dropped.
///
/// ```
/// use exosuit_capabilities::LocalLattice;
/// use exosuit_core::{Heard, Lattice, Message};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let lattice = LocalLattice::new();
/// let mut orders = lattice.subscribe("orders.*", None).await?;
///
/// let subject = "orders.new".to_owned();
/// lattice.publish(Message { subject, reply_to: None, body: "one".into() }).await?;
/// let heard = orders.next().await;
/// assert!(matches!(heard, Some(Heard::Message(message)) if message.body == "one"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct LocalLattice(Arc<Listeners>);

/// Shared by the lattice and its subscriptions.
#[derive(Default)]
struct Listeners {
    all: Mutex<All>,
    /// The next member of a group to get a message.
    turn: AtomicUsize,
}

/// All listeners, apart by how they are found.
#[derive(Default)]
struct All {
    /// Listeners without a wildcard, by subject. Most are of this kind: each waiting request has one.
    exact: HashMap<String, Vec<Listener>>,
    patterns: Vec<Listener>,
}

/// One subscription.
struct Listener {
    subject: String,
    group: Option<String>,
    mailbox: Arc<Mailbox>,
}

/// Listens until it is dropped.
struct Listening {
    listeners: Arc<Listeners>,
    subject: String,
    mailbox: Arc<Mailbox>,
}

impl LocalLattice {
    /// A lattice without listeners.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
}

impl Listeners {
    /// Subscribes. The result unsubscribes when it is dropped.
    fn listen(self: &Arc<Self>, subject: &str, group: Option<&str>) -> Subscription {
        let mailbox = Arc::new(Mailbox::default());
        let listener = Listener {
            subject: subject.to_owned(),
            group: group.map(str::to_owned),
            mailbox: Arc::clone(&mailbox),
        };
        {
            let mut all = self.all.lock();
            let All { exact, patterns } = &mut *all;
            if is_pattern(subject) {
                patterns.push(listener);
            } else {
                exact.entry(subject.to_owned()).or_default().push(listener);
            }
        }
        let listening = Listening {
            listeners: Arc::clone(self),
            subject: subject.to_owned(),
            mailbox: Arc::clone(&mailbox),
        };
        Subscription::new(mailbox, listening)
    }

    /// Sends a message to all listeners without a group, and to one of each group. Returns their number.
    fn send(&self, message: &Message) -> usize {
        let mut groups: BTreeMap<&str, Vec<&Mailbox>> = BTreeMap::new();
        let mut count = 0;
        let all = self.all.lock();
        let exact = all.exact.get(&message.subject).into_iter().flatten();
        let fits = |listener: &&Listener| matches(&listener.subject, &message.subject);
        for listener in exact.chain(all.patterns.iter().filter(fits)) {
            if let Some(group) = listener.group.as_deref() {
                groups.entry(group).or_default().push(&listener.mailbox);
            } else {
                listener.mailbox.put(message.clone());
                count += 1;
            }
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        for members in groups.values() {
            members[turn % members.len()].put(message.clone());
        }
        count + groups.len()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut all = self.listeners.all.lock();
        let is_other = |listener: &Listener| !Arc::ptr_eq(&listener.mailbox, &self.mailbox);
        if is_pattern(&self.subject) {
            all.patterns.retain(is_other);
        } else if let Some(listeners) = all.exact.get_mut(&self.subject) {
            listeners.retain(is_other);
            if listeners.is_empty() {
                all.exact.remove(&self.subject);
            }
        }
    }
}

impl Lattice for LocalLattice {
    fn publish(&self, message: Message) -> Done {
        let listeners = Arc::clone(&self.0);
        Box::pin(async move {
            listeners.send(&message);
            Ok(())
        })
    }

    fn request(&self, subject: &str, body: Bytes, deadline: Instant) -> Pending<Message> {
        let (listeners, subject) = (Arc::clone(&self.0), subject.to_owned());
        Box::pin(async move {
            let inbox = format!("_INBOX.{}", uuid().simple());
            let mut answers = listeners.listen(&inbox, None);
            let message = Message {
                subject,
                reply_to: Some(inbox),
                body,
            };
            if listeners.send(&message) == 0 {
                let detail = format!("no subscriber listens to {}", message.subject);
                return Err(Error::new(Code::Unavailable, detail));
            }
            let answer = async {
                match answers.next().await {
                    Some(Heard::Message(answer)) => Ok(answer),
                    _ => Err(Error::new(Code::Internal, "an answer was lost")),
                }
            };
            bounded(answer, deadline, None).await
        })
    }

    fn subscribe(&self, subject: &str, group: Option<&str>) -> Pending<Subscription> {
        let subscription = self.0.listen(subject, group);
        Box::pin(ready(Ok(subscription)))
    }

    fn bucket(&self, _name: &Id, _limits: BucketLimits) -> Option<Arc<dyn Bucket>> {
        None
    }
}

/// A random inbox, so that no actor can guess another's.
fn uuid() -> uuid::Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

/// Whether a subject has a wildcard.
fn is_pattern(subject: &str) -> bool {
    subject.split('.').any(|token| matches!(token, "*" | ">"))
}

/// Whether a pattern covers a subject. `*` stands for one token, `>` for one or more at the end.
fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn message(subject: &str) -> Message {
        Message {
            subject: subject.to_owned(),
            ..Message::default()
        }
    }

    async fn heard(subscription: &mut Subscription) -> String {
        match subscription.next().await {
            Some(Heard::Message(message)) => message.subject,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn patterns_are_those_of_nats() {
        for (pattern, subject, is_match) in [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.b", "a", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("a*", "ab", false),
        ] {
            assert_eq!(matches(pattern, subject), is_match, "{pattern} {subject}");
        }
    }

    #[tokio::test]
    async fn each_listener_hears_and_one_of_each_group() -> Result<(), Error> {
        let lattice = LocalLattice::new();
        let mut alone = lattice.subscribe("a.*", None).await?;
        let mut one = lattice.subscribe("a.b", Some("g")).await?;
        let mut other = lattice.subscribe("a.>", Some("g")).await?;
        for _ in 0..2 {
            lattice.publish(message("a.b")).await?;
        }
        lattice.publish(message("b")).await?;
        for _ in 0..2 {
            assert_eq!(heard(&mut alone).await, "a.b");
        }
        assert_eq!(heard(&mut one).await, "a.b");
        assert_eq!(heard(&mut other).await, "a.b");
        Ok(())
    }

    #[tokio::test]
    async fn a_request_is_answered_or_fails_at_once_where_nobody_listens() -> Result<(), Error> {
        let lattice = LocalLattice::new();
        let soon = Instant::now() + Duration::from_secs(30);
        let nobody = lattice.request("a", Bytes::new(), soon).await;
        assert_eq!(nobody.map_err(|error| error.code), Err(Code::Unavailable));

        let mut asked = lattice.subscribe("a", None).await?;
        let answering = async {
            let Some(Heard::Message(question)) = asked.next().await else {
                panic!("no question");
            };
            let answer = Message {
                subject: question.reply_to.expect("somebody waits"),
                reply_to: None,
                body: question.body,
            };
            lattice.publish(answer).await
        };
        let (answer, answered) = tokio::join!(lattice.request("a", "x".into(), soon), answering);
        answered?;
        assert_eq!(answer?.body, "x");

        drop(asked);
        let nobody = lattice.request("a", Bytes::new(), soon).await;
        assert_eq!(nobody.map_err(|error| error.code), Err(Code::Unavailable));
        let all = lattice.0.all.lock();
        assert!(all.exact.is_empty() && all.patterns.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn a_request_waits_no_longer_than_it_may() -> Result<(), Error> {
        let lattice = LocalLattice::new();
        let _silent = lattice.subscribe("a", None).await?;
        let soon = Instant::now() + Duration::from_millis(20);
        let late = lattice.request("a", Bytes::new(), soon).await;
        assert_eq!(late.map_err(|error| error.code), Err(Code::Deadline));
        Ok(())
    }
}
