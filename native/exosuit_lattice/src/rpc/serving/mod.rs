//! Serves calls from the lattice: receives, checks, routes and answers them.
//!
//! | step | signed calls (`signed`) | calls with a MAC (`mac`) |
//! |---|---|---|
//! | receive | one subscription for the target | one for each key of the cluster |
//! | check | `Guard::inspect`, later `verify` and `accept` | the MAC, then `Guard::admit` |
//! | slot | `Admission::enter`; a full queue is refused at once | the same |
//! | run | inline or in a task, see `inline` | the same |
//! | answer | without a signature | with a MAC over the MAC of the request |
//!
//! The task that receives never waits, because the client drops messages of a slow subscriber.
//! Therefore refusals are sent without waiting, and may be lost under load.
//!
//! When a target is no longer served, the server still sends messages that are on their way. They
//! are served until the subscription is drained.
//!
//! # How serving ends
//!
//! | what happens | new calls | running calls |
//! |---|---|---|
//! | [`Serving::stop`] | those on their way are served | may finish within the grace |
//! | [`Serving`] is dropped | none | are dropped at once; their callers get `dropped` |
//! | the connection is lost | come with the next connection | continue; answers need a connection |
//!
//! Two tokens stand behind this: `closed` ends the receiving tasks, `ended` the calls as well. A call that is
//! dropped is answered with an error by `bounded`, so that its caller need not wait for its deadline.

mod inline;
mod mac;
mod signed;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use exosuit_core::Deliver;
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::Served;
use super::calls_state::CallsState;
use crate::{Error, now};
use inline::{Call, InlineStats};

/// How long a drained subscription may be silent before it counts as empty: many round trips.
const DRAINED: Duration = Duration::from_secs(1);

/// A larger answer travels through the object store, as with hosts of the OTP era.
const LARGEST_ANSWER: usize = 900 << 10;

/// A target that is served to the lattice, until this is dropped.
///
/// Several tasks work for it: one receives for each subject, and one for each call that was not
/// finished at its first poll.
#[must_use]
pub struct Serving {
    /// Cancelled when no new calls are taken.
    closed: CancellationToken,
    /// Cancelled when running calls are dropped, too.
    ended: CancellationToken,
    calls: TaskTracker,
}

impl Serving {
    /// Takes no new calls. Ends when the running ones have finished, or after `grace`.
    ///
    /// Messages that the server had sent already are served, until the subscription is silent for a
    /// second.
    pub async fn stop(self, grace: Duration) {
        self.closed.cancel();
        self.calls.close();
        let _late = tokio::time::timeout(grace, self.calls.wait()).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.closed.cancel();
        self.ended.cancel();
    }
}

/// A served target.
struct Service {
    /// The state that all calls of this host share: keys, guard, room, tally.
    shared: Arc<CallsState>,
    /// The actor or provider, by its names.
    served: Served,
    /// The router.
    target: Arc<dyn Deliver>,
    /// For subscriptions and answers, also while it reconnects.
    client: Client,
    /// Ends the running calls.
    ended: CancellationToken,
}

/// How calls are authenticated.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// By a signature of the cluster's key over the call: any host of the OTP era can make it.
    Signed,
    /// By a MAC, with a key that both hosts make from the cluster's seed. Much cheaper than a signature.
    Mac,
}

/// Starts to serve a target.
///
/// MAC subjects come first and need no wait, because their times have milliseconds.
///
/// # Errors
///
/// `Closed`. What was subscribed until then ends with the dropped `Serving`.
pub(super) async fn serve(
    shared: Arc<CallsState>,
    served: Served,
    target: Arc<dyn Deliver>,
) -> Result<Serving, Error> {
    let serving = Serving {
        closed: CancellationToken::new(),
        ended: CancellationToken::new(),
        calls: TaskTracker::new(),
    };
    let service = Arc::new(Service {
        client: shared.connection.any_client().clone(),
        shared,
        served,
        target,
        ended: serving.ended.clone(),
    });
    let (lattice, keys) = (&service.shared.options.lattice, &service.shared.keys);
    for subject in service.served.mac_subjects(lattice, keys) {
        let group = subject.clone();
        service.listen(Way::Mac, subject, group, &serving).await?;
    }
    // A call signed in this second may have been served by the process before this one, so signed
    // calls are accepted from the next second on.
    tokio::time::sleep(service.shared.guard.opens_in(now())).await;
    let (subject, group) = (
        service.served.subject(lattice),
        service.served.group(lattice),
    );
    service
        .listen(Way::Signed, subject, group, &serving)
        .await?;
    Ok(serving)
}

/// Receives calls, and never waits for one of them: the client drops messages of a slow subscriber.
///
/// The loop has three ends: `closed` leads to the drain below, the end of the subscription returns
/// at once, and a dropped task ends with its runtime.
async fn receive(
    service: Arc<Service>,
    way: Way,
    mut subscriber: Subscriber,
    closed: CancellationToken,
    calls: TaskTracker,
) {
    let mut closing = pin!(closed.cancelled());
    let mut inline = InlineStats::default();
    loop {
        let message = tokio::select! {
            biased;
            () = &mut closing => break,
            message = subscriber.next() => message,
        };
        let Some(message) = message else {
            return;
        };
        if let Some(call) = service.begin(way, message) {
            inline.run(call, &calls).await;
        }
    }
    let connection = &service.shared.connection;
    if connection.client().is_err() {
        // Without a connection, dropping the subscriber suffices: the next connection does not
        // subscribe again.
        return;
    }
    let losses = connection.losses();
    // The server sends no more, but messages that it has sent before are served.
    let drained = async {
        if subscriber.drain().await.is_ok() {
            let mut next = async || tokio::time::timeout(DRAINED, subscriber.next()).await;
            while let Ok(Some(message)) = next().await {
                if let Some(call) = service.begin(way, message) {
                    calls.spawn(call);
                }
            }
        }
    };
    tokio::select! {
        () = service.ended.cancelled() => {}
        () = drained => {}
    }
    if connection.losses() != losses {
        // The connection was replaced during the drain. The client subscribed again on the new one
        // and does not know of the drain, so calls would arrive that nobody takes. Another
        // connection subscribes only to what there is.
        let _ = service.client.force_reconnect().await;
    }
}

impl Service {
    /// Receives the calls on a subject from now on.
    ///
    /// The receiving task is tracked as well, so that a stop waits for its drain.
    async fn listen(
        self: &Arc<Self>,
        way: Way,
        subject: String,
        group: String,
        serving: &Serving,
    ) -> Result<(), Error> {
        let subscriber = self.client.queue_subscribe(subject, group).await;
        let subscriber = subscriber.map_err(|_| Error::Closed)?;
        let (closed, calls) = (serving.closed.clone(), serving.calls.clone());
        let receive = receive(Arc::clone(self), way, subscriber, closed, calls);
        serving.calls.spawn(receive);
        Ok(())
    }

    /// Checks a message, and returns the work of its call. A refused call is answered at once.
    ///
    /// `None` means that it was answered, or is not to be answered.
    fn begin(self: &Arc<Self>, way: Way, message: Message) -> Option<Call> {
        match way {
            Way::Signed => self.begin_signed(message),
            Way::Mac => self.begin_mac(message),
        }
    }

    /// Counts a refusal by the code of its error, and returns the error for the answer.
    fn refused(&self, error: Error) -> exosuit_core::Error {
        self.shared.tally.count(self.served.name().as_str(), &error);
        error.into()
    }
}
